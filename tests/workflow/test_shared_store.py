"""A store that several working directories share, while runs are killed and keys are removed: nothing is ever lost or half there.

`make soak` does 200 rounds (UNBRAID_SOAK) instead of five.
"""

import os
import random
import signal
import subprocess
import time
from contextlib import ExitStack

import pytest

from flow import Desk, like_an_ordinary_user, noise, until, write

ROUNDS = int(os.environ.get("UNBRAID_SOAK", "5"))
SONGS = ("a", "b", "c")


def desks(tmp_path, count=2):
    """Working directories with the same songs and one store."""
    made = [Desk(tmp_path / name) for name in "xyz"[:count]]
    for desk in made:
        for seed, name in enumerate(SONGS):
            write(desk.songs / f"{name}.wav", noise(0.5, seed=seed))
    return made, {"store": tmp_path / "store"}


def held(store):
    return sorted(path.name for path in (store["store"] / "stems").iterdir())


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    (desk,), store = desks(tmp_path_factory.mktemp("expected"), 1)
    desk.good(**store)
    return desk.audio()


def test_two_runs_at_once_over_the_same_songs_lose_nothing(tmp_path, expected):
    made, store = desks(tmp_path)
    with ExitStack() as running:
        runs = [running.enter_context(desk.begun(**store)) for desk in made]
        assert [run.wait(120) for run in runs] == [0, 0]
    assert [desk.audio() for desk in made] == [expected, expected]
    assert len(held(store)) == len(SONGS)
    assert made[0].good("cache_verify", **store).text.count("3 keys in") == 1
    assert list((store["store"] / "runs").iterdir()) == list((store["store"] / "incoming").iterdir()) == []


def test_a_key_that_another_run_needs_is_not_removed(tmp_path, expected):
    (first, second), store = desks(tmp_path)
    first.good(**store)
    before = held(store)
    # It finds all keys complete, and is stopped before it reads them.
    with second.begun(**store) as run:
        until(lambda: any((store["store"] / "runs").glob("*.json")))
        os.killpg(run.pid, signal.SIGSTOP)
        told = first.good("cache_clear", **store, yes="true").text
        assert "Nothing is to be removed" in told
        assert "3 are needed by runs at work" in told
        assert held(store) == before
        os.killpg(run.pid, signal.SIGCONT)
        assert run.wait(120) == 0
    assert second.audio() == expected
    told = first.good("cache_clear", **store).text
    assert "3 keys" in told
    assert "would be removed" in told
    assert held(store) == before
    assert "are removed from" in first.good("cache_clear", **store, yes="true").text
    assert held(store) == []
    assert first.good(**store).idle  # what was delivered needs nothing of it


def test_a_limit_is_kept_after_a_run_and_what_was_used_last_stays(tmp_path):
    (desk,), store = desks(tmp_path, 1)
    desk.good("results/a/copy.wav", **store)
    (oldest,) = held(store)
    size = sum(path.stat().st_size for path in (store["store"] / "stems" / oldest).iterdir())
    text = desk.good(**store, store_limit=f"{int(2.5 * size)}").text
    assert "1 keys" in text
    assert "used least recently are removed" in text
    assert oldest not in held(store)
    assert len(held(store)) == 2
    listed = desk.good("cache_clean", **store, store_limit=int(1.5 * size)).text
    assert "1 keys" in listed
    assert len(held(store)) == 2
    assert "Nothing is to be removed" in desk.good("cache_clean", **store, older_than="1d").text
    assert "2 keys" in desk.good("cache_clean", **store, older_than="0s", yes="true").text
    assert held(store) == []
    refused = desk.run("cache_clean", **store)
    assert refused.code != 0
    assert "Nothing says what the store may keep" in refused.text


def test_a_read_only_store_gives_what_it_has_and_says_what_it_lacks(tmp_path):
    (first, second), store = desks(tmp_path)
    ordinary = {"options": {"preexec_fn": like_an_ordinary_user}}
    first.good("results/a/copy.wav", **store)
    subprocess.run(["chmod", "-R", "a-w", store["store"]], check=True)
    try:
        second.good("results/a/copy.wav", **ordinary, **store)
        refused = second.run(**ordinary, **store)
    finally:
        subprocess.run(["chmod", "-R", "u+w", store["store"]], check=True)
    assert refused.code != 0
    assert "cannot be written (Permission denied), and 2 keys that this run needs are not in it" in refused.text


def test_runs_kills_and_removals_in_any_order_leave_a_store_that_is_whole(tmp_path, expected):
    made, store = desks(tmp_path)
    seed = int(os.environ.get("UNBRAID_SEED", time.time_ns() % 10**6))
    print("UNBRAID_SEED", seed)
    draw = random.Random(seed)
    for _ in range(ROUNDS):
        desk = draw.choice(made)
        match draw.choice(("run", "run", "kill", "clear", "clean", "afresh")):
            case "clear":
                desk.good("cache_clear", **store, yes="true")
            case "clean":
                desk.good("cache_clean", **store, yes="true", store_limit=draw.choice(("100kB", "200kB")))
            case action:
                # Two at a time in two working directories; a new run in the same one waits for the one before.
                other = made[1 - made.index(desk)]
                extra = {"reuse": "false"} if action == "afresh" else {}
                with ExitStack() as now:
                    runs = [now.enter_context(one.begun(**store, **extra)) for one in (desk, other)]
                    if action == "kill":
                        time.sleep(draw.uniform(0, 6))
                        os.killpg(runs[0].pid, signal.SIGKILL)
                        runs[0].wait()
                    else:
                        assert runs[0].wait(120) == 0
                    assert runs[1].wait(120) == 0, (other.path / "terminal.txt").read_text()
        for desk in made:
            assert expected.items() >= desk.audio().items()
    for desk in made:
        desk.good(**store)
        assert desk.audio() == expected
        assert desk.partials() == []
    assert ", 0 damaged." in made[0].good("cache_verify", **store).text
