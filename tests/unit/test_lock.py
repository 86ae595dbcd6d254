import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from unbraid import lock
from unbraid.errors import UnbraidError

SCRIPTS = Path(__file__).parents[2] / "scripts"


def holding(path: Path) -> subprocess.Popen[bytes]:
    """Another process that holds the lock until it is killed."""
    program = (
        f"import sys, time; sys.path.insert(0, {str(SCRIPTS)!r}); from pathlib import Path; from unbraid import lock\n"
        f"lock.hold(Path({str(path)!r})); print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    return process


def test_a_lock_that_another_process_holds_is_an_error_and_ends_with_a_kill(tmp_path):
    other = holding(tmp_path / "new" / "lock")
    with pytest.raises(UnbraidError, match="Another run is at work"):
        lock.hold(tmp_path / "new" / "lock")
    other.kill()
    other.wait()
    lock.hold(tmp_path / "new" / "lock")


def test_a_file_system_without_locks_is_used_without_one(tmp_path, monkeypatch):
    def unsupported(descriptor, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", unsupported)
    lock.hold(tmp_path / "lock")


def test_any_other_failure_is_not_hidden(tmp_path, monkeypatch):
    def broken(descriptor, operation):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", broken)
    with pytest.raises(OSError, match="Input/output"):
        lock.hold(tmp_path / "lock")
