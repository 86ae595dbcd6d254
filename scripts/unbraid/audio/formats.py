"""The formats of delivered files: what each holds, and which one a song's stems get. Imports no numerics."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Format:
    """lossy: it has a bitrate, and no bit depth. rates: in Hz, that it holds; none: any."""

    lossy: bool = False
    rates: tuple[int, ...] = ()


COMMON = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
FORMATS = {
    "wav": Format(),
    "flac": Format(),
    "mp3": Format(True, COMMON),
    "ogg": Format(True, (*COMMON, 64000, 88200, 96000, 176400, 192000)),
    "opus": Format(True, (48000,)),  # whatever is put in, 48 kHz come out
    "m4a": Format(True, (7350, *COMMON, 64000, 88200, 96000)),
}
SAME = "same"  # as the song is
ALIKE = {"aac": "m4a", "mp4": "m4a", "m4b": "m4a", "oga": "ogg", "wave": "wav"}


def of(asked: str, song: Path) -> str:
    """The format that a song's stems get where `asked` is configured. `same` is wav for songs of a format that is not made."""
    if asked != SAME:
        return asked
    end = song.suffix[1:].lower()
    end = ALIKE.get(end, end)
    return end if end in FORMATS else "wav"


def held_bitrate(name: str, bitrate: int, rate: int, channels: int) -> int:
    """The bitrate that a lossy file gets for the one asked for: what it holds at this rate and with so many channels."""
    lowest, highest = {
        # In less there is no room for the frame that tells the song's length.
        "mp3": (64_000, 320_000) if rate >= 32000 else (64_000, 160_000) if rate >= 16000 else (32_000, 64_000),
        "ogg": (32_000 * channels, 250_000 * channels),
        "opus": (6000 * channels, 255_000 * channels),
        "m4a": (8000 * channels, min(6 * rate, 256_000) * channels),  # 6144 bits for each 1024 samples
    }[name]
    return min(max(bitrate, lowest), highest)


def nearest_rate(name: str, rate: int) -> int:
    """The rate that a file of this format gets for a song of `rate`: the nearest one that it holds, the higher of two."""
    return min(FORMATS[name].rates or (rate,), key=lambda held: (abs(held - rate), -held))
