"""The worker, in a thread of the test: what it answers to jobs that ask, ask wrongly, or go away."""

import json
import logging
import os
import shutil
import socket
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
import soundfile
import torch
from demucs.htdemucs import HTDemucs

from stages_by_hand import REFERENCE
from test_upstream_parity import tiny_model
from unbraid.backends import joint
from unbraid.errors import UnbraidError
from unbraid.worker import client, protocol, server, task
from unbraid.worker.owner import Owner
from worker_tasks import at, serving
from worker_tasks import task as a_task

ME = Owner.of(os.getpid())


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    made, folder, _ = tiny_model(tmp_path_factory.mktemp("tiny"), HTDemucs)
    return made, folder


@pytest.fixture
def slot():
    """In a folder whose name is short, as sockets need."""
    folder = Path(tempfile.mkdtemp(prefix="u-"))
    yield at(folder)
    shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def ask(slot, wanted):
    client.Worker(slot, ME, "tiny").ask(wanted)


def connect(slot):
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(30)
    connection.connect(str(slot.socket))
    return connection


def stems(wanted):
    return Path(wanted["stems"]).read_bytes()


def test_a_worker_gives_the_bytes_of_the_job_and_loads_once(tiny, slot, tmp_path, monkeypatch):
    songs = [a_task(tmp_path / name, *tiny, seed=seed) for seed, name in enumerate(("a", "b"))]
    for one in songs:
        client.separate(one, warm=False)
    alone = [stems(one) for one in songs]
    for one in songs:
        Path(one["stems"]).unlink()
    loaded = []
    real = task.load_session
    monkeypatch.setattr(task, "load_session", lambda given: loaded.append(1) or real(given))
    with serving(slot.socket):
        for one in [*songs, songs[0]]:
            ask(slot, one)
        assert [stems(one) for one in songs] == alone
        assert loaded == [1]
        ask(slot, {**songs[0], "settings": {**songs[0]["settings"], "overlap": 0.5}})
        assert loaded == [1, 1]
    report = json.loads(Path(songs[0]["report"]).read_text())
    assert set(report) == {
        "seconds",
        "loading",
        "audio_seconds",
        "device",
        "engine",
        "arithmetic",
        "threads",
        "passes",
        "chunks",
        "chunk_seconds",
        "notices",
        "weights",
    }
    assert soundfile.info(songs[0]["stems"]).channels == 8


def test_what_the_worker_logs_is_logged_by_the_job(tiny, slot, tmp_path, caplog, monkeypatch):
    caplog.set_level(logging.INFO, "unbraid")
    wanted = a_task(tmp_path / "a", *tiny, device="auto")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with serving(slot.socket):
        ask(slot, wanted)
    assert f"Worker {os.getpid()} (tiny) takes the task." in caplog.text
    assert [record.levelname for record in caplog.records if "Running on the CPU" in record.message]
    assert "100%" in caplog.text


def test_an_error_is_the_jobs_own_and_the_worker_serves_on(tiny, slot, tmp_path):
    good = a_task(tmp_path / "a", *tiny)
    with serving(slot.socket) as running:
        ask(slot, good)
        with pytest.raises(UnbraidError) as there:
            ask(slot, {**good, "device": "cuda:9"})
        with pytest.raises(UnbraidError) as here:
            client.separate({**good, "device": "cuda:9"}, warm=False)
        assert str(there.value) == str(here.value)
        assert "resolve" in there.value.__notes__[0]
        assert running._sessions._key == ""
        with pytest.raises(
            UnbraidError, match=r"An unexpected IndexError: .*; please report it with .*0\.log\.traceback\.txt"
        ):
            ask(slot, {**good, "index": 5})
        ask(slot, good)


@pytest.fixture
def failing(monkeypatch):
    """How often the network is still to fail, in a list. What it computes first waits until both songs are there."""
    left, both = [1], threading.Barrier(2)
    real = task.load_session

    def load(given):
        session = real(given)
        stream = session.stream

        def fails(one, shown):
            for item in shown:
                if left[0]:
                    left[0] -= 1
                    raise RuntimeError("out of sorts")
                yield item

        session.stream = lambda one, shown: stream(one, fails(one, shown))
        return session

    monkeypatch.setattr(task, "load_session", load)
    submit = joint.Joint.submit

    def together(self, *chunk):
        with suppress(threading.BrokenBarrierError):
            both.wait(20)
            both.abort()
        return submit(self, *chunk)

    monkeypatch.setattr(joint.Joint, "submit", together)
    return left


def test_songs_whose_network_fails_are_tried_once_more_each_by_itself(tiny, slot, tmp_path, failing, caplog):
    settings = {**REFERENCE, "precision": "fast"}
    songs = [a_task(tmp_path / name, *tiny, seed=seed, settings=settings) for seed, name in enumerate(("a", "b"))]
    failing[0] = 0
    for one in songs:
        client.separate(one, warm=False)
    alone = [stems(one) for one in songs]
    for one in songs:
        Path(one["stems"]).unlink()
    failing[0] = 1
    with serving(slot.socket), ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(ask, slot, one) for one in songs]:
            done.result()
    assert [stems(one) for one in songs] == alone
    told = [record.message for record in caplog.records if record.filename == "client.py"]
    assert told.count("The network failed (out of sorts); trying this song once more, by itself.") == 2


