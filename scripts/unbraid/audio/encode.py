"""Writing the files that people use: as long as what went in when they are decoded, without a lag, the same bytes every time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np

from unbraid.audio import wav
from unbraid.audio.frames import LAYOUTS, frame
from unbraid.audio.wav import Audio

if TYPE_CHECKING:
    from av import AudioStream

SUBTYPES = {None: "FLOAT", 16: "PCM_16", 24: "PCM_24"}
CONTAINERS = {"wav": "RF64", "flac": "FLAC"}  # of libsndfile
ENCODERS = {
    "opus": ("ogg", "libopus"),
    "m4a": ("ipod", "aac"),
}  # of ffmpeg, whose mp3 files are at times a little too long
AUTO = {"opus": 96_000, "m4a": 128_000}
"""Bits a second for each channel where none are asked for. mp3 is then V0, and ogg quality 8."""
SPEECH = 48_000
"""Bits a second for each channel of opus below which its encoder may take music for speech, whose own coder comes some samples
early and does music harm; it is told not to then."""
BEST_OGG = 0.2  # libsndfile's level of compression: Vorbis quality 8
QUALITIES = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 250)
"""kbit/s for each channel that Vorbis means by its qualities 0 to 10, at 44.1 kHz in stereo."""

Write = Callable[[Any], None]


@contextmanager
def create(
    path: Path, name: str, rate: int, channels: int, *, bits: int | None, bitrate: int | None
) -> Iterator[Write]:
    """Yields what writes a block [frames, channels] to a file of the format `name`.

    bits: of an integer sample, for blocks as `quantise` makes them; None for float32. bitrate: in bits a second, of a lossy
    format, which holds it (`formats.held_bitrate`); None for its best. Raises: OSError when the disk is full or fails.
    """
    if name in ENCODERS:
        with _ffmpeg(path, name, rate, channels, bitrate) as write:
            yield write
    elif name == "mp3":
        # VBR V0, or CBR.
        mode, level = ("VARIABLE", 0.0) if bitrate is None else ("CONSTANT", _place(bitrate, rate))
        with wav.create(
            path, rate, channels, "MPEG_LAYER_III", "MP3", compression_level=level, bitrate_mode=mode
        ) as file:
            yield file.write
    elif name == "ogg":
        level = BEST_OGG if bitrate is None else _level(bitrate / channels)
        with wav.create(path, rate, channels, "VORBIS", "OGG", compression_level=level) as file:
            yield file.write
        _number(path)
    else:
        with wav.create(path, rate, channels, SUBTYPES[bits], CONTAINERS[name]) as file:
            yield file.write


@contextmanager
def _ffmpeg(path: Path, name: str, rate: int, channels: int, bitrate: int | None) -> Iterator[Write]:
    import av

    container, codec = ENCODERS[name]
    at = 0
    # Bit-exact: no random number of an ogg stream. By its own clock an MP4 file would tell its length in milliseconds.
    options = {"fflags": "+bitexact", **({"movie_timescale": str(rate)} if name == "m4a" else {})}
    # Without `file:` a name with a colon would be taken for an address.
    with av.open(f"file:{path}", "w", format=container, options=options) as output:
        bitrate = bitrate or AUTO[name] * channels
        music = {"application": "lowdelay"} if name == "opus" and bitrate < SPEECH * channels else {}
        stream = cast("AudioStream", output.add_stream(codec, rate=rate, options=music))
        stream.layout = LAYOUTS[channels]
        stream.bit_rate = bitrate

        def write(block: Audio) -> None:
            nonlocal at
            output.mux(stream.encode(frame(block, rate, at)))
            at += len(block)

        yield write
        output.mux(stream.encode(None))


def _place(bitrate: int, rate: int) -> float:
    """libsndfile's level of compression for a bitrate of mp3: its place between the highest and the least of the rate."""
    lowest, highest = (32_000, 320_000) if rate >= 32000 else (8000, 160_000) if rate >= 16000 else (8000, 64_000)
    return (highest - bitrate) / (highest - lowest)


def _level(bitrate: float) -> float:
    """libsndfile's level of compression for a bitrate of each channel: Vorbis knows qualities only."""
    return 1 - float(np.interp(bitrate / 1000, QUALITIES, np.arange(len(QUALITIES)) / 10))


def _number(path: Path) -> None:
    """Give the stream of an ogg file the number 1: libsndfile draws one at random."""
    from mutagen import ogg

    read_page = cast(Callable[[BinaryIO], Any], ogg.OggPage)
    with open(path, "r+b") as file:
        try:
            while True:
                page = read_page(file)
                page.serial = 1
                file.seek(page.offset)
                file.write(page.write())
        except EOFError:
            return
