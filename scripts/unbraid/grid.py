"""The grid of chunks over a song, and overlap-add on it.

A chunk is a pure function of the song and its position: the grid starts at a fixed origin of the whole song and knows
nothing of segments. A segment evaluates every chunk that touches its core, so each of its samples is the same sum, in
the same order, as when the song is done whole. The grid, the triangular window and the centring of short chunks are
those of `demucs.apply.apply_model`, so that its results are reproduced sample for sample.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Audio = NDArray[np.float32]


@dataclass(frozen=True)
class Chunk:
    """One stretch of the song that the network sees: frames [position, position + length). May start before 0."""

    position: int
    length: int


@dataclass(frozen=True)
class Grid:
    """Chunks of `chunk` frames every `stride` frames from `origin` (zero or negative) to the end of the song.

    window: shape [chunk], float32, all positive: the weight of each frame of a chunk in the overlap-add.
    """

    chunk: int
    stride: int
    window: Audio
    origin: int = 0

    def touching(self, frames: int, start: int, stop: int) -> list[Chunk]:
        """The chunks of a song of `frames` frames that overlap [start, stop), in order of position."""
        if start >= stop:
            return []
        first = max(0, (start - self.chunk - self.origin) // self.stride)
        chunks = []
        for position in range(self.origin + first * self.stride, stop, self.stride):
            length = min(self.chunk, frames - position)
            if position + length > start:
                chunks.append(Chunk(position, length))
        return chunks


def triangle(chunk: int) -> Audio:
    """Upstream's window: rises linearly to 1 in the middle and falls again. Shape [chunk]."""
    rising = np.arange(1, chunk // 2 + 1, dtype=np.float32)
    falling = np.arange(chunk - chunk // 2, 0, -1, dtype=np.float32)
    window: Audio = np.concatenate([rising, falling])
    return window / np.float32(chunk - chunk // 2)


def overlap_add(parts: Iterable[tuple[Chunk, Audio]], grid: Grid, start: int, stop: int) -> Iterator[Audio]:
    """Weighted mean of overlapping chunks over [start, stop), in order, holding no more than one chunk.

    parts: the chunks of `grid.touching(frames, start, stop)` in that order, each with its output, shape
    [..., length of the chunk]. Yields blocks, shape [..., frames of the block], that add up to stop - start frames.
    """
    total: Audio | None = None
    weight = np.zeros(grid.chunk, dtype=np.float32)
    base = emitted = start

    def settled(until: int) -> Audio:
        """What no later chunk can change any more: the frames from `emitted` to `until`."""
        assert total is not None
        there = slice(emitted - base, until - base)
        return total[..., there] / weight[there]

    for chunk, output in parts:
        if total is None:
            total = np.zeros((*output.shape[:-1], grid.chunk), dtype=np.float32)
            base = chunk.position
        until = min(chunk.position, stop)
        if until > emitted:
            yield settled(until)
            emitted = until
        shift = chunk.position - base
        total = _advance(total, shift)
        weight = _advance(weight, shift)
        base = chunk.position
        window = grid.window[: chunk.length]
        total[..., : chunk.length] += window * output
        weight[: chunk.length] += window
    if emitted < stop:
        yield settled(stop)


def _advance(buffer: Audio, frames: int) -> Audio:
    moved = np.zeros_like(buffer)
    if frames < buffer.shape[-1]:
        moved[..., : buffer.shape[-1] - frames] = buffer[..., frames:]
    return moved


def segment_count(duration: float, seconds: float | None, shortest: float, longest: float, most: int) -> int:
    """Into how many segments a song of `duration` seconds is cut: a function of nothing else, so that it is known early.

    seconds: the wished length, or None to choose: the fewest of at most `longest` seconds, none under `shortest`.
    """
    if seconds is None:
        count = min(math.ceil(duration / longest), int(duration / shortest))
    else:
        count = math.ceil(round(duration / seconds, 6))  # 2.1 / 0.3 is a hair over 7
    return min(max(1, count), most)


def cores(frames: int, count: int) -> list[tuple[int, int]]:
    """The cores [start, stop) of `count` segments of nearly equal length; some are empty when there are fewer frames."""
    return list(pairwise(index * frames // count for index in range(count + 1)))
