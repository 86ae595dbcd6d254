"""Writing the files that people use: as long as what went in when they are decoded, without a lag, the same bytes every time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np

from unbraid.audio import wav
from unbraid.audio.wav import Audio

if TYPE_CHECKING:
    from av import AudioStream

SUBTYPES = {None: "FLOAT", 16: "PCM_16", 24: "PCM_24"}
CONTAINERS = {"wav": "RF64", "flac": "FLAC"}  # of libsndfile
ENCODERS = {"mp3": ("mp3", "libmp3lame"), "opus": ("ogg", "libopus"), "m4a": ("ipod", "aac")}  # of ffmpeg
AUTO = {"opus": 96_000, "m4a": 128_000}
"""Bits a second for each channel where none are asked for. mp3 and ogg are then as good as their best variable rates."""
BEST_MP3 = {"flags": "+qscale", "global_quality": "0"}  # V0
BEST_OGG = 0.2  # libsndfile's level of compression: Vorbis quality 8
QUALITIES = (64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 500)
"""kbit/s that Vorbis means by its qualities 0 to 10, at 44.1 kHz in stereo."""

Write = Callable[[Any], None]


@contextmanager
def create(
    path: Path, name: str, rate: int, channels: int, *, bits: int | None, bitrate: int | None
) -> Iterator[Write]:
    """Yields what writes a block [frames, channels] to a file of the format `name`.

    bits: of an integer sample, for blocks as `quantise` makes them; None for float32. bitrate: in bits a second, of a lossy
    format; None for its best. Raises: OSError when the disk is full or fails.
    """
    if name in ENCODERS:
        with _ffmpeg(path, name, rate, channels, bitrate) as write:
            yield write
    elif name == "ogg":
        level = BEST_OGG if bitrate is None else _level(bitrate)
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
    layout = {1: "mono", 2: "stereo"}[channels]
    at = 0
    # Without `file:` a name with a colon would be taken for an address. Bit-exact: no random number of an ogg stream.
    with av.open(f"file:{path}", "w", format=container, options={"fflags": "+bitexact"}) as output:
        options = BEST_MP3 if (name, bitrate) == ("mp3", None) else {}
        stream = cast("AudioStream", output.add_stream(codec, rate=rate, options=options))
        stream.layout = layout
        if bitrate or name in AUTO:
            stream.bit_rate = bitrate or AUTO[name] * channels

        def write(block: Audio) -> None:
            nonlocal at
            packed = np.ascontiguousarray(block, dtype=np.float32).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, at, Fraction(1, rate)
            at += len(block)
            output.mux(stream.encode(frame))

        yield write
        output.mux(stream.encode(None))


def _level(bitrate: int) -> float:
    """libsndfile's level of compression for a bitrate: Vorbis knows qualities only."""
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
