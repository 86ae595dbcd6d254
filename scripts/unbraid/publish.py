"""What stages that make a key of the store do last: put it there, whole."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from unbraid import leases, run_note, store


def publish(config: Mapping[str, Any], key: str, files: Iterable[Path]) -> None:
    """Put the files of a key into the store of `config`. With `reuse: false`, in the place of those that are there, unless
    another run needs them. Raises: OSError where the store cannot be written."""
    folder = Path(config["store"])
    if not config["reuse"]:
        store.remove(folder, key, lambda: leases.leased(folder, but=run_note.lease()))
    store.publish(folder, key, files)
