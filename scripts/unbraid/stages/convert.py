"""Stage convert: a song decoded to float32 at its own rate and channels."""

import datetime
import logging
import time
from pathlib import Path

import numpy as np

from unbraid.audio import wav
from unbraid.audio.decode import Decoder
from unbraid.audio.source import check_readable
from unbraid.errors import UnbraidError
from unbraid.files import replacing, sha256, write_json

log = logging.getLogger("unbraid")


def convert(
    source: Path,
    mix: Path,
    info: Path,
    *,
    digest: str | None,
    start: float | None,
    end: float | None,
    truncated: str,
) -> None:
    """Decode `source` into `mix`; `info` says what it was and what became of it.

    digest: the sha256 that the plan found; None when it could not read the song.
    Raises: UnbraidError for whatever keeps the song from being decoded, and when its bytes are not the planned ones.
    """
    begun = time.monotonic()
    check_readable(source)
    decoder = Decoder(source, start, end, truncated)
    if sha256(source) != digest:
        raise UnbraidError(f"The file {str(source)!r} changed since this run was planned.", remedy="Run again.")
    frames, peak = 0, 0.0
    with replacing(mix) as partial, wav.create(partial, decoder.rate, decoder.channels) as file:
        for block in decoder:
            file.write(block)
            frames += len(block)
            peak = max(peak, float(np.abs(block).max()))
    described = decoder.source
    if described.channels > 2:
        log.warning("%s has %d channels; it is downmixed to stereo.", source.name, described.channels)
    if decoder.damaged:
        log.warning("%s is damaged; its first %.1f s are taken (truncated: accept).", source.name, frames / decoder.rate)
    write_json(
        info,
        {
            "frames": frames,
            "rate": decoder.rate,
            "channels": decoder.channels,
            "source_channels": described.channels,
            "downmixed": described.channels > 2,
            "damaged": decoder.damaged,
            "codec": described.codec,
            "bit_depth": described.bit_depth,
            "is_float": described.is_float,
            "lossy": described.lossy,
            "peak": peak,
            "seconds": round(time.monotonic() - begun, 3),
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
        },
    )
