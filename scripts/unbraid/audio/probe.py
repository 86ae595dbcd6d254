"""What the plan needs to know of a song, found once and remembered.

A known file costs one `stat` and one small read; only an unknown one is hashed and opened.
"""

import dataclasses
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unbraid import files
from unbraid.errors import UnbraidError

VERSION = 1  # of the remembered form; another version is probed again


@dataclass(frozen=True)
class Probe:
    """sha256 of the bytes; duration in seconds as the container or its packets say, before decoding."""

    sha256: str
    duration: float
    rate: int
    channels: int
    codec: str


def probe(path: str | Path) -> Probe:
    """Look at a song without decoding it.

    Raises: UnbraidError when it cannot be read or holds no audio.
    """
    from unbraid.audio.source import check_readable, describe, open_audio

    check_readable(path)
    digest = files.sha256(path)
    with open_audio(path) as (container, stream):
        found = describe(path, container, stream)
        if found.promised is not None:
            duration = found.promised / found.rate
        else:
            duration = _packet_seconds(container, stream)
    return Probe(digest, round(duration, 6), found.rate, found.channels, found.codec)


def _packet_seconds(container: Any, stream: Any) -> float:
    first = last = None
    for packet in container.demux(stream):
        if packet.pts is not None:
            first = packet.pts if first is None else first
            last = max(last or 0, packet.pts + (packet.duration or 0))
    return float((last - first) * stream.time_base) if first is not None and last is not None else 0.0


class Probes:
    """Probes remembered in a folder, by absolute path, size and time of change."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, path: str) -> Probe | UnbraidError:
        """The probe of a song, or the error that it gave."""
        return self._remembered(path, "probe", lambda: dataclasses.asdict(probe(path)), lambda values: Probe(**values))

    def sha256(self, path: str) -> str | UnbraidError:
        """The sha256 of any file."""
        return self._remembered(path, "sha256", lambda: _digest(path), str)

    def _remembered(self, path: str, kind: str, find: Any, revive: Any) -> Any:
        absolute = os.path.abspath(path)
        memo = self._folder / f"{hashlib.sha256(f'{kind} {absolute}'.encode('utf-8', 'surrogateescape')).hexdigest()}.json"
        try:
            state = os.stat(absolute)
        except OSError:
            stamp = None
        else:
            stamp = [VERSION, state.st_size, state.st_mtime_ns]
            try:
                known = json.loads(memo.read_bytes())
                if known["stamp"] == stamp:
                    return revive(known["value"])
            except (OSError, ValueError, KeyError, TypeError):
                pass  # not remembered, or in a form that is not understood: find it again
        try:
            value = find()
        except UnbraidError as error:
            return error  # not remembered: it is cheap to find again, and may be mended
        try:
            files.write_json(memo, {"stamp": stamp, "value": value})
        except OSError:
            pass  # a store that may not be written to: works, only slower
        return revive(value)


def _digest(path: str) -> str:
    from unbraid.audio.source import check_readable

    check_readable(path)
    return files.sha256(path)
