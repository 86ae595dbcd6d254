"""Real weights, for tests that are marked `weights`: fetched once, HTDemucs' into the folder of `make demo`."""

import fcntl
import os
from pathlib import Path

from unbraid import catalogue
from unbraid.fetch import fetch

HOME = Path(__file__).parents[2]


def fetched(name: str) -> tuple[catalogue.Model, Path]:
    """The model of this name and its folder (below $UNBRAID_MODELS where that is set, else below models/)."""
    model = catalogue.load([HOME / "config/models.yaml"])[name]
    folder = Path(os.environ.get("UNBRAID_MODELS", HOME / "models")) / model.name
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".fetching", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run side by side
        fetch(model, folder, log=print)
    return model, folder
