"""What runs at work need stays in the store: leases, of the living only, on this machine and others."""

import os
import subprocess
import sys
import time

import pytest

from unbraid import leases
from unbraid.files import read_json, write_json
from unbraid.leases import Lease, leased
from unbraid.worker.owner import Owner

ME = str(Owner.of(os.getpid()))


def elsewhere(store, age, keys=("far",)):
    """The lease of a run on another machine, whose last sign of life is so many seconds old."""
    path = store / "runs" / "other.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"machine": "other", "user": os.getuid(), "owner": ME, "keys": list(keys)})
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_a_run_leases_its_keys_until_it_says_that_it_has_ended(tmp_path):
    assert leased(tmp_path) == set()
    lease = Lease(tmp_path, ["b", "a"])
    assert leased(tmp_path) == {"a", "b"}
    assert leased(tmp_path, but=lease.name) == set()  # as its own jobs see it
    lease.end()
    lease.end()
    assert leased(tmp_path) == set()
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_dead_run_needs_nothing_and_what_it_left_is_tidied_up(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    lease = Lease(tmp_path, ["a"])
    (path,) = (tmp_path / "runs").iterdir()
    write_json(path, {**read_json(path), "owner": str(Owner.of(child.pid))})
    assert leased(tmp_path) == {"a"}
    child.kill()
    child.communicate()
    assert leased(tmp_path) == set()
    assert path.exists()
    leased(tmp_path, tidy=True)
    assert not path.exists()
    lease.end()


@pytest.mark.parametrize(("age", "alive"), [(0, True), (leases.LAPSE - 60, True), (leases.LAPSE + 60, False)])
def test_another_machines_run_is_alive_while_it_shows_signs_of_life(tmp_path, age, alive):
    elsewhere(tmp_path, age)
    assert leased(tmp_path) == ({"far"} if alive else set())


def test_another_users_run_is_alive_while_it_shows_signs_of_life_whatever_can_be_seen_of_it(tmp_path):
    lease = Lease(tmp_path, ["a"])
    (path,) = (tmp_path / "runs").iterdir()
    write_json(path, {**read_json(path), "user": os.getuid() + 1, "owner": "999999999:1.0"})
    assert leased(tmp_path) == {"a"}
    os.utime(path, (0, 0))
    assert leased(tmp_path) == set()
    lease.end()


def test_a_run_shows_signs_of_life(tmp_path, monkeypatch):
    monkeypatch.setattr(leases, "BEAT", 0.01)
    lease = Lease(tmp_path, ["a"])
    (path,) = (tmp_path / "runs").iterdir()
    os.utime(path, (0, 0))
    limit = time.monotonic() + 20
    while path.stat().st_mtime == 0:
        assert time.monotonic() < limit
        time.sleep(0.01)
    path.unlink()  # a store that goes away for a while is no reason to die
    time.sleep(0.05)
    assert lease._ended.wait(0) is False
    lease.end()


def test_leases_can_be_read_where_nothing_can_be_written(tmp_path, monkeypatch):
    elsewhere(tmp_path, 0)

    def refused(path):
        raise PermissionError

    monkeypatch.setattr(leases.Path, "touch", refused)
    assert leased(tmp_path) == {"far"}


def test_a_lease_that_cannot_be_read_stops_whoever_would_remove(tmp_path):
    elsewhere(tmp_path, 0).write_text("{")
    with pytest.raises(OSError, match="may be the lease of a run at work"):
        leased(tmp_path)


def test_machines_without_namespaces_go_by_their_name(monkeypatch):
    def none(path):
        raise OSError

    monkeypatch.setattr(leases.os, "readlink", none)
    assert leases._machine() == leases.platform.node()
