"""What the plan needs to know of a song before anything is decoded, and the memory of it between runs."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unbraid import files
from unbraid.audio.promise import promise
from unbraid.audio.source import REPLACE, Source, cannot_read, check_file, encoding, open_source
from unbraid.errors import UnbraidError

_VERSION = 1  # of the memo files; other versions are probed again


@dataclass(frozen=True)
class Probe:
    """A recording by its headers and packets; nothing is decoded.

    frames: what the container promises, None when it promises nothing. duration: seconds that its packets last, and no
    more than promised. bit_depth: bits of a lossless integer source (16, 24 or 32), else None. What decoding finds
    (rate, channels, frames) can differ: headers err, and decoders cut padding off.
    """

    sha256: str
    frames: int | None
    rate: int
    channels: int
    duration: float
    codec: str
    bit_depth: int | None
    is_float: bool
    lossy: bool


def probe(path: str | Path) -> Probe:
    """Probe the recording at `path`. Reads all of it once to hash it and once for its packets.

    Raises: UnbraidError for a file that is missing, dangling, a folder, unreadable, empty, not audio, without an audio
    stream, or of zero length.
    """
    path = Path(path)
    return _probe(path, _hash(path))


def _hash(path: Path) -> str:
    check_file(path)
    try:
        return files.sha256(path)
    except OSError as error:
        raise cannot_read(path, error) from error


def _probe(path: Path, sha256: str) -> Probe:
    with open_source(path) as source:
        context = source.stream.codec_context
        seconds, first_packet = _walk(source)
        rate, channels = context.sample_rate or 0, context.layout.nb_channels
        promised = promise(source, rate, first_packet) if rate else None
        if promised:
            seconds = min(seconds, promised.frames / rate)
        if not (seconds > 0 and rate and channels):
            raise UnbraidError(f"{path} holds no sound: its audio is of zero length.", remedy=REPLACE)
        frames = promised.frames if promised else None
        return Probe(sha256, frames, rate, channels, seconds, **dataclasses.asdict(encoding(source.stream)))


def _walk(source: Source) -> tuple[float, int | None]:
    """Seconds of all packets, and where in the file the first one lies."""
    import av

    total, last, first, first_packet = 0, 0, None, None
    try:
        for packet in source.container.demux(source.stream):
            if not packet.size:
                continue
            if first_packet is None:
                first_packet = packet.pos
            duration = packet.duration or 0
            total += duration
            if packet.pts is not None:
                first = packet.pts if first is None else first
                last = max(last, packet.pts + duration - first)
    except av.FFmpegError:
        pass  # damage; the job that decodes says where
    except OSError as error:
        raise cannot_read(source.path, error) from error
    # Packets need not state their durations, and times start over where streams were chained: the longer is the truth.
    return float(max(total, last) * (source.stream.time_base or 0)), first_packet


class Probes:
    """Probes remembered in `folder` by absolute path, size and modification time; one small file per path.

    A folder that cannot be written, or a memo that cannot be read, only costs time.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def get(self, path: str | Path) -> Probe | UnbraidError:
        """The probe of the recording, or the error that it gave."""
        path = Path(path)
        try:
            memo = self._memo(path, "probe", lambda sha256: _outcome(path, sha256))
        except UnbraidError as error:
            return error
        if "error" in memo["probe"]:
            return UnbraidError(memo["probe"]["error"], remedy=memo["probe"]["remedy"])
        return Probe(sha256=memo["sha256"], **memo["probe"])

    def sha256(self, path: str | Path) -> str | UnbraidError:
        """The sha256 of any file's bytes, or the error that reading it gave."""
        try:
            return str(self._memo(Path(path))["sha256"])
        except UnbraidError as error:
            return error

    def _memo(self, path: Path, part: str = "", find: Callable[[str], dict[str, Any]] | None = None) -> dict[str, Any]:
        """What is remembered of `path`, with `part` found and remembered when it is missing."""
        absolute = os.path.abspath(path)
        place = self.folder / f"{hashlib.sha256(os.fsencode(absolute)).hexdigest()}.json"
        stamp = _stamp(check_file(path))
        memo = _read(place, stamp)
        if memo and (find is None or part in memo):
            return memo
        memo = memo or {"version": _VERSION, "stamp": stamp, "sha256": _hash(path)}
        if find:
            memo[part] = find(memo["sha256"])
        # An error is not remembered: what cannot be read today may be read tomorrow. The hash is.
        kept = {name: value for name, value in memo.items() if name != "probe" or "error" not in value}
        try:
            if _stamp(path.stat()) == stamp:  # else somebody is still writing it
                files.write_json(place, kept)
        except (OSError, UnicodeError):  # UnicodeError: an error that quotes a name which is not UTF-8
            pass
        return memo


def _stamp(found: os.stat_result) -> list[int]:
    return [found.st_size, found.st_mtime_ns]


def _read(place: Path, stamp: list[int]) -> dict[str, Any] | None:
    """The memo at `place` if it is of this version, of a file with this stamp, and whole."""
    try:
        memo = json.loads(place.read_bytes())
        if memo["version"] != _VERSION or memo["stamp"] != stamp or len(memo["sha256"]) != 64:
            return None
        found = memo.get("probe")
        if found is not None and set(found) != _FIELDS:
            return None
        return dict(memo)
    except (OSError, ValueError, LookupError, TypeError):
        return None


_FIELDS = {field.name for field in dataclasses.fields(Probe)} - {"sha256"}


def _outcome(path: Path, sha256: str) -> dict[str, Any]:
    try:
        found = dataclasses.asdict(_probe(path, sha256))
    except UnbraidError as error:
        return {"error": error.what, "remedy": error.remedy}
    del found["sha256"]
    return found
