"""Opening a recording with ffmpeg's libraries (PyAV), and what is said of its audio stream without decoding it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from unbraid.errors import UnbraidError

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer

REPLACE = "Replace it by a file that plays, or take it out of the songs."


@dataclass(frozen=True)
class Source:
    """An open recording: ffmpeg's view of it, and the stream that is the song."""

    path: Path
    container: InputContainer
    stream: AudioStream


@dataclass(frozen=True)
class Encoding:
    """How a recording is stored. bit_depth: bits of a lossless integer source (16, 24 or 32), else None."""

    codec: str
    bit_depth: int | None
    is_float: bool
    lossy: bool


def check_file(path: Path) -> os.stat_result:
    """Stat of a regular file. Raises: UnbraidError for what is missing, dangling, no file, or empty."""
    try:
        found = path.stat()
    except PermissionError as error:
        raise cannot_read(path, error) from error
    except OSError as error:
        if path.is_symlink():
            target = os.readlink(path)
            raise UnbraidError(
                f"{path} is a link to {target}, which is not there.", remedy="Restore the target or remove the link."
            ) from error
        raise UnbraidError(
            f"{path} is not there ({error.strerror}).", remedy="Check the path and that its disk is mounted."
        ) from error
    if stat.S_ISDIR(found.st_mode):
        raise UnbraidError(f"{path} is a folder, not a recording.", remedy="Rename it, or put its files beside it.")
    if not stat.S_ISREG(found.st_mode):
        raise UnbraidError(f"{path} is a device or pipe, not a file.", remedy="Save the recording as a file first.")
    if not found.st_size:
        raise UnbraidError(f"{path} is empty (0 bytes).", remedy="Copy or download it again.")
    return found


def cannot_read(path: Path, error: OSError) -> UnbraidError:
    """What to say when the system does not let one read a file that is there."""
    if isinstance(error, PermissionError):
        return UnbraidError(
            f"{path} may not be read (permission denied).",
            remedy="Give yourself the right to read it and its folders.",
        )
    return UnbraidError(
        f"{path} cannot be read ({error.strerror}).", remedy="Check its disk, or copy the file there again."
    )


@contextmanager
def open_source(path: Path) -> Iterator[Source]:
    """The recording at `path`, opened. The song is the stream marked as default, else the first audio stream.

    Raises: UnbraidError for a file that cannot be read, that is not audio, or whose codec is unknown.
    """
    import av
    from av.stream import Disposition

    check_file(path)
    with _opened(path) as file:
        try:
            # Opened through Python: ffmpeg would take names like `a:b.mp3` for protocols. A recording that asks for
            # other files or addresses (a playlist by another name) gets none.
            container = av.open(file, options={"protocol_whitelist": "none"}, metadata_errors="replace")
        except av.FFmpegError as error:
            raise UnbraidError(
                f"{path} is not audio that can be read, or its beginning or index is missing ({error.strerror}).",
                remedy=REPLACE,
            ) from error
        except OSError as error:
            raise cannot_read(path, error) from error
        with container:
            assert isinstance(container, av.container.InputContainer)
            streams = container.streams.audio
            if not streams:
                raise UnbraidError(f"{path} holds no audio stream.", remedy=REPLACE)
            stream = next((one for one in streams if one.disposition & Disposition.default), streams[0])
            if stream.codec_context is None:
                raise UnbraidError(
                    f"The audio of {path} is in a codec that this build of ffmpeg cannot decode.",
                    remedy="Convert it to flac or wav first.",
                )
            yield Source(path, container, stream)


def _opened(path: Path) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as error:
        raise cannot_read(path, error) from error


def encoding(stream: AudioStream) -> Encoding:
    """How the stream is stored, as its headers say."""
    context = stream.codec_context
    codec = context.codec.canonical_name
    lossy = not context.codec.lossless
    sample = context.format.name.removesuffix("p") if context.format else ""
    is_float = not lossy and sample in ("flt", "dbl")
    bits = None if lossy or is_float else _bit_depth(codec, sample, bytes(context.extradata or b""))
    return Encoding(codec, bits, is_float, lossy)


def _bit_depth(codec: str, sample: str, extradata: bytes) -> int:
    """16, 24 or 32: the least of these that holds the source's samples.

    ffmpeg decodes both 24 and 32 bits to s32, so that the codec has to say. Where it does not, s32 is 24 bits: nothing
    but some wav, aiff, flac and alac files has more.
    """
    bits = {"u8": 8, "s16": 16, "s64": 32}.get(sample, 24)
    if codec.startswith("pcm_"):
        bits = int("".join(character for character in codec if character.isdigit()) or bits)
    elif codec == "flac" and len(extradata) >= 14:  # STREAMINFO: 5 bits, less one
        bits = ((extradata[12] & 1) << 4 | extradata[13] >> 4) + 1
    elif codec == "alac" and len(extradata) >= 18:  # the magic cookie's sample size
        bits = extradata[17]
    return next(depth for depth in (16, 24, 32) if bits <= depth or depth == 32)
