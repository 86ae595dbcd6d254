"""How much of the machine a separation is given, known before it runs."""

from dataclasses import dataclass
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
SIDE_BY_SIDE = 4
"""Separations at a time on the CPU, however many cores it has: each has a network of its own in memory."""


@dataclass(frozen=True)
class Share:
    """gpu: GPUs. threads: that it computes with. cores: that Snakemake sets aside for it. percent: of this machine.

    On this machine's CPU one core fewer is set aside than it uses, so that what comes before and after it for other songs
    goes on beside it; else cores would be idle between one separation and the next. Separations together never take more
    than all of the CPU or of the memory, which is what `percent` is of.
    """

    gpu: int
    threads: int
    cores: int
    percent: int


def share(backend: str, settings: dict[str, Any], device: str, *, here: bool, seconds: float, cores: int) -> Share:
    """Of the separation of a segment of `seconds`, in a run that was given `cores`.

    settings: of the separation. here: it will run on this machine, whose devices are known.
    """
    if uses_gpu(device, here=here):
        return Share(1, THREADS, THREADS, 0)
    threads = _threads(backend, settings, seconds, cores)
    if not here:
        return Share(0, threads, threads, 0)
    total = int(psutil.virtual_memory().total) // 2**20
    percent = min(100, max(100 * threads // cores, 100 * MEMORY // total))
    return Share(0, threads, max(1, threads - 1), percent)


def uses_gpu(device: str, *, here: bool) -> bool:
    """Whether what runs a network asks Snakemake for a GPU."""
    return device != "cpu" and not (device == "auto" and here and not may_have_gpu())


def _threads(backend: str, settings: dict[str, Any], seconds: float, cores: int) -> int:
    """As many as there are cores, or chunks, where each chunk is one thread's work; else THREADS."""
    apart = registry.find(backend).apart and settings.get("precision") == "fast"
    if not apart or settings.get("engine") not in (None, "auto", "openvino"):
        return THREADS
    chunks = int(seconds / CHUNK) + 1
    # Of few chunks a power of two, because a warm worker serves the jobs of one number of threads.
    useful = cores if chunks >= cores else 1 << (chunks.bit_length() - 1)
    return max(THREADS, useful, cores // SIDE_BY_SIDE)
