"""What the targets `cache_list` and `cache_verify` say of the store."""

from datetime import datetime
from pathlib import Path

from tqdm import tqdm

from unbraid import store
from unbraid.store import Entry
from unbraid.tables import aligned

COLUMNS = ("key", "stage", "song", "model", "size", "created", "last used", "hits")


def listing(folder: Path) -> str:
    """The keys of a store, least recently used first, and how much they take."""
    entries = store.entries(folder)
    if not entries:
        return f"{folder} holds nothing yet."
    total = f"{len(entries)} key(s) in {folder}, {size(sum(entry.size for entry in entries))}"
    return f"{table(entries)}\n\n{total}"


def table(entries: list[Entry]) -> str:
    return aligned([COLUMNS, *map(_row, entries)])


def verify(folder: Path) -> str:
    """Hash every file of the store again, take out the keys that are damaged, and tell."""
    told = []
    entries = store.entries(folder)
    for entry in tqdm(entries, "verifying", unit="key", leave=False, disable=None):
        # Twice: what is hashed while it is replaced is not damaged.
        if store.damage(folder, entry.key) and (problem := store.damage(folder, entry.key)):
            try:
                store.remove(folder, entry.key)
                told.append(f"{entry.key}: {problem}; it is removed, and the next run that needs it makes it again.")
            except OSError as error:
                told.append(f"{entry.key}: {problem}; it cannot be removed ({error.strerror}).")
    return "\n".join([*told, f"{len(entries)} key(s) in {folder}, {len(told)} damaged."])


def size(count: int) -> str:
    """Bytes for people: 1.23 MB."""
    number: str = tqdm.format_sizeof(count, divisor=1000)
    return f"{number.rstrip('kMGTPEZ')} {number.lstrip('0123456789.')}B"


def _row(entry: Entry) -> tuple[str, ...]:
    stage = entry.stage or "(unfinished)"
    used = _local(entry.used)
    return entry.key, stage, entry.song, entry.model, size(entry.size), _local(entry.created), used, str(entry.hits)


def _local(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M")
