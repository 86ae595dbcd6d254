"""Whether a run fits this machine: its disks and its memory. Warnings only: an estimate is no reason to refuse."""

import os
import shutil
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from unbraid import shares
from unbraid.cache import size
from unbraid.forecast import Expected
from unbraid.plan import Separation


def needs(expected: Iterable[Expected], store: Path) -> dict[Path, float]:
    """Bytes that a run brings into each folder at the most: songs of a batch may all lie in work/ at a time."""
    given = list(expected)
    stored = sum(one.stored for one in given)
    # What goes into the store is a link to what is in work/, but on another file system.
    twice = stored if os.stat(_there(store)).st_dev != os.stat(_there(Path("work"))).st_dev else 0.0
    return {
        store: stored,
        Path("work"): sum(one.passing for one in given) + twice,
        Path("results"): sum(one.delivered for one in given),
    }


def disk_warnings(needed: Mapping[Path, float]) -> list[str]:
    """A sentence for each file system that these folders need more of than it has free."""
    together: dict[int, list[Path]] = defaultdict(list)
    for folder, count in needed.items():
        if count:
            together[os.stat(_there(folder)).st_dev].append(folder)
    told = []
    for folders in together.values():
        wanted, free = sum(needed[folder] for folder in folders), shutil.disk_usage(_there(folders[0])).free
        if wanted > free:
            named = ", ".join(f"{folder} {size(round(needed[folder]))}" for folder in folders)
            told.append(
                f"The disk may run full: this run needs about {size(round(wanted))} ({named}), and {size(free)} are free there."
                " Free some space, put the store on another disk (store=), or do fewer songs at a time."
            )
    return told


def memory_warnings(separations: Iterable[Separation]) -> list[str]:
    """A sentence when a separation is counted with more memory than there is."""
    total = shares.memory_here()
    models = sorted({made.model.name for made in separations if made.model.weights})
    if not models or total >= shares.MEMORY:
        return []
    return [
        f"The memory may run out: a separation is counted with {shares.MEMORY} MB ({', '.join(models)}), and there"
        f" are {total} MB here. Close other programs, or choose a smaller model, such as spleeter-2stems."
    ]


def _there(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    return place
