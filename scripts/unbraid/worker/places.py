"""Where workers are found: a private folder of the user's, on this machine, with a folder for each run; and slots in it.

A slot is what one job at a time may use: a lock of the kernel's that the job holds, and the socket of a worker; jobs whose
chunks may be computed together have one worker for all their slots (on a GPU).
"""

import fcntl
import hashlib
import itertools
import json
import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from unbraid.worker.owner import Owner

LONGEST = 100  # bytes of a socket's path; kernels take 103 or 107


def digest(*values: object) -> str:
    """A short name for plain values."""
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:12]


def folder(owner: Owner | None = None) -> Path:
    """The folder of a run's workers, which only this user can enter; without an owner, of all runs of this user.

    Raises: OSError when it cannot be had, or when somebody else has made it or may enter it.
    """
    bases = [os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir(), "/tmp"]
    usable = [base for base in bases if base and os.access(base, os.W_OK) and len(os.fsencode(base)) < LONGEST - 60]
    if not usable:
        raise OSError(f"no folder for sockets among {bases}")
    private = Path(usable[0]) / f"unbraid-{os.getuid()}"
    paths = [private, private / digest(str(owner))] if owner else [private]
    for path in paths:
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise PermissionError(f"{path} is not a folder that only you can enter")
    return paths[-1]


@dataclass(frozen=True)
class Slot:
    """What one job at a time may use. number: of its worker. device: the one GPU that this sees; None leaves that as it is."""

    number: int
    socket: Path
    device: str | None


@contextmanager
def slot(folder: Path, name: str, devices: Sequence[str] = (), *, joint: bool = False) -> Iterator[Slot]:
    """The first free slot of the workers called `name`, one with a worker before one without, for as long as the block.

    Where there are several GPUs (`devices`), slots are the GPUs', whatever the model: so no two jobs take the same one
    while another is free. A worker holds no GPU between tasks beyond its memory, so that nobody waits for a lease; and
    when a run has more GPU jobs than there are GPUs (`--resources gpu=`), these share them. joint: whether the jobs of a
    device share its worker too. Raises: OSError without locks.
    """
    pool = "gpu" if len(devices) > 1 else name
    warm = sorted(int(path.name.split(".")[1]) for path in folder.glob(f"{name}.*.sock"))
    for number in itertools.chain(warm, itertools.count()):
        descriptor = os.open(folder / f"{pool}.{number}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            device = devices[number % len(devices)] if len(devices) > 1 else None
            worker = number % max(1, len(devices)) if joint else number
            yield Slot(worker, folder / f"{name}.{worker}.sock", device)
            return
        finally:
            os.close(descriptor)


def gpus(device: str) -> list[str]:
    """The NVIDIA GPUs that a job with this `device` may choose among, as CUDA_VISIBLE_DEVICES names them.

    Found without torch, which the job does not import. A `device` with a number has chosen already.
    """
    if device not in ("auto", "cuda"):
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name.strip() for name in visible.split(",") if name.strip()]
    return [str(number) for number in range(len(list(Path("/dev").glob("nvidia[0-9]*"))))]
