"""The job's side: starting workers, workers that die, and machines where there can be none."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from demucs.htdemucs import HTDemucs

from stages_by_hand import REFERENCE
from test_upstream_parity import tiny_model
from unbraid.errors import UnbraidError
from unbraid.worker import client, owner, places
from unbraid.worker.owner import Owner
from worker_tasks import task as a_task

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    made, folder, _ = tiny_model(tmp_path_factory.mktemp("tiny"), HTDemucs)
    return made, folder


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The folder of a run whose owner is a process of the test's; it ends with the test, and so do its workers."""
    base = Path(tempfile.mkdtemp(prefix="u-"))
    process = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(base))
    monkeypatch.setenv(owner.VARIABLE, str(Owner.of(process.pid)))
    monkeypatch.chdir(tmp_path)
    folder = places.folder(Owner.of(process.pid))
    yield folder
    process.communicate()
    until(lambda: not workers(tmp_path))
    shutil.rmtree(base)


def until(condition, seconds=60):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "it never came to pass"
        time.sleep(0.02)


def workers(tmp_path):
    found = []
    for process in psutil.process_iter():
        try:
            if "unbraid.worker.server" in process.cmdline() and process.cwd() == str(tmp_path):
                found.append(process)
        except psutil.Error:
            continue
    return [one for one in found if one.status() != psutil.STATUS_ZOMBIE]


def test_the_first_job_starts_a_worker_the_second_finds_it_and_its_owners_end_is_its_own(tiny, run, tmp_path):
    first, second = (a_task(tmp_path / name, *tiny) for name in "ab")
    client.separate(first, warm=True)
    (worker,) = workers(tmp_path)
    client.separate(second, warm=True)
    assert workers(tmp_path) == [worker]
    assert Path(first["stems"]).read_bytes() == Path(second["stems"]).read_bytes()
    assert worker.environ()["PYTHONPATH"].split(os.pathsep)[0] == str(SCRIPTS)
    psutil.Process(owner.current().pid).kill()
    until(lambda: not workers(tmp_path), 20)
    until(lambda: not run.exists(), 20)


def test_idle_workers_end_and_a_dead_ones_socket_holds_up_nobody(tiny, run, tmp_path, monkeypatch):
    monkeypatch.setenv("UNBRAID_WORKER_IDLE", "0.2")
    wanted = a_task(tmp_path / "a", *tiny)
    name = client._name(wanted, str(owner.current()))
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(run / f"{name}.0.sock"))
    client.separate(wanted, warm=True)
    until(lambda: not workers(tmp_path), 20)
    assert list(run.glob("*.sock")) == []


def killer(times, how=signal.SIGKILL):
    """Stands for the progress; sends the worker that shows it this signal, so many times."""

    class Killer:
        left = times

        def __init__(self, total, label):
            pass

        def add(self, seconds):
            if Killer.left:
                Killer.left -= 1
                for worker in workers(Path.cwd()):
                    worker.send_signal(how)

        def close(self):
            pass

    return Killer


def test_a_crash_costs_one_retry(tiny, run, tmp_path, monkeypatch, caplog):
    wanted = a_task(tmp_path / "a", *tiny, seconds=8)
    monkeypatch.setattr(client, "Progress", killer(1))
    client.separate(wanted, warm=True)
    assert caplog.text.count("was killed (SIGKILL); trying once more with a fresh one.") == 1
    assert Path(wanted["report"]).exists()


def test_a_second_crash_is_an_error_that_says_what_to_do(tiny, run, tmp_path, monkeypatch):
    wanted = a_task(tmp_path / "a", *tiny, seconds=8)
    monkeypatch.setattr(client, "Progress", killer(2))
    with pytest.raises(UnbraidError, match=r"died twice on this song: .* was killed \(SIGKILL\)") as caught:
        client.separate(wanted, warm=True)
    assert "worker=off" in caught.value.remedy
    assert "logs/worker/tiny" in caught.value.remedy
    assert not Path(wanted["report"]).exists()


def test_a_worker_that_cannot_even_start_is_told_with_the_end_of_its_log(tiny, run, tmp_path, monkeypatch):
    monkeypatch.setenv("UNBRAID_WORKER_IDLE", "no number")
    with pytest.raises(UnbraidError, match="died twice") as caught:
        client.separate(a_task(tmp_path / "a", *tiny), warm=True)
    assert "which ends: " in caught.value.remedy
    assert "could not convert string to float: 'no number'" in caught.value.remedy


def test_a_worker_that_stands_still_is_not_waited_for(tiny, run, tmp_path, monkeypatch):
    wanted = a_task(tmp_path / "a", *tiny)
    client.separate(wanted, warm=True)
    (still,) = workers(tmp_path)
    still.send_signal(signal.SIGSTOP)
    monkeypatch.setattr(client, "SILENCE", 2.0)
    try:
        client.separate(wanted, warm=True)
        assert len(workers(tmp_path)) == 2
    finally:
        still.kill()


