"""Whose worker it is, and where: owners, private folders, slots, GPUs."""

import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from unbraid.worker import owner, places
from unbraid.worker.owner import Owner

ME = Owner.of(os.getpid())


@pytest.fixture
def base(monkeypatch):
    """A folder of a short name: sockets have no long ones, and those of tests side by side are."""
    with tempfile.TemporaryDirectory(dir="/tmp") as made:
        monkeypatch.setenv("XDG_RUNTIME_DIR", made)
        yield Path(made)


def test_an_owner_lives_until_its_process_ends_even_as_a_zombie():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    found = Owner.of(child.pid)
    assert found.alive()
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, but not yet waited for
    assert not found.alive()
    child.communicate()
    assert not found.alive()


def test_another_process_of_the_same_number_is_not_the_owner():
    assert ME.alive()
    assert not Owner(ME.pid, ME.created - 100).alive()


def test_an_owner_is_told_to_jobs_in_the_environment(monkeypatch):
    monkeypatch.setenv(owner.VARIABLE, "of another machine")
    assert owner.current() is None
    owner.declare(keep=True)
    assert owner.current() is None
    owner.declare(keep=False)
    assert owner.current() == ME
    assert Owner.parse(str(ME)) == ME


def test_a_run_has_a_folder_that_only_its_user_can_enter(base):
    found = places.folder(ME)
    assert found == places.folder(ME)
    assert found.is_relative_to(base)
    assert [path.stat().st_mode & 0o777 for path in (found, found.parent)] == [0o700, 0o700]
    assert places.folder(Owner(ME.pid, ME.created + 5)) != found
    assert len(str(found / f"{places.digest(1)}.1000.sock")) < places.LONGEST


@pytest.mark.parametrize("spoil", ["open", "link", "file", "foreign"])
def test_a_folder_that_somebody_else_could_enter_is_refused(base, tmp_path, monkeypatch, spoil):
    path = base / f"unbraid-{os.getuid()}"
    if spoil == "open":
        path.mkdir()
        path.chmod(0o755)
    elif spoil == "link":
        path.symlink_to(tmp_path)
    elif spoil == "file":
        path.touch(0o700)
    else:
        path.mkdir(0o700)
        mine = os.getuid()
        monkeypatch.setattr(places.os, "getuid", lambda: mine + 1)
        path.rename(base / f"unbraid-{mine + 1}")
    with pytest.raises(OSError, match=r"only you can enter|File exists"):
        places.folder(ME)


def test_a_base_that_is_too_long_for_a_socket_is_passed_over(tmp_path, monkeypatch):
    deep = tmp_path / ("x" * 90)
    deep.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    assert not places.folder(ME).is_relative_to(deep)
    monkeypatch.setattr(places.os, "access", lambda *given: False)
    with pytest.raises(OSError, match="no folder for sockets"):
        places.folder(ME)


def test_each_job_has_a_slot_of_its_own_and_takes_one_that_is_warm_first(tmp_path):
    with ExitStack() as held:
        first, second = (held.enter_context(places.slot(tmp_path, "a")) for _ in range(2))
        assert (first.number, second.number) == (0, 1)
        assert held.enter_context(places.slot(tmp_path, "b")).number == 0
    (tmp_path / "a.1.sock").touch()
    with places.slot(tmp_path, "a") as warm, places.slot(tmp_path, "a") as other:
        assert (warm.number, other.number) == (1, 0)
        assert warm.socket == tmp_path / "a.1.sock"
        assert warm.device is None


def test_jobs_whose_chunks_go_together_have_one_worker_on_each_device(tmp_path):
    for devices, workers in (([], [0, 0, 0]), (["4"], [0, 0, 0]), (["4", "7"], [0, 1, 0])):
        with ExitStack() as held:
            taken = [held.enter_context(places.slot(tmp_path, "a", devices, joint=True)) for _ in range(3)]
            assert [slot.number for slot in taken] == workers
            assert [slot.socket.name for slot in taken] == [f"a.{number}.sock" for number in workers]


def test_models_share_the_gpus_so_that_each_job_has_one_while_there_is_a_free_one(tmp_path):
    with ExitStack() as held:
        taken = [held.enter_context(places.slot(tmp_path, name, ["4", "7"])) for name in ("a", "b", "a")]
        assert [slot.device for slot in taken] == ["4", "7", "4"]  # the third has to share
    with places.slot(tmp_path, "a", ["4"]) as alone:
        assert alone.device is None


@pytest.mark.parametrize(
    ("device", "visible", "found"),
    [("cpu", "0,1", []), ("cuda:1", "0,1", []), ("cuda", "2, 3", ["2", "3"]), ("auto", "", []), ("auto", None, ["0", "1"])],
)  # fmt: skip
def test_gpus_are_those_that_the_job_may_see(monkeypatch, device, visible, found):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(Path, "glob", lambda path, pattern: iter([Path("/dev/nvidia0"), Path("/dev/nvidia1")]))
    assert places.gpus(device) == found
