"""Invariant 7: a run that is killed or stopped anywhere is completed by the next one, to the same bytes.

The reference is an undisturbed run of the same song in a working directory of its own.
"""

import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flow import STAGES, Desk, noise, until, write

SEGMENTS = {"segment_seconds": 40}
LEFT_OPEN = {  # what a killed stage must not have completed, and a file that is there while it works
    "convert": ("work/mix/*/mix.json", "work/mix/*/.mix.wav.partial"),
    "segment": ("work/segments/*/mix.json", "logs/segment/*.log"),
    "separate": ("work/separated/*/{open}.json", "work/separated/*/.{open}.wav.partial"),
    "merge": ("work/stems/*/manifest.json", "work/stems/*/.copy.wav.partial"),
    "deliver": ("results/song/copy.wav", "results/song/.copy.wav.partial"),
    "report": ("results/song/qc.json", "logs/report/song/*.log"),
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A song of two minutes, in three segments."""
    desk = Desk(tmp_path_factory.mktemp("undisturbed"))
    write(desk.songs / "song.wav", noise(120))
    desk.good(**SEGMENTS)
    return desk


@pytest.fixture
def desk(undisturbed: Desk, tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    os.link(undisturbed.songs / "song.wav", desk.songs / "song.wav")
    yield desk
    shutil.rmtree(tmp_path)  # hundreds of megabytes each


def finished_segments(terminal: str) -> set[str]:
    """The segments that Snakemake had recorded as finished, by the number that it shows."""
    jobs = dict(re.findall(r"^Job (\d+): song: separating segment (\d+) of", terminal, re.MULTILINE))
    done = re.findall(r"^Finished jobid: (\d+) \(Rule: separate\)", terminal, re.MULTILINE)
    return {jobs[job] for job in done}


def terminal(desk: Desk) -> str:
    return (desk.path / "terminal.txt").read_text(encoding="utf-8", errors="replace")


def at_work(desk: Desk, stage: str) -> bool:
    """Whether a stage is in the middle of its work; for `separate`, with one segment finished before."""
    _, sign = LEFT_OPEN[stage]
    if stage != "separate":
        return any(desk.path.glob(sign))
    return any(desk.path.glob(sign.format(open="*"))) and bool(finished_segments(terminal(desk)))


@pytest.mark.parametrize("stage", STAGES)
def test_a_run_killed_during_a_stage_is_completed_by_the_next_to_the_same_bytes(desk, undisturbed, stage):
    with desk.begun(**SEGMENTS) as process:
        until(lambda: at_work(desk, stage))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    finished = finished_segments(terminal(desk))
    open_file, _ = LEFT_OPEN[stage]
    if stage == "separate":
        (partial,) = desk.path.glob("work/separated/*/.*.wav.partial")
        open_file = open_file.format(open=partial.name.split(".")[1])
        assert finished
    assert not list(desk.path.glob(open_file)), "the kill came too late to prove anything"

    run = desk.good(**SEGMENTS)

    assert desk.audio() == undisturbed.audio()
    assert desk.partials() == []
    assert finished.isdisjoint(re.findall(r"separating segment (\d+) of", run.text))
    if stage in ("deliver", "report"):
        assert not {"segment", "separate", "merge_identity"} & set(run.ran)
    assert desk.good(**SEGMENTS).idle


@pytest.mark.parametrize("stage", ["convert", "separate", "deliver"])
def test_ctrl_c_stops_within_seconds_leaves_nothing_half_written_and_the_next_run_completes(desk, undisturbed, stage):
    with desk.begun(**SEGMENTS) as process:
        until(lambda: at_work(desk, stage))
        os.killpg(process.pid, signal.SIGINT)
        begun = time.monotonic()
        process.wait(timeout=30)
        assert time.monotonic() - begun < 10
        assert process.returncode != 0
        # Nobody is left who might still write.
        with pytest.raises(ProcessLookupError):
            os.killpg(process.pid, 0)
    assert desk.partials() == []
    assert "Traceback" not in terminal(desk)

    desk.good(**SEGMENTS)

    assert desk.audio() == undisturbed.audio()
    assert desk.partials() == []


def test_a_second_run_in_the_same_working_directory_is_refused_while_the_first_is_at_work(desk, undisturbed):
    with desk.begun(**SEGMENTS) as process:
        until(lambda: at_work(desk, "convert"))
        second = desk.run(**SEGMENTS)
        dry = desk.run("-n", **SEGMENTS)
        assert process.wait() == 0
    assert second.code != 0
    assert f"Another run is at work in {desk.path}." in second.text
    assert "Traceback" not in second.text
    assert not second.ran
    assert dry.code == 0
    assert desk.audio() == undisturbed.audio()
