"""Several songs at a time in one session: each gets what it would have had alone, and batches are filled from all of them."""

import dataclasses
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import numpy as np
import pytest

from unbraid.backends.joint import Joint, NetworkFailed
from unbraid.backends.session import Pass, Plain, Statistics
from unbraid.grid import Chunk, Grid, triangle

STATISTICS = Statistics(frames=1000, rate=100, channels=2, mean=0.0, std=1.0, peak=1.0)
GRID = Grid(100, 50, triangle(100))
ONE, TWO = (Pass(GRID, network, (1.0,)) for network in (0, 1))


class Doubling(Plain):
    """Doubles (network 0) or triples (1). calls: the songs in each batch, known by the first sample. hold: waited for."""

    engine, device, joint = "torch", "cpu", True

    def __init__(self, batch=4):
        self.batch, self.notices, self.calls, self.begun, self.rests, self.closed = batch, [], [], [], 0, False
        self.hold = Event()
        self.hold.set()

    def begin(self, statistics, prompt_file=None):
        super().begin(statistics, prompt_file)
        self.begun.append(statistics)

    def separate(self, one, audio, chunks):
        self.hold.wait(20)
        if np.isnan(audio).any():
            raise RuntimeError("this network has had enough")
        self.calls.append([int(sample) for sample in audio[:, 0, 0]])
        return audio[:, None] * (2 + one.network)

    def rest(self):
        self.rests += 1

    def close(self):
        self.closed = True


@pytest.fixture
def session():
    return Doubling()


@pytest.fixture
def joint(session):
    made = Joint(session)
    yield made
    made.close()
    assert session.closed


def until(condition):
    limit = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < limit, "it never came to pass"
        time.sleep(0.01)


def song(number, chunks, frames=100):
    return [(Chunk(50 * at, frames), np.full((2, frames), number, np.float32)) for at in range(chunks)]


def run(joint, number, chunks, one=ONE, frames=100):
    """The chunks' positions, and what they became."""
    guest = joint.guest()
    guest.begin(dataclasses.replace(STATISTICS, frames=number))
    made = [
        (chunk.position, float(output[0, 0, 0])) for chunk, output in guest.stream(one, song(number, chunks, frames))
    ]
    guest.rest()
    return made


def alone(number, chunks, factor=2):
    return [(50 * at, factor * number) for at in range(chunks)]


def test_a_song_alone_gets_its_chunks_in_order(joint, session):
    assert run(joint, 1, 30) == alone(1, 30)
    assert session.calls[0] == [1, 1, 1, 1]
    assert sum(map(len, session.calls)) == 30


def test_the_session_rests_once_when_nothing_has_come_for_a_while_and_not_before(joint, session, monkeypatch):
    guest = joint.guest()
    guest.begin(STATISTICS)
    for _ in guest.stream(ONE, song(1, 30)):
        time.sleep(0.01)  # slower than the network
    assert session.rests == 0
    monkeypatch.setattr("unbraid.backends.joint.PAUSE", 0.05)
    run(joint, 2, 3)
    until(lambda: session.rests == 1)
    time.sleep(0.2)
    assert session.rests == 1


def test_songs_at_a_time_fill_batches_together_and_each_gets_its_own(joint, session):
    session.hold.clear()
    barrier = Barrier(4)

    def one_of_them(number):
        barrier.wait(20)
        return run(joint, number, 3)

    with ThreadPoolExecutor(4) as pool:
        made = [pool.submit(one_of_them, number) for number in range(1, 4)]
        barrier.wait(20)
        until(lambda: len(joint._line) + len(joint._flying) == 9)
        session.hold.set()
        assert [one.result() for one in made] == [alone(number, 3) for number in range(1, 4)]
    assert sum(map(len, session.calls)) == 9
    assert any(len(set(call)) > 1 for call in session.calls)
    assert len(session.calls) < 6


def test_networks_take_turns_and_lengths_are_kept_apart(joint, session):
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(run, joint, 1, 20)
        second = pool.submit(run, joint, 2, 20, TWO)
        third = pool.submit(run, joint, 3, 20, ONE, 70)
        assert first.result() == alone(1, 20)
        assert second.result() == alone(2, 20, 3)
        assert third.result() == alone(3, 20)
    assert not any({1, 2} <= set(call) or {1, 3} <= set(call) for call in session.calls)


def test_a_song_that_is_broken_off_leaves_the_line_and_the_others_go_on(joint, session):
    session.hold.clear()
    leaving = joint.guest()
    leaving.begin(STATISTICS)
    stream = leaving.stream(ONE, song(7, 100))
    with ThreadPoolExecutor(2) as pool:
        waiting = pool.submit(next, stream)
        until(lambda: len(joint._line) + len(joint._flying) == 12)
        staying = pool.submit(run, joint, 2, 5)
        session.hold.set()
        waiting.result()
        stream.close()
        assert staying.result() == alone(2, 5)
    assert sum(call.count(7) for call in session.calls) < 30


def test_a_song_that_is_not_wanted_any_more_waits_for_no_chunk(joint, session, monkeypatch):
    monkeypatch.setattr("unbraid.backends.joint.GLANCE", 0.01)
    session.hold.clear()

    def cancelled():
        raise ConnectionError

    leaving = joint.guest(cancelled)
    leaving.begin(STATISTICS)
    with pytest.raises(ConnectionError):
        next(leaving.stream(ONE, song(7, 5)))
    session.hold.set()
    assert run(joint, 2, 5) == alone(2, 5)


def test_what_ends_the_session_is_told_to_every_song(joint):
    for number in (float("nan"), 2):
        with pytest.raises(NetworkFailed) as caught:
            run(joint, number, 3)
        assert "had enough" in str(caught.value.__cause__)


def test_a_session_is_made_new_for_the_first_song_since_there_was_none_and_serves_nobody_once_closed(session):
    joint = Joint(session)
    run(joint, 1, 3)
    run(joint, 2, 3, TWO)
    assert [statistics.frames for statistics in session.begun] == [1, 1, 2, 2]  # for the song, and for the session
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(run, joint, 3, 40, one) for one in (ONE, TWO)]:
            done.result()
    assert len(session.begun) in (7, 8)  # 8 when the one had ended before the other began
    joint.close()
    assert not joint.works
    with pytest.raises(RuntimeError, match="closed"):
        run(joint, 4, 1)


def test_what_happened_to_the_session_is_known_of_the_song(joint, session, monkeypatch):
    real = session.separate

    def separate(one, audio, chunks):
        session.device, session.notices = "elsewhere", ["It moved."]
        return real(one, audio, chunks)

    monkeypatch.setattr(session, "separate", separate)
    guest = joint.guest()
    guest.begin(STATISTICS)
    assert guest.device == "cpu"
    assert not joint.fallen
    for number, _ in enumerate(guest.stream(ONE, song(1, 2))):
        assert number or joint.fallen
    assert not joint.fallen  # the next one begins with all there is
    assert (guest.device, guest.notices) == ("elsewhere", ["It moved."])
