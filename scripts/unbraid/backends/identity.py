"""The identity model: its one stem is its input, to the bit. For tests, and for trying a pipeline without a network."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unbraid.backends.session import Audio, Pass, Plain
from unbraid.catalogue import Model
from unbraid.grid import Chunk, Grid

CHUNK = 1 << 18  # frames


class IdentitySession(Plain):
    """A session without a network. Chunks do not overlap and weigh 1, so that overlap-add changes no bit."""

    device = "cpu"
    engine = "none"
    batch = 1

    def __init__(self, model: Model, folder: Path, settings: dict[str, Any], device: str, threads: int) -> None:
        grid = Grid(CHUNK, CHUNK, np.ones(CHUNK, dtype=np.float32))
        self.passes = [Pass(grid, network=0, weights=(1.0,))]
        self.notices: list[str] = []

    def separate(self, one: Pass, audio: Audio, chunks: Sequence[Chunk]) -> Audio:
        return audio[:, None]

    def close(self) -> None:
        pass
