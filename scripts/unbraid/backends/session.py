"""The protocol between the separate stage and the backends. Backends do no audio file I/O and know nothing of Snakemake."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from unbraid.catalogue import Model
from unbraid.errors import UnbraidError
from unbraid.grid import Grid

Audio = NDArray[np.float32]


@dataclass(frozen=True)
class Statistics:
    """Of the whole input in the model's format: mean and standard deviation of its mono mean, and its highest peak."""

    frames: int
    rate: int
    channels: int
    mean: float
    std: float
    peak: float


@dataclass(frozen=True)
class Pass:
    """One evaluation of the whole grid by one network; the result is the sum of all passes.

    weights: shape [stems], what this pass contributes to each stem.
    """

    grid: Grid
    network: int
    weights: tuple[float, ...]


class Session(Protocol):
    """A loaded model on a device. All audio is float32 at the model's rate and in the level of the mix."""

    passes: list[Pass]
    device: str
    engine: str
    batch: int  # chunks that one call takes
    notices: list[str]  # what a user should know about how it ran: fallbacks, warnings

    def level(self) -> tuple[np.float32, np.float32]:
        """(offset, scale): the network sees (audio - offset) / scale, and its output is taken back."""

    def valid_length(self, one: Pass, length: int) -> int:
        """Frames that the network is shown for a chunk of `length` frames (centred, real audio around it)."""

    def separate(self, one: Pass, chunks: Audio) -> Audio:
        """[chunks, channels, frames] → [chunks, stems, channels, frames]."""

    def close(self) -> None:
        """Free the device's memory."""


def load(
    model: Model, folder: Path, statistics: Statistics, settings: dict[str, Any], device: str, threads: int
) -> Session:
    """The session of a model's backend. Only that backend's packages are imported.

    folder: where the model's files are. settings: what the preset asks for. threads: of the CPU, for this job.
    """
    if model.backend == "identity":
        from unbraid.backends.identity import IdentitySession

        return IdentitySession(statistics)
    if model.backend == "demucs":
        from unbraid.backends.demucs import DemucsSession

        return DemucsSession(model, folder, statistics, settings, device, threads)
    raise UnbraidError(
        f"The model {model.name!r} asks for the backend {model.backend!r}, which does not exist.",
        remedy="Known: demucs, identity.",
    )
