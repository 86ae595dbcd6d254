"""A store that several working directories share, while runs are killed and keys are removed: nothing is ever lost or half there.

On one file system, and as two machines have it over a network. `make soak` does 200 rounds (UNBRAID_SOAK) instead of five.
"""

import os
import random
import signal
import subprocess
import time
from contextlib import ExitStack

import pytest

from flow import Desk, like_an_ordinary_user, noise, until, write
from mounts import missing, mounted

ROUNDS = int(os.environ.get("UNBRAID_SOAK", "5"))
SONGS = ("a", "b", "c")


class Sharer(Desk):
    """A working directory with the same songs as the others. Its runs use the store, which they have at a place of their own."""

    def __init__(self, path, store):
        super().__init__(path)
        self.store = store
        for seed, name in enumerate(SONGS):
            write(self.songs / f"{name}.wav", noise(0.5, seed=seed))

    def command(self, *arguments, **config):
        return super().command(*arguments, store=self.store, **config)


@pytest.fixture
def store(tmp_path):
    """Where the store is in truth."""
    return tmp_path / "store"


@pytest.fixture
def neighbours(tmp_path, store):
    """Two working directories on one machine."""
    return [Sharer(tmp_path / name, store) for name in "xy"]


@pytest.fixture(params=["one file system", "a network"])
def desks(tmp_path, store, request):
    """Two working directories."""
    with ExitStack() as ends:
        if request.param == "a network":
            if lacks := missing():
                pytest.skip(f"a network file system takes what is not here: {lacks}")
            made = [ends.enter_context(mounted(store, tmp_path / f"at-{name}")) for name in "xy"]
        else:
            made = [store, store]
        yield [Sharer(tmp_path / name, place) for name, place in zip("xy", made, strict=True)]


def held(store):
    return sorted(path.name for path in (store / "stems").iterdir())


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    folder = tmp_path_factory.mktemp("expected")
    desk = Sharer(folder / "x", folder / "store")
    desk.good()
    return desk.audio()


def test_two_runs_at_once_over_the_same_songs_lose_nothing(desks, store, expected):
    with ExitStack() as running:
        runs = [running.enter_context(desk.begun()) for desk in desks]
        assert [run.wait(120) for run in runs] == [0, 0]
    assert [desk.audio() for desk in desks] == [expected, expected]
    assert len(held(store)) == len(SONGS)
    assert desks[0].good("cache_verify").text.count("3 key(s) in") == 1
    assert list((store / "runs").iterdir()) == list((store / "incoming").iterdir()) == []


def test_a_key_that_another_run_needs_is_not_removed(desks, store, expected):
    first, second = desks
    first.good()
    before = held(store)
    # It finds all keys complete, and is stopped before it reads them.
    with second.begun() as run:
        until(lambda: any((store / "runs").glob("*.json")))
        os.killpg(run.pid, signal.SIGSTOP)
        assert "3 key(s) in" in second.good("cache_list").text  # beside the run, in its own working directory
        told = second.good("cache_clear", yes="true").text + first.good("cache_clear", yes="true").text
        assert told.count("3 are needed by runs at work") == 2
        assert told.count("Nothing is to be removed") == 2
        assert held(store) == before
        os.killpg(run.pid, signal.SIGCONT)
        assert run.wait(120) == 0
    assert second.audio() == expected
    told = first.good("cache_clear").text
    assert "3 key(s)" in told
    assert "would be removed" in told
    assert held(store) == before
    assert "are removed from" in first.good("cache_clear", yes="true").text
    assert held(store) == []
    assert first.good().idle  # what was delivered needs nothing of it


def test_a_limit_is_kept_after_a_run_and_what_was_used_last_stays(desks, store):
    desk, _ = desks
    desk.good("results/a/copy.wav")
    (oldest,) = held(store)
    size = sum(path.stat().st_size for path in (store / "stems" / oldest).iterdir())
    text = desk.good(store_limit=f"{int(2.5 * size)}B").text
    assert "1 key(s)" in text
    assert "used least recently are removed" in text
    assert oldest not in held(store)
    assert len(held(store)) == 2
    listed = desk.good("cache_clean", store_limit=f"{int(1.5 * size)}B").text
    assert "1 key(s)" in listed
    assert len(held(store)) == 2
    assert "Nothing is to be removed" in desk.good("cache_clean", older_than="1d").text
    assert "2 key(s)" in desk.good("cache_clean", older_than="0s", yes="true").text
    assert held(store) == []
    refused = desk.run("cache_clean")
    assert refused.code != 0
    assert "Nothing says what the store may keep" in refused.text


def test_a_read_only_store_gives_what_it_has_and_says_what_it_lacks(neighbours, store):
    first, second = neighbours
    ordinary = {"options": {"preexec_fn": like_an_ordinary_user}}
    first.good("results/a/copy.wav")
    subprocess.run(["chmod", "-R", "a-w", store], check=True)
    try:
        told = second.good("results/a/copy.wav", **ordinary).text
        refused = second.run(**ordinary)
    finally:
        subprocess.run(["chmod", "-R", "u+w", store], check=True)
    assert "cannot be written: no use and no speed is noted there" in told
    assert "cannot be written down" not in told
    assert refused.code != 0
    assert "cannot be written (Permission denied), and 2 key(s) that this run needs are not in it" in refused.text


def test_runs_kills_and_removals_in_any_order_leave_a_store_that_is_whole(desks, store, expected):
    seed = int(os.environ.get("UNBRAID_SEED", time.time_ns() % 10**6))
    print("UNBRAID_SEED", seed)
    draw = random.Random(seed)
    for _ in range(ROUNDS):
        desk = draw.choice(desks)
        match draw.choice(("run", "run", "kill", "clear", "clean", "afresh")):
            case "clear":
                desk.good("cache_clear", yes="true")
            case "clean":
                desk.good("cache_clean", yes="true", store_limit=draw.choice(("100kB", "200kB")))
            case action:
                # Two at a time in two working directories; a new run in the same one waits for the one before.
                other = desks[1 - desks.index(desk)]
                extra = {"reuse": "false"} if action == "afresh" else {}
                with ExitStack() as now:
                    runs = [now.enter_context(one.begun(**extra)) for one in (desk, other)]
                    if action == "kill":
                        time.sleep(draw.uniform(0, 6))
                        os.killpg(runs[0].pid, signal.SIGKILL)
                        runs[0].wait()
                    else:
                        assert runs[0].wait(120) == 0
                    assert runs[1].wait(120) == 0, (other.path / "terminal.txt").read_text()
        for desk in desks:
            assert expected.items() >= desk.audio().items()
    for desk in desks:
        desk.good()
        assert desk.audio() == expected
        assert desk.partials() == []
    assert ", 0 damaged." in desks[0].good("cache_verify").text
