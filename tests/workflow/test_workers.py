"""Warm workers: the songs of a run share a loaded network, to the same bytes, whatever becomes of the worker.

The network is an untrained one, made here. A worker is known by the number that its jobs write into their logs.
"""

import os
import re
import signal
import sys
from pathlib import Path

import psutil
import pytest

from flow import HOME, Desk, noise, until, write

sys.path.insert(0, str(HOME / "tests" / "unit"))
import tiny_networks
from test_networks import MODEL, ON_THE_MIX

MINE: dict[str, object] = {"recipe": "mine-2", "device": "cpu"}
LONG = 30.0  # seconds of a song that keeps a worker busy for a while


def furnish(path: Path, seconds: float = 1.5) -> Desk:
    desk = Desk(path)
    for index, name in enumerate(("a", "b")):
        write(desk.songs / f"{name}.wav", noise(seconds, seed=index))
    (desk.path / "config").mkdir()
    checkpoint = tiny_networks.checkpoint(desk.path / "tiny.th")
    (desk.path / "config/models.yaml").write_text(MODEL.format(checkpoint=checkpoint))
    (desk.path / "config/recipes.yaml").write_text(ON_THE_MIX)
    return desk


def workers(desk: Desk) -> list[psutil.Process]:
    """The living workers of this working directory."""
    found = []
    for process in psutil.process_iter():
        try:
            if "unbraid.worker.server" in process.cmdline() and process.cwd() == str(desk.path.resolve()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def taken(desk: Desk) -> list[int]:
    """The workers that took tasks, one for each that was taken."""
    text = "".join(log.read_text() for log in desk.logs("separate"))
    return [int(number) for number in re.findall(r"Worker (\d+) \(tiny-2.0\) takes the task", text)]


def busy(desk: Desk) -> bool:
    """Whether a worker is in the middle of a song."""
    return any(desk.path.glob("work/separated/*/.*.wav.partial")) and bool(workers(desk))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """The songs without workers."""
    desk = furnish(tmp_path_factory.mktemp("alone"))
    desk.good(**MINE, worker="off")
    assert taken(desk) == []
    return desk


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Long songs without workers, of which only the first is made."""
    desk = furnish(tmp_path_factory.mktemp("long"), LONG)
    desk.good("results/a/vocals.wav", **MINE, worker="off")
    return desk


def test_songs_share_one_worker_to_the_same_bytes_and_it_ends_with_the_run(tmp_path, alone):
    desk = furnish(tmp_path)
    desk.good(**MINE)
    assert desk.audio() == alone.audio()
    assert len(taken(desk)) == 2
    assert len(set(taken(desk))) == 1
    until(lambda: not workers(desk), 10)


def test_a_worker_that_is_killed_costs_one_retry_and_not_the_run(tmp_path, long):
    desk = furnish(tmp_path, LONG)
    with desk.begun("results/a/vocals.wav", **MINE) as process:
        until(lambda: busy(desk))
        (worker,) = workers(desk)
        worker.kill()
        assert process.wait(120) == 0
    assert len(set(taken(desk))) == 2
    assert "was killed (SIGKILL); trying once more" in (desk.path / "terminal.txt").read_text()
    assert desk.audio() == long.audio()
    assert desk.partials() == []


@pytest.mark.parametrize("only", ["snakemake", "all of the run"])
def test_a_worker_dies_with_its_run_and_the_next_completes_it(tmp_path, long, only):
    desk = furnish(tmp_path, LONG)
    with desk.begun("results/a/vocals.wav", **MINE) as process:
        until(lambda: busy(desk))
        (os.kill if only == "snakemake" else os.killpg)(process.pid, signal.SIGKILL)
        process.wait()
        until(lambda: not workers(desk), 10)
    desk.good("results/a/vocals.wav", **MINE)
    assert desk.audio() == long.audio()
    assert desk.partials() == []


def test_ctrl_c_ends_the_worker_and_leaves_nothing_half_written(tmp_path):
    desk = furnish(tmp_path, LONG)
    with desk.begun("results/a/vocals.wav", **MINE) as process:
        until(lambda: busy(desk))
        os.killpg(process.pid, signal.SIGINT)
        process.wait(timeout=30)
        assert desk.partials() == []
        until(lambda: not workers(desk), 10)
    assert "Traceback" not in (desk.path / "terminal.txt").read_text()
