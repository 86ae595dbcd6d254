"""What stages that make a key of the store do last: put it there, whole."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from unbraid import leases, run_note, store
from unbraid.errors import UnbraidError


def publish(config: Mapping[str, Any], key: str, files: Iterable[Path]) -> None:
    """Put the files of a key into the store of `config`. With `reuse: false`, in the place of those that are there, unless
    another run needs them. Raises: UnbraidError where the store cannot be written."""
    folder = Path(config["store"])
    try:
        if not config["reuse"]:
            store.remove(folder, key, lambda: leases.leased(folder, but=run_note.lease()))
        store.publish(folder, key, files)
    except OSError as error:
        raise UnbraidError(
            f"The stems were made, but the store {folder} cannot be written ({error.strerror or error}).",
            remedy="Make room there, or see who may write to it; or set store= to another folder.",
        ) from error
