"""Estimates: what the samples say, however few or disturbed they are."""

import pytest

from unbraid.estimates import Cost, chunk_count, fit, rounds, wall
from unbraid.grid import Grid, cores, triangle


def test_songs_of_several_lengths_tell_the_fixed_part_from_the_proportional_one():
    assert fit([(10, 7.0), (60, 32.0)]) == Cost(pytest.approx(2.0), pytest.approx(0.5))


def test_one_disturbed_run_does_not_count():
    true = [(units, 2 + 0.5 * units) for units in (10, 20, 40, 80, 160)]
    assert fit([*true, (30, 300.0)]).of(100) == pytest.approx(52, rel=0.1)


def test_songs_of_one_length_are_taken_to_be_proportional():
    assert fit([(10, 30.0), (10, 33.0), (11, 90.0)]).of(60) == pytest.approx(198)


def test_where_the_cost_of_a_unit_is_known_songs_of_one_length_tell_the_fixed_part():
    assert fit([(10, 3.0), (11, 3.1)], each=0.1) == Cost(pytest.approx(2.0), 0.1)
    assert fit([(10, 0.5)], each=0.1) == Cost(0.0, 0.1)


def test_samples_too_near_to_each_other_tell_no_slope():
    assert fit([(0.04, 0.8), (0.08, 1.4)], each=0.0, extent=1.0).of(50) == pytest.approx(1.1)


def test_longer_never_costs_less():
    assert fit([(10, 9.0), (100, 3.0)]).each == 0.0


def test_nothing_measured_is_no_estimate():
    with pytest.raises(ValueError, match="nothing"):
        fit([])


@pytest.mark.parametrize("segments", [1, 2, 5])
@pytest.mark.parametrize("seconds", [3, 10, 47, 60, 300])
def test_chunks_are_those_of_the_grid(seconds, segments):
    rate, chunk = 1000, 7800
    grid = Grid(chunk, int(0.75 * chunk), triangle(chunk))
    frames = seconds * rate
    true = sum(len(grid.touching(frames, *core)) for core in cores(frames, segments))
    assert chunk_count(seconds, segments, 0.25, 7.8, passes=1) == pytest.approx(true, abs=segments)
    assert segments > 1 or chunk_count(seconds, 1, 0.25, 7.8, passes=3) == 3 * true


@pytest.mark.parametrize(
    ("chunks", "segments", "lanes", "count"), [(11, 1, 2, 6), (1, 1, 8, 1), (12, 2, 2, 6), (5, 1, 1, 5)]
)
def test_chunks_side_by_side_take_a_round(chunks, segments, lanes, count):
    assert rounds(chunks, segments, lanes) == count


def test_a_song_alone_takes_all_its_stages_and_of_many_only_the_separations_add_up():
    song = (4.0, 30.0, 1.0)
    assert wall([song], cores=8) == 34
    assert wall([song] * 10, cores=2) == 10 * 30 + 10 * 4 / 2
    assert wall([song] * 4, cores=8) == 4 * 30 + 4
    assert wall([(4.0, 30.0, 0.25)] * 4, cores=8) == 34  # four side by side
    assert wall([], cores=2) == 0
