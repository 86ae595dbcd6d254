"""How long a container says that its audio is: what a truncated or damaged file fails to keep.

Only what the container knows counts. ffmpeg also guesses (from the bit rate, or from the file's size), and a guess must
never condemn a whole file.
"""

import os
import struct
from dataclasses import dataclass
from pathlib import Path

from unbraid.audio.source import Source

# Containers whose header counts the song's frames.
_COUNTED = frozenset(("flac", "aiff", "wv", "tta", "ape"))
_MP3_FRAME = 1152
_OGG_PAGE = 27 + 255 + 255 * 255  # bytes, the longest there is
_ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")


@dataclass(frozen=True)
class Promise:
    """`frames` at the song's rate; whoever finds more than `slack` fewer has a damaged file."""

    frames: int
    slack: int = 0

    def broken_by(self, frames: int) -> bool:
        return frames < self.frames - self.slack


def promise(source: Source, rate: int, first_packet: int | None) -> Promise | None:
    """What the container says, or None when it says nothing.

    rate: of the decoded audio. first_packet: where in the file the first packet of audio lies.
    """
    stream, name = source.stream, source.container.format.name
    seconds = stream.duration * stream.time_base if stream.duration and stream.time_base else None
    frames = round(seconds * rate) if seconds else None
    if name == "wav":
        counted = _wav_frames(source.path) if stream.codec_context.name.startswith("pcm_") else None
        return Promise(counted) if counted else None
    if name == "caf":
        return Promise(stream.frames) if stream.frames and stream.codec_context.name.startswith("pcm_") else None
    if name in _COUNTED:
        return Promise(frames) if frames else None
    if name == "mp3":
        counted = _mp3_frames(source.path, first_packet)
        # More than the header's count is ffmpeg's guess: it doubts the header of files that were joined together.
        # Encoders disagree on whether the header counts the frame that it lies in.
        return Promise(frames, _MP3_FRAME) if frames and counted and frames <= counted * _MP3_FRAME else None
    if "mp4" in name.split(","):
        # In ticks of the movie, less an encoder's padding: not to the frame.
        return Promise(frames, rate // 10) if frames else None
    if "matroska" in name.split(","):
        end = _matroska_end(source)
        start = float(stream.start_time * stream.time_base) if stream.start_time and stream.time_base else 0.0
        return Promise(round((end - start) * rate), rate // 2) if end else None
    return None


def is_cut(path: Path, container: str) -> bool:
    """Whether a file ends before it should by its own structure; seen for Ogg and ASF (wma) only."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        if container == "ogg":  # RFC 3533: the last page says how long it is
            file.seek(max(0, size - _OGG_PAGE))
            tail = file.read()
            at = tail.rfind(b"OggS")
            page = tail[at:]
            return at >= 0 and (len(page) < 27 or len(page) < 27 + page[26] + sum(page[27 : 27 + page[26]]))
        if container == "asf":  # the header's File Properties say how long the file is, unless it was broadcast
            file.seek(0)
            head = file.read(65536)
            at = head.find(_ASF_FILE_PROPERTIES)
            broadcast = at < 0 or len(head) < at + 92 or head[at + 88] & 1
            return not broadcast and size < int.from_bytes(head[at + 40 : at + 48], "little")
    return False


def _wav_frames(path: Path) -> int | None:
    """Frames by the header of RIFF, RF64 or BW64 (EBU Tech 3306), or None when the writer could not know."""
    with open(path, "rb") as file:
        if file.read(12)[:4] not in (b"RIFF", b"RF64", b"BW64"):
            return None
        long_size = frame_bytes = 0
        while len(head := file.read(8)) == 8:
            size = int.from_bytes(head[4:], "little")
            if head[:4] == b"data":
                return _data_frames(size, long_size, frame_bytes)
            after = file.tell() + size + size % 2
            if head[:4] == b"ds64":
                long_size = int.from_bytes(file.read(16)[8:], "little")
            elif head[:4] == b"fmt ":
                frame_bytes = int.from_bytes(file.read(14)[12:], "little")
            file.seek(after)
    return None


def _data_frames(size: int, long_size: int, frame_bytes: int) -> int | None:
    if size == 0xFFFFFFFF and long_size:
        size = long_size
    # Who writes to a pipe puts 0 or the largest number he dares, at times less the size of the header.
    elif size == 0 or any(limit - 65536 <= size <= limit for limit in (2**31, 2**32)):
        return None
    return size // frame_bytes if frame_bytes else None


def _mp3_frames(path: Path, first_packet: int | None) -> int | None:
    """MPEG frames by the Xing, Info or VBRI header, which fills the frame before the first one of audio."""
    if not first_packet or first_packet < 0:
        return None
    begin = max(0, first_packet - 2880)  # the longest frame of layer III
    with open(path, "rb") as file:
        file.seek(begin)
        before = file.read(first_packet - begin)
    for tag in (b"Xing", b"Info"):
        at = before.rfind(tag)
        if at >= 0 and len(before) >= at + 12:
            flags, count = struct.unpack_from(">II", before, at + 4)
            return int(count) if flags & 1 and flags < 16 else None
    at = before.rfind(b"VBRI")
    return int(struct.unpack_from(">I", before, at + 14)[0]) if at >= 0 and len(before) >= at + 18 else None


def _matroska_end(source: Source) -> float | None:
    """Seconds at which the stream ends: its DURATION tag, or, where it is the only one, the segment's duration."""
    whole = source.container.duration / 1e6 if source.container.duration else 0.0
    written = source.stream.metadata.get("DURATION", "")
    try:
        hours, minutes, seconds = written.split(":")
        end = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        end = whole if len(source.container.streams) == 1 else 0.0
    # A tag that outlasts the segment was copied from another file.
    return end if 0 < end <= whole + 0.5 else None
