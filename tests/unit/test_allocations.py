"""A job on a cluster is given time and disk by the length of its song, and more when it is tried again."""

import pytest

from unbraid import allocations

HOUR = 3600.0


@pytest.mark.parametrize("seconds", [0.0, 200.0, 8 * HOUR])
def test_each_attempt_is_given_as_much_again(seconds):
    first = allocations.around(seconds, 1)
    assert [allocations.around(seconds, attempt) for attempt in (2, 3)] == [2 * first, 3 * first]


def test_a_network_is_given_more_for_longer_songs_on_a_cpu_and_where_it_takes_long():
    def network(seconds, *, gpu=True, slow=False):
        return allocations.network(seconds, 1, gpu=gpu, slow=slow)

    assert network(HOUR) > network(240.0) > network(0.0) >= 1
    assert network(HOUR, gpu=False) > network(HOUR)
    assert network(HOUR, slow=True) > network(HOUR)
    assert network(HOUR) >= 60
    assert isinstance(network(123.4), int)


def test_a_network_is_given_as_much_more_as_it_goes_over_the_song():
    once = {"shifts": 0, "overlap": 0.25}
    assert allocations.passes(once, 1) == 1
    assert allocations.passes({"shifts": 10, "overlap": 0.5}, 4) == 60
    assert allocations.passes({}, 0) <= 1

    def network(passes):
        return allocations.network(HOUR, 1, gpu=False, slow=False, passes=passes)

    assert network(60) > 50 * network(1)
    assert network(0.5) == network(1)


def test_what_is_around_the_network_is_given_less():
    assert allocations.around(HOUR, 1) < allocations.network(HOUR, 1, gpu=True, slow=False)


def test_disk_is_given_for_all_that_is_made_of_a_song():
    # Four stems in stereo at 44.1 kHz, float32: the song and the model's input, parts, joined stems; and five delivered of 24 bits.
    second = 44100 * 2 * 4 / 1e6
    made = (2 + 4 + 4) * second + 5 * second * 3 / 4
    assert 0 <= allocations.disk(HOUR, HOUR, 1) - made * HOUR < 0.5 * made * HOUR


def test_a_segment_is_given_disk_for_the_whole_song_and_its_own_stems_and_more_with_each_attempt():
    whole, part = allocations.disk(HOUR, HOUR, 1), allocations.disk(HOUR, HOUR / 12, 1)
    assert allocations.disk(HOUR, 0.0, 1) < part < whole / 3
    assert allocations.disk(HOUR, HOUR / 12, 3) == 3 * part
