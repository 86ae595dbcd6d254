"""Overlap-add against the plain definition: the whole song in memory, all chunks added, divided by the weights."""

import itertools

import numpy as np
import pytest

from unbraid.grid import Chunk, Grid, cores, overlap_add, segment_count, triangle

GRIDS = [
    Grid(100, 75, triangle(100)),
    Grid(100, 90, triangle(100)),
    Grid(101, 50, triangle(101), origin=-33),
    Grid(100, 13, triangle(100), origin=-99),
    Grid(64, 64, np.ones(64, dtype=np.float32)),
]


def network(chunk: Chunk) -> np.ndarray:
    return np.random.default_rng(chunk.position + 10_000).standard_normal((2, chunk.length)).astype(np.float32)


def done(grid: Grid, frames: int, start: int, stop: int) -> np.ndarray:
    parts = ((chunk, network(chunk)) for chunk in grid.touching(frames, start, stop))
    return np.concatenate([np.zeros((2, 0), np.float32), *overlap_add(parts, grid, start, stop)], axis=-1)


def by_definition(grid: Grid, frames: int) -> np.ndarray:
    total, weight = np.zeros((2, frames), np.float32), np.zeros(frames, np.float32)
    for position in range(grid.origin, frames, grid.stride):
        length = min(grid.chunk, frames - position)
        first = max(position, 0)
        part = network(Chunk(position, length)) * grid.window[:length]
        total[:, first : position + length] += part[:, first - position :]
        weight[first : position + length] += grid.window[first - position : length]
    return total / weight


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("frames", [1, 2, 63, 64, 65, 99, 100, 101, 200, 201, 999, 1000, 1234])
def test_overlap_add_is_the_weighted_mean_of_all_chunks(grid, frames):
    assert np.array_equal(done(grid, frames, 0, frames), by_definition(grid, frames))


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("seed", range(20))
def test_cuts_anywhere_give_the_same_bits(grid, seed):
    random = np.random.default_rng(seed)
    frames = int(random.integers(1, 1500))
    cuts = sorted({0, frames, *map(int, random.integers(0, frames + 1, 6))})
    parts = [done(grid, frames, start, stop) for start, stop in itertools.pairwise(cuts)]
    assert np.array_equal(np.concatenate(parts, axis=-1), done(grid, frames, 0, frames))


def test_an_empty_core_touches_no_chunk_and_gives_no_frames():
    assert GRIDS[0].touching(500, 100, 100) == []
    assert done(GRIDS[0], 500, 100, 100).shape == (2, 0)


def test_only_chunks_that_touch_the_core_are_evaluated():
    grid = Grid(100, 75, triangle(100))
    assert [chunk.position for chunk in grid.touching(1000, 300, 310)] == [225, 300]


def test_the_window_is_upstreams():
    import torch

    for length in (7, 8, 343980):
        upstream = torch.cat([torch.arange(1, length // 2 + 1), torch.arange(length - length // 2, 0, -1)])
        assert np.array_equal(triangle(length), (upstream / upstream.max()).numpy())


@pytest.mark.parametrize("frames", [0, 1, 2, 7, 100, 44100 * 60 + 1])
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_cores_cover_the_song_once_and_in_order(frames, count):
    found = cores(frames, count)
    assert len(found) == count
    assert found[0][0] == 0
    assert found[-1][1] == frames
    assert all(left[1] == right[0] for left, right in itertools.pairwise(found))
    assert max(stop - start for start, stop in found) - min(stop - start for start, stop in found) <= 1


@pytest.mark.parametrize(
    ("duration", "seconds", "count"),
    [
        (0, None, 1),
        (0, 10, 1),
        (599, None, 1),
        (601, None, 2),
        (240, 60, 4),
        (241, 60, 5),
        (1, 0.001, 1000),
        (31, None, 1),
        (2.1, 0.3, 7),
    ],
)
def test_the_number_of_segments_follows_the_duration(duration, seconds, count):
    assert segment_count(duration, seconds, shortest=30, longest=600, most=1000) == count


def test_segments_never_get_shorter_than_asked_for_on_auto():
    assert segment_count(65, None, shortest=60, longest=60, most=10) == 1
