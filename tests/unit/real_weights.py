"""Real weights, for tests that are marked `weights`: fetched once, into the folder of `make demo`."""

import os
from pathlib import Path

from unbraid import catalogue
from unbraid.fetch import fetch

HOME = Path(__file__).parents[2]


def htdemucs() -> tuple[catalogue.Model, Path]:
    return fetched("htdemucs")


def fetched(name: str) -> tuple[catalogue.Model, Path]:
    """The model and its folder (below $UNBRAID_MODELS where that is set, else below models/)."""
    model = catalogue.load([HOME / "config/models.yaml"])[name]
    folder = Path(os.environ.get("UNBRAID_MODELS", HOME / "models")) / model.name
    fetch(model, folder, log=print)
    return model, folder
