"""Stage deliver: the recipe's stems as the files that people use."""

import logging
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unbraid.audio import encode, tags
from unbraid.audio.formats import FORMATS, held_bitrate, nearest_rate
from unbraid.audio.resample import resample, resampled_frames
from unbraid.audio.tags import Tags
from unbraid.audio.wav import Audio
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
    bit_depth: str | None,
    bitrate: int | None,
    clip: str,
    source: Path,
) -> None:
    """Compute each stem in float32 and write it as its file's extension says (see `unbraid.audio.formats`).

    stems, outputs: by stem name. mix_info: what convert said of the song. bit_depth, clip: as configured. bitrate: in bits a
    second, None for the format's best. Lossy formats have no bit depth, the others no bitrate. A format that lacks the song's
    rate gets the nearest one that it has. source: the song, whose cover each stem gets.
    Writes `report`: the bit depth used, the gain (1 unless `clip: scale` had to act), samples clipped per stem, and what
    convert said.
    Raises: UnbraidError for `clip: error` when a stem passes full scale.
    """
    begun = time.monotonic()
    song = read_json(mix_info)
    said = tags.read(source) if song["cover"] else Tags(song["tags"])
    name = next(iter(outputs.values())).suffix[1:]
    lossy, rate = FORMATS[name].lossy, nearest_rate(name, song["rate"])
    if rate != song["rate"]:
        log.warning("%s holds no %d Hz: the stems are resampled to %d Hz.", name, song["rate"], rate)
    if bitrate and (held := held_bitrate(name, bitrate, rate, song["channels"])) != bitrate:
        log.warning("%s of this song holds no %d bit/s: the stems get %d.", name, bitrate, held)
        bitrate = held

    def blocks(linear: Linear) -> Iterator[Audio]:
        frames = resampled_frames(song["frames"], song["rate"], rate)
        return resample(combine(linear, song["frames"]), song["rate"], rate, frames)

    peaks = {stem: peak_of(blocks(linear)) for stem, linear in stems.items()}
    bits = choose_bits(bit_depth, name, song, max(peaks.values()))
    gain = 1.0
    if bits is not None or lossy:
        gain = gain_of(peaks, bits, clip, name)
    clipped = {}
    for stem, linear in stems.items():
        clipped[stem] = 0
        noise = dither(stem) if bits == 16 and reduces(song) else None
        with replacing(outputs[stem]) as partial:
            with encode.create(partial, name, rate, song["channels"], bits=bits, bitrate=bitrate) as write:
                progress = Progress(song["frames"] / song["rate"], stem)
                for block in progress.of(blocks(linear), rate):
                    scaled = block if gain == 1.0 else block * np.float32(gain)
                    samples, over = _fitted(scaled, bits, noise, lossy=lossy)
                    clipped[stem] += over
                    write(samples)
            if said:
                tags.write(partial, name, said.of_stem(stem, outputs[stem].parent.name))
    for stem, count in clipped.items():
        if count:
            log.warning("%s: %d samples passed full scale and were clipped (clip: clip).", stem, count)
    write_json(
        report,
        {
            "format": name,
            "bit_depth": None if lossy else bits or "float",
            "bitrate": (bitrate or "auto") if lossy else None,
            "gain": gain,
            "clipped_by_delivery": clipped,
            "seconds": round(time.monotonic() - begun, 3),
            "song": song,
        },
    )


def choose_bits(bit_depth: str | None, file_format: str, song: Mapping[str, Any], peak: float) -> int | None:
    """Bits of an integer sample, or None for float32 samples, and where none are asked for.

    `auto`: float for float sources and as soon as any stem passes full scale; 24 for lossy sources; else the source's,
    at least 16; more than 24 bits need float. FLAC holds no float, so what would be float becomes 24 bits there.
    """
    if bit_depth is None:
        return None
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


def reduces(song: Mapping[str, Any]) -> bool:
    """Whether 16 bits are fewer than the song has; of 16 bits the stems' own noise is enough, and identity stays exact."""
    return bool(song["is_float"] or song["lossy"] or (song["bit_depth"] or 16) > 16)


def dither(stem: str) -> np.random.Generator:
    """The source of a stem's dither: the same noise every time, and another for each stem."""
    return np.random.default_rng(zlib.crc32(stem.encode()))


def limit(block: Audio) -> tuple[Audio, int]:
    """Samples beyond full scale brought back to it, and how many there were: players of lossy formats do no less."""
    limited = np.clip(block, -1.0, 1.0)
    return limited, int(np.count_nonzero(limited != block))


def quantise(
    block: Audio, bits: int, noise: np.random.Generator | None = None
) -> tuple[NDArray[np.int16] | NDArray[np.int32], int]:
    """Round to integers (16 bits as int16, 24 as int32 shifted up, as libsndfile takes them), and count those clipped.

    Full scale is 2^(bits-1), as in decoding, so that integer sources come back bit for bit; libsndfile's own
    conversion scales by one less. noise: of dither, triangular, of two steps from end to end (Lipshitz, Wannamaker and
    Vanderkooy 1992).
    """
    scale = 2 ** (bits - 1)
    exact = block.astype(np.float64) * scale
    if noise:
        exact += noise.random(exact.shape) - noise.random(exact.shape)
    rounded = np.rint(exact)
    limited = np.clip(rounded, -scale, scale - 1)
    # Dither may take a sample of full scale over it, which is no loss of the song's.
    plain = np.rint(block.astype(np.float64) * scale) if noise else rounded
    over = int(np.count_nonzero((plain < -scale) | (plain > scale - 1)))
    if bits == 16:
        return limited.astype(np.int16), over
    return limited.astype(np.int32) << (32 - bits), over


def _fitted(
    block: Audio, bits: int | None, noise: np.random.Generator | None, *, lossy: bool
) -> tuple[NDArray[Any], int]:
    """A block as its format takes it, and how many of its samples had to be clipped."""
    if bits is not None:
        return quantise(block, bits, noise)
    return limit(block) if lossy else (block, 0)


def peak_of(blocks: Iterable[Audio]) -> float:
    return max((float(np.abs(block).max(initial=0.0)) for block in blocks), default=0.0)


def gain_of(peaks: Mapping[str, float], bits: int | None, clip: str, name: str) -> float:
    highest = full_scale(bits) if bits else 1.0
    stem, peak = max(peaks.items(), key=lambda item: item[1])
    if peak <= highest or clip == "clip":
        return 1.0
    level = 20 * np.log10(peak)
    if clip == "error":
        holder = f"{bits}-bit samples" if bits else name
        raise UnbraidError(
            f"The stem {stem!r} peaks at {level:+.2f} dBFS, which {holder} cannot hold (clip: error).",
            remedy=f"Set {'' if name == 'wav' else 'format=wav with '}bit_depth=float, or clip=scale to turn all"
            " stems down alike, or clip=clip.",
        )
    log.warning("%s peaks at %+.2f dBFS; all stems are turned down by %.2f dB (clip: scale).", stem, level, level)
    # The loudest sample times this may be rounded up, over full scale.
    gain = np.float32(highest / peak)
    while np.float32(peak) * gain > highest:
        gain = np.nextafter(gain, np.float32(0))
    return float(gain)
