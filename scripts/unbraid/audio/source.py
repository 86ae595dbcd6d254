"""Opening a source file with ffmpeg's libraries, and what its container says of it."""

import os
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from unbraid.errors import UnbraidError

# Containers whose header says how long the audio is. Others (raw mp3, aac, ac3, transport streams) only let one guess.
PROMISING = {"flac", "aiff", "asf", "matroska", "webm", "mov", "mp4", "ape", "tta", "wv", "caf", "dsf"}
EXACT = {"flac", "wav", "aiff"}  # to the frame; the others' time bases and encoder delays leave some slack
SLACK = 0.15  # seconds


@dataclass(frozen=True)
class Description:
    """What is known of a file's audio before decoding it. promised: frames that its header says there are."""

    codec: str
    rate: int
    channels: int
    bit_depth: int | None
    is_float: bool
    lossy: bool
    promised: int | None
    slack: int


def check_readable(path: str | Path) -> None:
    """Raises: UnbraidError for a file that is missing, a dangling link, a folder, not permitted, or empty."""
    name = str(path)
    if os.path.islink(name) and not os.path.exists(name):
        raise UnbraidError(f"The link {name!r} points to nothing.", remedy="Restore what it pointed to, or delete it.")
    if not os.path.exists(name):
        raise UnbraidError(f"The file {name!r} is missing.", remedy="Put it back, or take it out of the songs.")
    if os.path.isdir(name):
        raise UnbraidError(f"{name!r} is a folder, not a song.", remedy="Rename or move the folder.")
    try:
        with open(name, "rb") as file:
            empty = not file.read(1)
    except PermissionError:
        raise UnbraidError(f"The file {name!r} may not be read.", remedy="Change its permissions (chmod +r).") from None
    if empty:
        raise UnbraidError(f"The file {name!r} is empty.", remedy="Get it again: its copy or download failed.")


@contextmanager
def open_audio(path: str | Path) -> Iterator[tuple[Any, Any]]:
    """The container and its default audio stream.

    Raises: UnbraidError when there is nothing to decode.
    """
    import av

    check_readable(path)
    try:
        # `file:` keeps names with colons from being taken for protocols.
        container = av.open(f"file:{path}", metadata_errors="replace")
    except av.FFmpegError as error:
        raise UnbraidError(
            f"The file {str(path)!r} is not audio that can be read ({_reason(error)}).",
            remedy="Check that it plays; it may be another kind of file under a wrong name, or cut off.",
        ) from error
    with container:
        stream = container.streams.best("audio")
        if stream is None:
            raise UnbraidError(f"The file {str(path)!r} has no audio track.", remedy="Take it out of the songs.")
        if not stream.codec_context.sample_rate or not stream.codec_context.channels:
            raise UnbraidError(
                f"The audio in {str(path)!r} has no samples or no format.", remedy="Check that it plays; get it again."
            )
        yield container, stream


def describe(path: str | Path, container: Any, stream: Any) -> Description:
    context = stream.codec_context
    sample_format = context.format.name.rstrip("p")
    lossy = not context.codec.lossless
    bits = re.fullmatch(r"pcm_[a-z]*?(\d+)(le|be)?(_planar)?", context.name)
    depth = int(bits.group(1)) if bits else {"u8": 8, "s16": 16, "s32": 24}.get(sample_format)
    is_float = sample_format in ("flt", "dbl") and not lossy
    names = set(container.format.name.split(","))
    promised = _promised(path, names, stream)
    slack = 0 if names & EXACT else round(SLACK * context.sample_rate)
    return Description(
        codec=context.name,
        rate=context.sample_rate,
        channels=context.channels,
        bit_depth=None if lossy or is_float else depth,
        is_float=is_float,
        lossy=lossy,
        promised=promised,
        slack=slack,
    )


def _promised(path: str | Path, names: set[str], stream: Any) -> int | None:
    if "wav" in names:
        return _wav_frames(path)
    if stream.duration is None or not (names & PROMISING or ("mp3" in names and _has_length(path))):
        return None
    return round(stream.duration * stream.time_base * stream.codec_context.sample_rate)


def _wav_frames(path: str | Path) -> int | None:
    """Frames that a WAV header says, which ffmpeg hides for a file cut short; None for a streamed header (0 or -1)."""
    with open(path, "rb") as file:
        kind = file.read(4)
        file.seek(12)
        long_size = None
        align = 0
        for name, size in _chunks(file):
            if name == b"ds64" and kind == b"RF64":
                long_size = struct.unpack("<QQ", file.read(16))[1]
            elif name == b"fmt ":
                align = struct.unpack("<HHIIH", file.read(14))[4]
            elif name == b"data":
                size = long_size if long_size is not None else size
                return size // align if align and 0 < size and (long_size or size < 0xFFFFFF00) else None
    return None


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    while len(head := file.read(8)) == 8:
        name, size = struct.unpack("<4sI", head)
        start = file.tell()
        yield name, size
        file.seek(start + size + size % 2)


def _has_length(path: str | Path) -> bool:
    """Whether an mp3's first frame is a Xing, Info or VBRI header, which say its length."""
    with open(path, "rb") as file:
        head = file.read(10)
        if head[:3] == b"ID3":
            size = 0
            for byte in head[6:10]:
                size = size << 7 | byte & 0x7F
            file.seek(10 + size)
        else:
            file.seek(0)
        first = file.read(4096)
    return any(mark in first for mark in (b"Xing", b"Info", b"VBRI"))


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).lower().rstrip(".")
