"""Stage deliver: the recipe's stems as the files that people use."""

import logging
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unbraid.audio import wav
from unbraid.backends.session import Audio
from unbraid.errors import UnbraidError
from unbraid.files import read_json, replacing, write_json
from unbraid.progress import Progress
from unbraid.stages.segment import combine

log = logging.getLogger("unbraid")

Linear = list[tuple[int, Path]]  # (coefficient, file at the song's rate and channels)


def deliver(
    stems: Mapping[str, Linear],
    mix_info: Path,
    outputs: Mapping[str, Path],
    report: Path,
    *,
    bit_depth: str,
    clip: str,
) -> None:
    """Compute each stem in float32 and write it as its file's extension says (wav or flac).

    stems, outputs: by stem name. mix_info: what convert said of the song. bit_depth, clip: as configured.
    Writes `report`: the bit depth used, the gain (1 unless `clip: scale` had to act), samples clipped per stem, and what
    convert said.
    Raises: UnbraidError for `clip: error` when a stem passes full scale.
    """
    begun = time.monotonic()
    song = read_json(mix_info)
    file_format = next(iter(outputs.values())).suffix[1:]
    peaks = {stem: _peak(combine(linear, song["frames"])) for stem, linear in stems.items()}
    bits = choose_bits(bit_depth, file_format, song, max(peaks.values()))
    gain = 1.0
    if bits is not None:
        gain = _gain(peaks, bits, clip, file_format)
    clipped = {}
    for stem, linear in stems.items():
        subtype = {None: "FLOAT", 16: "PCM_16", 24: "PCM_24"}[bits]
        container = "FLAC" if file_format == "flac" else "RF64"
        clipped[stem] = 0
        with ExitStack() as files:
            partial = files.enter_context(replacing(outputs[stem]))
            file = files.enter_context(wav.create(partial, song["rate"], song["channels"], subtype, container))
            progress = Progress(song["frames"] / song["rate"], stem)
            for block in progress.of(combine(linear, song["frames"]), song["rate"]):
                scaled = block if gain == 1.0 else block * np.float32(gain)
                samples, over = (scaled, 0) if bits is None else quantise(scaled, bits)
                clipped[stem] += over
                file.write(samples)
    for stem, count in clipped.items():
        if count:
            log.warning("%s: %d samples passed full scale and were clipped (clip: clip).", stem, count)
    write_json(
        report,
        {
            "format": file_format,
            "bit_depth": bits or "float",
            "gain": gain,
            "clipped_by_delivery": clipped,
            "seconds": round(time.monotonic() - begun, 3),
            "song": song,
        },
    )


def choose_bits(bit_depth: str, file_format: str, song: Mapping[str, Any], peak: float) -> int | None:
    """Bits of an integer sample, or None for float32 samples.

    `auto`: float for float sources and as soon as any stem passes full scale; 24 for lossy sources; else the source's,
    at least 16; more than 24 bits need float. FLAC holds no float, so what would be float becomes 24 bits there.
    """
    if bit_depth == "float" and file_format == "flac":
        raise UnbraidError(
            "FLAC cannot hold float samples.", remedy="Set bit_depth=24 (or auto), or deliver wav for float."
        )
    if bit_depth != "auto":
        return None if bit_depth == "float" else int(bit_depth)
    source = 24 if song["lossy"] else max(16, song["bit_depth"] or 24)
    wants_float = (song["is_float"] and not song["lossy"]) or source > 24 or peak > full_scale(min(source, 24))
    if wants_float:
        return 24 if file_format == "flac" else None
    return source


def full_scale(bits: int) -> float:
    """The highest value that rounds to a sample of `bits` bits, full scale being ±1."""
    return 1 - 2.0 ** (1 - bits)


def quantise(block: Audio, bits: int) -> tuple[NDArray[np.int16] | NDArray[np.int32], int]:
    """Round to integers (16 bits as int16, 24 as int32 shifted up, as libsndfile takes them), and count those clipped.

    Full scale is 2^(bits-1), as in decoding, so that integer sources come back bit for bit; libsndfile's own
    conversion scales by one less.
    """
    scale = 2 ** (bits - 1)
    rounded = np.rint(block.astype(np.float64) * scale)
    limited = np.clip(rounded, -scale, scale - 1)
    over = int(np.count_nonzero(limited != rounded))
    if bits == 16:
        return limited.astype(np.int16), over
    return limited.astype(np.int32) << (32 - bits), over


def _peak(blocks: Iterable[Audio]) -> float:
    return max((float(np.abs(block).max(initial=0.0)) for block in blocks), default=0.0)


def _gain(peaks: Mapping[str, float], bits: int, clip: str, file_format: str) -> float:
    limit = full_scale(bits)
    stem, peak = max(peaks.items(), key=lambda item: item[1])
    if peak <= limit or clip == "clip":
        return 1.0
    level = 20 * np.log10(peak)
    if clip == "error":
        raise UnbraidError(
            f"The stem {stem!r} peaks at {level:+.2f} dBFS, which {bits}-bit samples cannot hold (clip: error).",
            remedy=f"Set {'format=wav with ' if file_format == 'flac' else ''}bit_depth=float, or clip=scale to turn all"
            " stems down alike, or clip=clip.",
        )
    log.warning("%s peaks at %+.2f dBFS; all stems are turned down by %.2f dB (clip: scale).", stem, level, level)
    return float(limit / peak)
