"""Stage convert: a song decoded to float32 at its own rate and channels."""

import datetime
import errno
import logging
import shutil
import time
from pathlib import Path

import numpy as np

from unbraid import files
from unbraid.audio import tags, wav
from unbraid.audio.decode import Decoder
from unbraid.audio.probe import probe
from unbraid.audio.source import check_file
from unbraid.errors import UnbraidError
from unbraid.progress import Progress

log = logging.getLogger("unbraid")


def convert(
    source: Path,
    mix: Path,
    info: Path,
    *,
    digest: str | None,
    problem: tuple[str, str] | None = None,
    start: float | None,
    end: float | None,
    truncated: str,
) -> None:
    """Decode `source` to `mix` (float32 wav) and write `info` (mix.json): what was decoded, and from what.

    digest: the sha256 of the source when it was planned; None when it could not be read then.
    problem: what the plan found wrong with what the song asks for, and what to do about it: raised as it is.
    start, end: a window in seconds.
    truncated: "error" or "accept" (take what is whole of a damaged file).
    Raises: UnbraidError for a source that cannot be decoded or has changed, and for a disk that is too small.
    """
    begun = time.monotonic()
    if problem:
        raise UnbraidError(problem[0], remedy=problem[1])
    check_unchanged(source, digest)
    frames, peak = 0, 0.0
    with Decoder(source, start, end, truncated) as decoder:
        try:
            with files.replacing(mix) as partial, wav.create(partial, decoder.rate, decoder.channels) as file:
                length = min(end or float("inf"), decoder.seconds or 0.0) - (start or 0.0)
                for block in Progress(max(length, 0.0), "decoding").of(decoder, decoder.rate):
                    file.write(block)
                    frames += len(block)
                    peak = max(peak, float(np.abs(block).max()))
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            raise _too_large(decoder, mix, start, end, error.errno == errno.EFBIG) from error
    downmixed = decoder.source_channels > decoder.channels
    if downmixed:
        log.warning("%s has %d channels; it is mixed down to stereo.", source.name, decoder.source_channels)
    if decoder.damaged:
        taken = frames / decoder.rate
        log.warning("%s is damaged; %.2f s before the damage are taken (truncated: accept).", source.name, taken)
    said = tags.read(source)
    files.write_json(
        info,
        {
            "frames": frames,
            "rate": decoder.rate,
            "channels": decoder.channels,
            "source_channels": decoder.source_channels,
            "downmixed": downmixed,
            "damaged": decoder.damaged,
            "codec": decoder.encoding.codec,
            "bit_depth": decoder.encoding.bit_depth,
            "is_float": decoder.encoding.is_float,
            "lossy": decoder.encoding.lossy,
            "peak": peak,
            "tags": said.text,
            "cover": bool(said.cover),
            "start": start,
            "end": end,
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
            "seconds": round(time.monotonic() - begun, 3),
        },
    )


def check_unchanged(source: Path, planned: str | None) -> None:
    """Raises: UnbraidError when the source's bytes are not the planned ones; with the reason when it has none."""
    if planned is None:
        probe(source)  # says what is wrong with it; if nothing is any more, it has changed
    check_file(source)
    if planned is None or files.sha256(source) != planned:
        raise UnbraidError(f"{source} has changed since it was planned.", remedy="Run again.")


def _too_large(decoder: Decoder, mix: Path, start: float | None, end: float | None, limited: bool) -> UnbraidError:
    """limited: by the length that a file may have here, not by the disk's space."""
    stop = min(end or float("inf"), decoder.seconds or float("inf"))
    length = max(0.0, stop - (start or 0.0))
    needed = f"about {length * decoder.rate * decoder.channels * 4 / 1e6:,.0f} MB" if length < float("inf") else "more"
    if limited:
        return UnbraidError(
            f"The decoded song needs {needed} in {mix.parent}, in one file, which this disk or account does not allow.",
            remedy="Run in a folder on another disk, or raise the limit (ulimit -f), and run again.",
        )
    free = shutil.disk_usage(mix.parent).free
    return UnbraidError(
        f"The disk is full: the decoded song needs {needed} in {mix.parent}, where {free / 1e6:,.0f} MB are free.",
        remedy="Free some space, or run in a folder on another disk; finished work is kept.",
    )
