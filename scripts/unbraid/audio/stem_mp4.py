"""Stem files as Native Instruments defined them: the mix and four stems as tracks of one MP4 file, for DJ software to mix.

The mix is the first track, and the only one that an ordinary player plays. A box `stem` in moov/udta, beside the tags, names
and colours the other four in JSON, and tells a DJ program which effects to put on their sum: here none.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unbraid.audio.wav import Audio

FILE = "stems.stem.mp4"
STEMS = ("drums", "bass", "other", "vocals")  # in the order in which DJ software expects them
RATES = (44100, 48000)  # in Hz, that DJ software takes
BITRATE = 256_000  # of each track
COLOURS = ("#F28E2B", "#E15759", "#59A14F", "#4E79A7")
NO_EFFECTS = {
    "compressor": {
        "enabled": False, "ratio": 2, "output_gain": 0, "release": 0.3, "attack": 0.003, "input_gain": 0, "threshold": 0,
        "hp_cutoff": 20, "dry_wet": 100,
    },
    "limiter": {"enabled": False, "release": 0.05, "threshold": 0, "ceiling": 0},
}  # fmt: skip


def fits(stems: Collection[str]) -> bool:
    """Whether a recipe has the stems of such a file."""
    return set(STEMS) <= set(stems)


def write(path: Path, rate: int, tracks: Iterable[Sequence[Audio]]) -> None:
    """tracks: blocks [frames, 2] of the mix and of the four stems, side by side. Raises: OSError."""
    import av

    from unbraid.audio.frames import frame

    options = {"fflags": "+bitexact", "movie_timescale": str(rate)}
    with av.open(f"file:{path}", "w", format="mp4", options=options) as output:
        streams: list[Any] = [output.add_stream("aac", rate=rate) for _ in range(5)]
        for stream, name in zip(streams, ("mix", *STEMS), strict=True):
            stream.layout, stream.bit_rate = "stereo", BITRATE
            stream.metadata["handler_name"] = name  # what stempeg and players that list tracks call it
        at = 0
        for blocks in tracks:
            for stream, block in zip(streams, blocks, strict=True):
                output.mux(stream.encode(frame(block, rate, at)))
            at += len(blocks[0])
        for stream in streams:
            output.mux(stream.encode(None))


def describe(path: Path, names: Sequence[str]) -> None:
    """Add the box that says which stem each track is, once all else is in the file: it has to stay where it is."""
    stems = [{"name": name, "color": colour} for name, colour in zip(names, COLOURS, strict=True)]
    told = {"mastering_dsp": NO_EFFECTS, "version": 1, "stems": stems}
    box = _box(b"stem", json.dumps(told, ensure_ascii=False).encode())
    with open(path, "r+b") as file:
        start, moov = _last(file)
        boxes = list(_boxes(moov))
        udta = b"".join(content for kind, content in boxes if kind == b"udta")
        others = b"".join(_box(kind, content) for kind, content in boxes if kind != b"udta")
        file.seek(start)
        file.write(_box(b"moov", others + _box(b"udta", udta + box)))


def described(path: Path) -> dict[str, Any] | None:
    """What a stem file says of its stems; None for another file."""
    with open(path, "rb") as file:
        _, moov = _last(file)
    udta = dict(_boxes(moov)).get(b"udta", b"")
    box = dict(_boxes(udta)).get(b"stem")
    return None if box is None else dict(json.loads(box))


def _last(file: Any) -> tuple[int, bytes]:
    """Where the box moov begins, and its content. Raises: ValueError where it is not the last one, as it is when just written:
    what comes after it is found by its place in the file."""
    start, size, kind = 0, 0, b""
    end = file.seek(0, 2)
    while start + size < end:
        start += size
        file.seek(start)
        size, kind = struct.unpack(">I4s", file.read(8))
        if size == 1:
            (size,) = struct.unpack(">Q", file.read(8))
        if size < 8:
            break
    if kind != b"moov":
        raise ValueError("the last box is not moov")
    file.seek(start + 8)
    return start, file.read()


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 8 <= len(content):
        size, kind = struct.unpack_from(">I4s", content, at)
        yield kind, content[at + 8 : at + size]
        at += max(size, 8)


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content
