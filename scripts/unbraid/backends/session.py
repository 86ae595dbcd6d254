"""The protocol between the separate stage and the backends. Backends do no audio file I/O and know nothing of Snakemake."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from unbraid.backends import registry
from unbraid.grid import Chunk, Grid, triangle
from unbraid.threads import ahead

if TYPE_CHECKING:  # stages that know no model import this module too
    from unbraid.catalogue import Model

Audio = NDArray[np.float32]
Shown = tuple[Chunk, Audio]
MAX_SHIFT = 0.5  # seconds, as demucs


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


def passes(
    networks: Iterable[tuple[int, Sequence[float]]], settings: dict[str, Any], rate: int, multiple: int = 1
) -> list[Pass]:
    """Every network over every seeded shift that the settings ask for, on grids with a triangular window.

    networks: for each the frames of its chunks, and its share of each stem; shares of a stem add up to 1.
    multiple: of frames, that the stride is rounded down to.
    """
    draw = random.Random(settings.get("seed", 0))
    largest = int(MAX_SHIFT * rate)
    made = []
    for index, (chunk, shares) in enumerate(networks):
        stride = max(int((1 - settings["overlap"]) * chunk) // multiple, 1) * multiple
        # A shift moves the grid's origin to before the song: upstream pads the song and cuts it at a random offset.
        origins = [draw.randint(0, largest) - largest for _ in range(settings["shifts"])] or [0]
        weights = tuple(float(share) / len(origins) for share in shares)
        made += [Pass(Grid(chunk, stride, triangle(chunk), origin), index, weights) for origin in origins]
    return made


class Session(Protocol):
    """A loaded model on a device, for one song after the other.

    All audio is float32 at the model's rate and in the level of the mix. What a song gives depends on no song before it.
    """

    passes: list[Pass]  # of this song
    device: str
    engine: str
    arithmetic: str  # what the network computes in: float32, tf32, bfloat16 or float16
    batch: int  # chunks that one call takes
    joint: bool  # whether chunks of several songs may go through `stream` together: each gives what it gives alone
    notices: list[str]  # what a user should know about how this song ran: fallbacks, warnings

    def begin(self, statistics: Statistics, prompt_file: Path | None = None) -> None:
        """Called first for each song, or segment of one; forgets the one before.

        prompt_file: what stage prompt made, for a model that is asked in words.
        """

    def survey(self, blocks: Iterator[Audio]) -> None:
        """Called once for each song, before its first chunk: what a backend must know of the whole song beyond its `Statistics`.

        blocks: the whole input, [frames, channels] each; a backend that needs nothing leaves them unread.
        """

    def level(self) -> tuple[np.float32, np.float32]:
        """(offset, scale): the network sees (audio - offset) / scale, and its output is taken back."""

    def valid_length(self, one: Pass, length: int) -> int:
        """Frames that the network is shown for a chunk of `length` frames (centred, real audio around it)."""

    def separate(self, one: Pass, audio: Audio, chunks: Sequence[Chunk]) -> Audio:
        """[chunks, channels, frames] → [chunks, stems, channels, frames]. chunks: where in the song they are."""

    def stream(self, one: Pass, shown: Iterable[Shown | None]) -> Iterator[tuple[Chunk, Audio]]:
        """Each chunk with its [channels, frames] → in the same order, each with its [stems, channels, frames].

        The network is kept busy: what it needs next is taken from `shown` before what it has made is asked for. None in
        `shown` says that nothing comes for now: no chunk waits for a full batch, nor a result for the next chunk.
        """

    def rest(self) -> None:
        """Called after a song: free what the next one can have again, but keep the networks."""

    def close(self) -> None:
        """Free the device's memory."""


class Plain(ABC):
    """What most sessions have in common: nothing to know of the whole song, no levelling, chunks shown as they are."""

    arithmetic = "float32"
    joint = False
    batch: int
    statistics: Statistics
    prompt_file: Path | None

    def begin(self, statistics: Statistics, prompt_file: Path | None = None) -> None:
        self.statistics, self.prompt_file = statistics, prompt_file

    def survey(self, blocks: Iterator[Audio]) -> None:  # noqa: B027 (to do nothing is the usual)
        pass

    def level(self) -> tuple[np.float32, np.float32]:
        return np.float32(0), np.float32(1)

    def valid_length(self, one: Pass, length: int) -> int:
        return length

    @abstractmethod
    def separate(self, one: Pass, audio: Audio, chunks: Sequence[Chunk]) -> Audio: ...

    def stream(self, one: Pass, shown: Iterable[Shown | None]) -> Iterator[tuple[Chunk, Audio]]:
        for chunks, audio in self.batches(shown):
            if chunks:
                yield from zip(chunks, self.separate(one, audio, chunks), strict=True)

    def batches(self, shown: Iterable[Shown | None]) -> Iterator[tuple[list[Chunk], Audio]]:
        """What `separate` takes, each of chunks that are shown at one length: only the last ones of a song can differ.

        An empty one where nothing comes for now.
        """
        group: list[Shown] = []
        for item in ahead(shown, self.batch + 1):  # a whole batch, while the network has the last one
            if group and (item is None or item[1].shape != group[0][1].shape):
                yield _batch(group)
                group = []
            if item is None:
                yield [], np.empty(0, dtype=np.float32)
                continue
            group.append(item)
            if len(group) >= self.batch:
                yield _batch(group)
                group = []
        if group:
            yield _batch(group)

    def rest(self) -> None:  # noqa: B027 (to do nothing is the usual)
        pass


def _batch(group: Sequence[Shown]) -> tuple[list[Chunk], Audio]:
    return [chunk for chunk, _ in group], np.stack([audio for _, audio in group])


def load(model: Model, folder: Path, settings: dict[str, Any], device: str, threads: int) -> Session:
    """The session of a model's backend. Only that backend's packages are imported.

    folder: where the model's files are. settings: what the preset, the configuration and the step ask for.
    threads: of the CPU, for this job. Raises: UnbraidError for a device or an engine that cannot be had.
    """
    session = registry.session_class(registry.find(model.backend))
    made: Session = session(model, folder, settings, device, threads)
    return made