def test_a_song_whose_network_fails_by_itself_too_has_the_error(tiny, slot, tmp_path, failing):
    failing[0] = 99
    songs = [a_task(tmp_path / name, *tiny, settings={**REFERENCE, "precision": "fast"}) for name in ("a", "b")]
    with serving(slot.socket), ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(ask, slot, one) for one in songs]:
            with pytest.raises(UnbraidError, match="An unexpected RuntimeError: out of sorts"):
                done.result()
    assert failing[0] == 96


class Ended(BaseException):
    """Instead of the end of the process."""


@pytest.mark.parametrize("torch_says", [RuntimeError("CUDA error: an illegal memory access was encountered"), None])
def test_a_worker_whose_cuda_is_lost_ends_without_an_answer(
    tiny, slot, tmp_path, failing, monkeypatch, torch_says, capsys
):
    def synchronize(device):
        assert device is None
        if torch_says:
            raise torch_says

    def leave(code):
        raise Ended(code)

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    monkeypatch.setattr(server.os, "_exit", leave)
    monkeypatch.setattr(threading, "excepthook", lambda given: None)
    failing[0] = 99
    songs = [a_task(tmp_path / name, *tiny, settings={**REFERENCE, "precision": "fast"}) for name in ("a", "b")]
    with serving(slot.socket), ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(ask, slot, one) for one in songs]:
            with pytest.raises(client.Died if torch_says else UnbraidError):
                done.result()
    assert failing[0] == (98 if torch_says else 96)  # nothing else is tried in a process without CUDA
    assert ("RuntimeError: out of sorts" in capsys.readouterr().err) is bool(torch_says)


def test_another_user_is_refused(tiny, slot, tmp_path, monkeypatch):
    with serving(slot.socket):
        monkeypatch.setattr(protocol, "peer_uid", lambda connection: os.getuid() + 1)
        with connect(slot) as connection:
            assert connection.recv(100) == b""
        with pytest.raises(PermissionError, match="another user's"):
            client.Worker(slot, ME, "tiny")._connect()
    monkeypatch.undo()


def test_the_kernel_says_who_is_at_the_other_end(monkeypatch):
    one, other = socket.socketpair()
    with one, other:
        assert protocol.peer_uid(one) == os.getuid()

    class Mac:
        def getsockopt(self, level, name, size):
            assert (level, name) == (0, 1)
            return (0).to_bytes(4, "little") + (501).to_bytes(4, "little") + bytes(size - 8)

    monkeypatch.setattr(protocol.sys, "platform", "darwin")
    assert protocol.peer_uid(Mac()) == 501


@pytest.mark.parametrize("said", [b"", b"no json\n", b"{"])
def test_a_job_that_says_nothing_sensible_is_let_go(tiny, slot, tmp_path, said):
    with serving(slot.socket):
        with connect(slot) as connection:
            connection.sendall(said)
        ask(slot, a_task(tmp_path / "a", *tiny))


def test_a_job_that_goes_away_cancels_its_task_between_chunks_and_the_worker_stays_warm(tiny, slot, tmp_path):
    wanted = a_task(tmp_path / "a", *tiny, seconds=60)
    with serving(slot.socket) as running:
        with connect(slot) as connection:
            said = protocol.messages(connection)
            next(said)
            protocol.send(connection, wanted)
            next(message for message in said if "add" in message)
        short = a_task(tmp_path / "b", *tiny)
        ask(slot, short)
        assert running._sessions._key
    assert not Path(wanted["stems"]).exists()
    assert list((tmp_path / "a").glob(".*partial")) == []
    assert list((tmp_path / "a").glob("unbraid-*")) == []


def test_ctrl_c_in_the_job_waits_until_nothing_half_written_is_left(tiny, slot, tmp_path, monkeypatch):
    wanted = a_task(tmp_path / "a", *tiny, seconds=60)

    class Stopped:
        def __init__(self, total, label):
            pass

        def add(self, seconds):
            assert list((tmp_path / "a").glob(".*partial"))
            raise KeyboardInterrupt

        def close(self):
            pass

    monkeypatch.setattr(client, "Progress", Stopped)
    with serving(slot.socket):
        with pytest.raises(KeyboardInterrupt):
            ask(slot, wanted)
        assert list((tmp_path / "a").glob(".*partial")) == []


def test_a_worker_that_is_idle_ends_and_takes_its_name_along(slot):
    with serving(slot.socket, idle=0.1) as running:
        assert running._is_mine()
        limit = threading.Event()
        for _ in range(300):
            if not slot.socket.exists():
                break
            limit.wait(0.1)
        assert not slot.socket.exists()


def test_the_watch_gives_signs_of_life_and_ends_with_the_owner(monkeypatch):
    monkeypatch.setattr(server, "BEAT", 0.01)
    alive, seen = iter([True, True, False]), []
    server.watch(lambda: next(alive), lambda: seen.append("beat"), lambda: seen.append("end"))
    assert seen == ["beat", "beat", "end"]


def test_a_sign_of_life_never_waits_and_minds_no_deaf_job():
    one, other = socket.socketpair()
    voice = server.Voice(one)
    voice.beat()
    assert other.recv(100) == b'{"alive": true}\n'
    with voice._lock:
        voice.beat()  # somebody else is speaking, which is life enough
    other.close()
    voice.beat()
    with pytest.raises(server.Cancelled):
        voice.check()
    one.close()
