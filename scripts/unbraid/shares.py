"""How much of the machine a separation is given, known before it runs."""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from unbraid.backends import registry
from unbraid.backends.device import may_have_gpu

THREADS = 2
"""Of a separation where their number decides the last bits. A result must not depend on how many cores a run was given."""
CHUNK = 6.0
"""Seconds of a song that a chunk of HTDemucs stands for, about: how far it is from one to the next."""
MEMORY = 6000
"""MB that a separation is counted with, whatever its network: a guess on the safe side, not a measurement."""
GROUPS = Path("/sys/fs/cgroup")
ON_A_GPU = 4
"""Songs at a time on one GPU, at most, where their chunks go together: while one is computed, others are begun, read and
written. Each takes a core for that, and they leave half of the cores to the other stages."""
SIDE_BY_SIDE = 4
"""Separations at a time on the CPU, however many cores it has: each has a network of its own in memory."""


@dataclass(frozen=True)
class Share:
    """gpu: GPUs. threads: that it computes with. cores: that Snakemake sets aside for it. percent: of this machine.
    joint: whether one worker computes for several such jobs together. gpu_percent: of a GPU of this machine.

    On this machine's CPU less is set aside than is used, so that what comes before and after it for other songs goes on
    beside it; else cores would be idle between one separation and the next. Separations together never take more than all
    of the CPU or of the memory, which is what `percent` is of.
    """

    gpu: int
    threads: int
    cores: int
    percent: int
    joint: bool
    gpu_percent: int = 0


def share(
    backend: str,
    settings: dict[str, Any],
    device: str,
    *,
    here: bool,
    warm: bool,
    seconds: float,
    cores: int,
    only: bool = True,
    gpus: int = 1,
) -> Share:
    """Of the separation of a segment of `seconds`, in a run that was given `cores`.

    settings: of the separation. here: it will run on this machine, whose devices are known. warm: in a worker.
    only: whether one worker can do all the run's separations, so that nothing else fills the GPU's memory beside it: by that the
    number of chunks at once is chosen, and a chunk's last bits may depend on it. gpus: that the run may use.
    """
    if uses_gpu(device, here=here):
        joint = warm and registry.find(backend).joint
        if joint and here:
            return Share(1, THREADS, 1, 0, True, 100 // max(1, min(ON_A_GPU, cores // 2 // gpus)) if only else 100)
        return Share(1, THREADS, THREADS, 0, joint, 100 if here else 0)
    apart = _apart(backend, settings)
    chunks = int(seconds / CHUNK) + 1
    if not here:
        threads = _threads(chunks, cores) if apart else THREADS
        return Share(0, threads, threads, 0, False)
    memory = 100 * MEMORY // memory_here()
    if apart and warm:
        # The worker computes with all cores, for whoever has chunks; a song that is ready waits there for the last one's
        # end, so that no core does.
        used = min(chunks, cores)
        percent = min(100, max(50 if used == cores else 100 * used // cores, memory))
        return Share(0, max(THREADS, cores), max(1, min(used, (cores - 1) // 2)), percent, True)
    threads = _threads(chunks, cores) if apart else THREADS
    percent = min(100, max(100 * threads // cores, memory))
    return Share(0, threads, max(1, threads - 1), percent, False)


@functools.cache
def memory_here() -> int:
    """MB that this process may have: of the machine, or of the container or allocation that it is in (Linux, cgroup v2)."""
    total = int(psutil.virtual_memory().total)
    try:
        _, _, group = Path("/proc/self/cgroup").read_text().partition("0::/")
        place = GROUPS / group.splitlines()[0] if group else GROUPS
        limits = [file.read_text().strip() for at in (place, *place.parents) if (file := at / "memory.max").is_file()]
    except OSError:
        limits = []
    return min([total, *(int(limit) for limit in limits if limit.isdigit())]) // 2**20


def uses_gpu(device: str, *, here: bool) -> bool:
    """Whether what runs a network asks Snakemake for a GPU."""
    return device != "cpu" and not (device == "auto" and here and not may_have_gpu())


def _apart(backend: str, settings: dict[str, Any]) -> bool:
    """Whether each chunk is one thread's work, on the CPU."""
    fast = settings.get("precision") == "fast" and settings.get("engine") in (None, "auto", "openvino")
    return registry.find(backend).apart and fast


def _threads(chunks: int, cores: int) -> int:
    """As many as there are cores, or chunks, where each chunk is one thread's work; else THREADS."""
    return max(THREADS, min(chunks, cores), cores // SIDE_BY_SIDE)
