"""Where and how a run is started: other folders, dry runs, lint, a full disk, a song that changes under it."""

import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from flow import HOME, Desk, Run, noise, small_files_only, until, write

# A package that says so when it is imported, and fails.
TRAP = """\
import os
open(os.environ["TRAP"], "a").write(__name__ + "\\n")
raise ImportError("a dry run must not load " + __name__)
"""


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path / "desk")
    write(desk.songs / "a.wav", noise(0.2))
    return desk


def test_a_run_from_another_folder_works_by_directory_with_dry_run_and_no_op(desk, tmp_path):
    elsewhere = Desk(tmp_path / "elsewhere")
    there = ("--directory", str(desk.path))
    everything = Counter(convert=1, segment=1, separate=1, merge_identity=1, deliver_identity=1, report=1)
    assert elsewhere.good("-n", *there).planned == everything
    assert elsewhere.good(*there).ran == everything
    assert elsewhere.good(*there).idle
    assert desk.good().idle
    assert set(desk.audio()) == {"a/copy.wav"}
    assert elsewhere.files("results", "store", "work", "logs") == {}


def test_one_file_can_be_asked_for_by_its_name_whatever_the_format_says(desk):
    run = desk.good("results/a/copy.flac", format="wav")
    assert run.ran == Counter(convert=1, segment=1, separate=1, merge_identity=1, deliver_identity=1)
    source, _ = soundfile.read(desk.songs / "a.wav", dtype="int16")
    np.testing.assert_array_equal(soundfile.read(desk.path / "results/a/copy.flac", dtype="int16")[0], source)


@pytest.mark.parametrize("known", [False, True], ids=["new song", "known song"])
def test_a_dry_run_loads_no_network_library_and_for_a_known_song_no_decoder(desk, tmp_path, known):
    heavy = ["torch", "demucs", "onnx", "openvino", "safetensors", "soxr", "soundfile"]
    if known:
        desk.good("-n", recipe="stems")
        heavy.append("av")
    traps = tmp_path / "traps"
    for name in heavy:
        (traps / name).mkdir(parents=True)
        (traps / name / "__init__.py").write_text(TRAP)
    sprung = tmp_path / "sprung.txt"
    environment = {**os.environ, "PYTHONPATH": str(traps), "TRAP": str(sprung)}
    run = desk.run("-n", recipe="stems", options={"env": environment})
    assert run.code == 0, run.text
    assert run.planned["separate"] == 1
    assert not sprung.exists()
    # The traps do work:
    subprocess.run([sys.executable, "-c", "import torch"], env=environment, stderr=subprocess.DEVNULL, check=False)
    assert sprung.read_text() == "torch\n"


def test_snakemake_s_own_lint_finds_nothing(tmp_path):
    (tmp_path / "songs").mkdir()
    config = ["--config", f"songs={tmp_path / 'songs'}", f"store={tmp_path / 'store'}"]
    run = subprocess.run(
        [sys.executable, "-m", "snakemake", "--lint", *config], cwd=HOME, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_a_working_directory_without_songs_says_where_to_put_them(tmp_path):
    run = Desk(tmp_path).good()
    assert "There are no songs in 'songs' yet" in run.text
    assert not run.ran


def test_a_song_that_changes_between_plan_and_run_fails_with_a_message_and_succeeds_when_planned_anew(desk):
    with desk.begun() as process:
        terminal = desk.path / "terminal.txt"
        until(lambda: b"Building DAG of jobs" in terminal.read_bytes())  # the plan is made; no job has begun
        write(desk.songs / "a.wav", noise(0.2, seed=7))
        assert process.wait() == 1
    text = terminal.read_text()
    assert "song 'a', stage convert: " in text
    assert "changed" in text
    assert "un again" in text
    assert "Traceback" not in text
    assert desk.audio() == {}
    desk.good()
    source, _ = soundfile.read(desk.songs / "a.wav", dtype="int16")
    np.testing.assert_array_equal(soundfile.read(desk.path / "results/a/copy.wav", dtype="int16")[0], source)


def on_a_small_disk(folder: Path, *command: str) -> list[str]:
    """A command for which `folder` is a disk of 3 MB, in a mount namespace of its own; what is on it is kept beside."""
    script = 'mount -t tmpfs -o size=3m small "$0"; "$@" || code=$?; cp -r "$0" left_on_disk; exit ${code:-0}'
    return ["unshare", "--mount", "--map-root-user", "sh", "-ec", script, str(folder), *command]


def message_of(run: Run, song: str) -> str:
    """What is said of the one song that does not fit; nothing half-written, no traceback."""
    assert run.code == 1, run.text
    assert "Traceback" not in run.text
    (message,) = run.paragraphs(song)
    return message


@pytest.mark.parametrize(("full", "stage"), [("work", "convert"), ("store", "merge"), ("results", "deliver")])
def test_a_full_disk_names_song_and_remedy_leaves_nothing_half_written_and_the_next_run_completes(
    tmp_path, full, stage
):
    desk = Desk(tmp_path)
    write(desk.songs / "big.wav", noise(15))  # 5.3 MB of float32
    write(desk.songs / "small.wav", noise(0.2, seed=1))
    disk = desk.path / full
    disk.mkdir()
    mountable = shutil.which("unshare") and subprocess.run(on_a_small_disk(disk, "true"), cwd=tmp_path).returncode == 0
    shutil.rmtree(desk.path / "left_on_disk", ignore_errors=True)
    if mountable:
        command = on_a_small_disk(disk, *desk.command(bit_depth="float"))
        done = subprocess.run(
            command, cwd=desk.path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        message = message_of(Run(done.returncode, done.stdout), "big")
        assert f"stage {stage}: " in message
        assert "disk is full" in message
        assert "Free some space" in message
    else:  # a machine that lets nobody mount: the nearest thing is a limit on the size of a file
        message = message_of(desk.run(bit_depth="float", options={"preexec_fn": small_files_only}), "big")
        assert "Free some space" in message
    assert desk.partials() == []
    desk.good(bit_depth="float")  # with space again
    assert set(desk.audio()) == {"big/copy.wav", "small/copy.wav"}
