"""Which keys of the store the runs at work need: what is so leased is not removed, whoever shares the store.

A lease is a file in the store's `runs/`, with the keys of one run. It holds as long as the run's process lives; a process
of another machine counts as alive while it shows signs of life, which are the times of its file.
"""

import json
import os
import platform
import secrets
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from unbraid.files import read_json, write_json
from unbraid.worker import owner
from unbraid.worker.owner import Owner

BEAT = 60.0  # seconds between signs of life
LAPSE = 900.0  # seconds without one after which another machine's run counts as dead


class Lease:
    """Of this process, until it ends or `end` is called."""

    def __init__(self, store: Path, keys: Iterable[str]) -> None:
        """Raises: OSError where the store cannot be written."""
        place = store / "runs"
        place.mkdir(parents=True, exist_ok=True)
        self._path = place / f"{platform.node()}-{os.getpid()}-{secrets.token_hex(4)}.json"
        me = str(Owner.of(os.getpid()))
        write_json(self._path, {"machine": _machine(), "owner": me, "keys": sorted(keys)})
        self._ended = threading.Event()
        threading.Thread(target=self._live, daemon=True).start()

    def _live(self) -> None:
        while not self._ended.wait(BEAT):
            try:
                os.utime(self._path)
            except OSError:  # the store may come back
                continue

    def end(self) -> None:
        self._ended.set()
        self._path.unlink(missing_ok=True)


def leased(store: Path, *, tidy: bool = False) -> set[str]:
    """The keys that other runs at work need. tidy: whether to remove the leases of the dead. Raises: OSError."""
    place = store / "runs"
    found: set[str] = set()
    own = str(owner.current())
    paths = list(place.glob("*.json")) if place.is_dir() else []
    now = _now(place) if paths else 0.0
    for path in paths:
        try:
            lease, age = read_json(path), now - path.stat().st_mtime
        except FileNotFoundError:
            continue
        except (OSError, json.JSONDecodeError, UnicodeDecodeError) as error:
            raise OSError(f"{path} cannot be read ({error}); it may be the lease of a run at work") from error
        if _alive(lease, age):
            found.update(lease["keys"] if lease["owner"] != own else ())
        elif tidy:
            path.unlink(missing_ok=True)
    return found


def _alive(lease: dict[str, Any], age: float) -> bool:
    if lease["machine"] == _machine():
        holder = Owner.parse(lease["owner"])
        return holder is not None and holder.alive()
    return age < LAPSE


def _machine() -> str:
    """Where numbers of processes mean the same: a machine, or a container on one."""
    try:
        return f"{platform.node()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return platform.node()


def _now(folder: Path) -> float:
    """The time as the store's file system has it: clocks of machines differ."""
    probe = folder / f".{secrets.token_hex(4)}"
    probe.touch()
    try:
        return probe.stat().st_mtime
    finally:
        probe.unlink()
