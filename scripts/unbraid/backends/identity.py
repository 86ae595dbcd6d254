"""The identity model: its one stem is its input, to the bit. For tests, and for trying a pipeline without a network."""

import numpy as np

from unbraid.backends.session import Audio, Pass, Statistics
from unbraid.grid import Grid

CHUNK = 1 << 18  # frames


class IdentitySession:
    """A session without a network. Chunks do not overlap and weigh 1, so that overlap-add changes no bit."""

    device = "cpu"
    engine = "none"
    batch = 1

    def __init__(self, statistics: Statistics) -> None:
        grid = Grid(CHUNK, CHUNK, np.ones(CHUNK, dtype=np.float32))
        self.passes = [Pass(grid, network=0, weights=(1.0,))]
        self.notices: list[str] = []

    def level(self) -> tuple[np.float32, np.float32]:
        return np.float32(0), np.float32(1)

    def valid_length(self, one: Pass, length: int) -> int:
        return length

    def separate(self, one: Pass, chunks: Audio) -> Audio:
        return chunks[:, None]

    def close(self) -> None:
        pass