def test_a_worker_that_falls_silent_at_its_task_is_ended_so_that_it_writes_nothing_later(
    tiny, run, tmp_path, monkeypatch, caplog
):
    wanted = a_task(tmp_path / "a", *tiny, seconds=8)
    monkeypatch.setattr(client, "Progress", killer(1, signal.SIGSTOP))
    monkeypatch.setattr(client, "SILENCE", 2.0)
    client.separate(wanted, warm=True)
    assert caplog.text.count("did not answer (timed out); trying once more with a fresh one.") == 1
    assert len(workers(tmp_path)) == 1
    assert Path(wanted["report"]).exists()


def test_jobs_at_a_time_whose_chunks_go_together_have_one_worker_whatever_becomes_of_it(
    tiny, run, tmp_path, monkeypatch
):
    settings = {**REFERENCE, "precision": "fast"}
    songs = [
        a_task(tmp_path / name, *tiny, seed=seed, seconds=8, settings=settings, joint=True)
        for seed, name in enumerate("abc")
    ]
    alone = []
    for one in songs:
        client.separate(one, warm=False)
        alone.append(Path(one["stems"]).read_bytes())
        Path(one["stems"]).unlink()
    monkeypatch.setattr(client, "Progress", killer(1))
    starts = []
    real = client.Worker._start
    monkeypatch.setattr(client.Worker, "_start", lambda self, **how: starts.append(1) or real(self, **how))
    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(client.separate, one, warm=True) for one in songs]:
            done.result()
    assert [Path(one["stems"]).read_bytes() for one in songs] == alone
    assert len(starts) == 2
    assert len(workers(tmp_path)) == 1


def test_no_fresh_worker_is_started_for_a_run_that_has_ended(tiny, run, tmp_path, monkeypatch):
    monkeypatch.setattr(client, "Progress", killer(1))
    monkeypatch.setattr(Owner, "alive", lambda self: calls.append(1) or len(calls) == 1)
    calls = []
    with pytest.raises(UnbraidError, match="has ended"):
        client.separate(a_task(tmp_path / "a", *tiny, seconds=8), warm=True)


def test_a_worker_sees_the_one_gpu_of_its_slot(tiny, run, tmp_path, monkeypatch):
    monkeypatch.setattr(places, "gpus", lambda device: ["GPU-a", "GPU-b"])
    with places.slot(run, "another", ["GPU-a", "GPU-b"]):
        client.separate(a_task(tmp_path / "a", *tiny), warm=True)
    (worker,) = workers(tmp_path)
    assert worker.environ()["CUDA_VISIBLE_DEVICES"] == "GPU-b"


def test_without_workers_a_job_takes_the_one_gpu_of_its_slot_too(tiny, run, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b")
    seen = []
    monkeypatch.setattr("unbraid.worker.task.run", lambda task: seen.append(os.environ["CUDA_VISIBLE_DEVICES"]))
    with places.slot(places.folder(), "another", ["GPU-a", "GPU-b"]):
        client.separate(a_task(tmp_path / "a", *tiny, device="auto"), warm=False)
    assert seen == ["GPU-b"]
    assert not workers(tmp_path)
    assert list(run.iterdir()) == []  # what the run's workers take away in the end


def test_a_module_that_lies_in_the_working_directory_is_not_the_workers(tiny, run, tmp_path):
    (tmp_path / "select.py").write_text("raise SystemExit('not asked for')")
    wanted = a_task(tmp_path / "a", *tiny)
    client.separate(wanted, warm=True)
    assert Path(wanted["report"]).exists()


@pytest.mark.parametrize("lacking", ["owner", "sockets", "folder"])
def test_where_there_can_be_no_worker_the_job_does_it_itself(tiny, run, tmp_path, monkeypatch, lacking, caplog):
    if lacking == "owner":
        monkeypatch.delenv(owner.VARIABLE)
    elif lacking == "sockets":
        monkeypatch.delattr(client.socket, "AF_UNIX")
    else:
        run.parent.chmod(0o755)
    wanted = a_task(tmp_path / "a", *tiny)
    client.separate(wanted, warm=True)
    assert Path(wanted["report"]).exists()
    monkeypatch.undo()
    run.parent.chmod(0o700)
    assert workers(tmp_path) == []
    assert ("separating in the job itself" in caplog.text) == (lacking == "folder")


def test_the_job_imports_nothing_that_computes(tiny, run, tmp_path):
    import json

    program = (
        "import json, sys; from unbraid.job import job, trace_file; from unbraid.worker.client import separate\n"
        "with job('logs/j.log', 'separate', 'a'): separate(json.loads(sys.argv[1]), warm=True)\n"
        "print([name for name in ('numpy', 'torch', 'soundfile', 'pandas', 'pydantic', 'yaml') if name in sys.modules])"
    )
    wanted = json.dumps(a_task(tmp_path / "a", *tiny))
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS)}
    # Its pipes close with the job, though the worker lives on: Snakemake waits for that.
    done = subprocess.run(
        [sys.executable, "-c", program, wanted],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
    assert len(workers(tmp_path)) == 1
