"""Removing what was used least recently: to a limit, to keep the disk free, or by age; never what a run at work needs."""

import dataclasses
import shutil
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import humanfriendly

from unbraid import cache, leases, store
from unbraid.config import Config
from unbraid.errors import UnbraidError
from unbraid.store import Entry


@dataclass(frozen=True)
class Bounds:
    """What a store may hold. limit: bytes in all. free: bytes of its file system that stay free. age: since the last use."""

    limit: int | None = None
    free: int | None = None
    age: timedelta | None = None


def bounds(config: Config, *, age: bool) -> Bounds | None:
    """What the configuration asks for, if anything. age: whether `older_than` counts: only where somebody asks to clean."""
    limit, free = (humanfriendly.parse_size(text) if text else None for text in (config.store_limit, config.store_free))
    span = timedelta(seconds=humanfriendly.parse_timespan(config.older_than)) if age and config.older_than else None
    found = Bounds(limit, free, span)
    return None if found == Bounds() else found


def surplus(entries: Iterable[Entry], bounds: Bounds, free: int, needed: set[str]) -> Iterator[Entry]:
    """What is to go, of entries from the least recently used on. free: bytes of the file system. needed: keys that stay."""
    entries = list(entries)
    total, now = sum(entry.size for entry in entries), datetime.now(UTC)
    for entry in entries:
        over = bounds.limit is not None and total > bounds.limit
        short = bounds.free is not None and free < bounds.free
        old = bounds.age is not None and now - entry.used > bounds.age
        if (over or short or old) and entry.key not in needed:
            total -= entry.size
            free += entry.size
            yield entry


def keep_to(folder: Path, limits: Bounds, used: Collection[str]) -> str:
    """Remove what is over the limits, and tell what went; empty when nothing had to. Raises: OSError.

    used: the keys that the run has just used.
    """
    over, told = _over(folder, limits)
    gone = _remove(folder, over)
    if gone:
        told.insert(0, f"{_total(gone)} that were used least recently are removed from {folder}.")
    if own := sum(entry.key in used for entry in gone):
        told.append(f"{own} of them this very run had used: the limit is too small for it.")
    return " ".join(told)


def clean(config: Config) -> str:
    """What the target `cache_clean` says, and with `yes` does. Raises: UnbraidError when nothing says what may stay."""
    limits = bounds(config, age=True)
    if limits is None:
        raise UnbraidError(
            "Nothing says what the store may keep.",
            remedy="Add --config older_than=30d, or set store_limit= or store_free=; cache_clear removes everything.",
        )
    return _told(config, *_over(Path(config.store), limits))


def clear(config: Config) -> str:
    """What the target `cache_clear` says, and with `yes` does."""
    folder = Path(config.store)
    needed = leases.leased(folder)
    return _told(config, [entry for entry in store.entries(folder) if entry.key not in needed], [])


def _over(folder: Path, limits: Bounds) -> tuple[list[Entry], list[str]]:
    """What is to go, and what there is to say of that."""
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    entries, free, needed = store.entries(folder), shutil.disk_usage(place).free, leases.leased(folder)
    told = []
    if limits.free is not None:
        most = free + sum(entry.size for entry in entries if entry.key not in needed)
        if most < limits.free:
            # All of the store would go, and the disk be as full as before.
            told.append(f"{cache.size(limits.free)} (store_free) cannot be had: nothing is removed for it.")
            limits = dataclasses.replace(limits, free=None)
    return list(surplus(entries, limits, free, needed)), told


def _remove(folder: Path, entries: Iterable[Entry]) -> list[Entry]:
    gone = [entry for entry in entries if store.remove(folder, entry.key, lambda: leases.leased(folder, tidy=True))]
    store.tidy(folder)
    return gone


def _told(config: Config, entries: list[Entry], said: list[str]) -> str:
    folder = Path(config.store)
    busy = len(leases.leased(folder) & {entry.key for entry in store.entries(folder)})
    stay = " ".join(["", *said, *([f"{busy} are needed by runs at work and stay."] if busy else [])])
    if not entries:
        return f"Nothing is to be removed from {folder}.{stay}"
    if config.yes:
        return f"{_total(_remove(folder, entries))} are removed from {folder}.{stay}"
    table = cache.table(entries)
    return f"{table}\n\n{_total(entries)} would be removed from {folder}; --config yes=true does it.{stay}"


def _total(entries: list[Entry]) -> str:
    return f"{len(entries)} key(s) ({cache.size(sum(entry.size for entry in entries))})"
