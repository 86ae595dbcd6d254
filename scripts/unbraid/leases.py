"""Which keys of the store the runs at work need: what is so leased is not removed, whoever shares the store.

A lease is a file in the store's `runs/`, with the keys of one run. It holds as long as the run's process lives; a process
of another machine or user counts as alive while it shows signs of life, which are the times of its file.
"""

import json
import os
import platform
import secrets
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from unbraid.files import read_json, write_json
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
        me = {"machine": _machine(), "user": os.getuid(), "owner": str(Owner.of(os.getpid()))}
        write_json(self._path, {**me, "keys": sorted(keys)})
        self._ended = threading.Event()
        threading.Thread(target=self._live, daemon=True).start()

    @property
    def name(self) -> str:
        return self._path.name

    def _live(self) -> None:
        while not self._ended.wait(BEAT):
            try:
                os.utime(self._path)
            except OSError:  # the store may come back
                continue

    def end(self) -> None:
        self._ended.set()
        self._path.unlink(missing_ok=True)


def leased(store: Path, *, but: str = "", tidy: bool = False) -> set[str]:
    """The keys that runs at work need. but: the name of a lease that is not asked, the own run's. tidy: whether to remove
    those of the dead. Raises: OSError."""
    place = store / "runs"
    found: set[str] = set()
    if not place.is_dir():
        return found
    now = _now(
        place
    )  # first: where a network file system remembers what is in a folder, putting something there corrects it
    for path in place.glob("*.json"):
        try:
            lease, age = read_json(path), now - path.stat().st_mtime
        except FileNotFoundError:
            continue
        except (OSError, json.JSONDecodeError, UnicodeDecodeError) as error:
            raise OSError(f"{path} cannot be read ({error}); it may be the lease of a run at work") from error
        if _alive(lease, age):
            found.update(lease["keys"] if path.name != but else ())
        elif tidy:
            with suppress(OSError):  # another user's, who will see to it
                path.unlink()
    return found


def _alive(lease: dict[str, Any], age: float) -> bool:
    # On some machines nobody sees the processes of other users.
    if lease["machine"] == _machine() and lease["user"] == os.getuid():
        holder = Owner.parse(lease["owner"])
        return holder is not None and holder.alive()
    return age < LAPSE


def _machine() -> str:
    """Where numbers of processes mean the same: a machine since it was started, or a container on one."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{platform.node()} {boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return platform.node()


def _now(folder: Path) -> float:
    """The time as the store's file system has it: clocks of machines differ."""
    probe = folder / f".{secrets.token_hex(4)}"
    try:
        probe.touch()
    except OSError:  # nothing can be removed from such a store: here somebody only looks
        return time.time()
    try:
        return probe.stat().st_mtime
    finally:
        probe.unlink()
