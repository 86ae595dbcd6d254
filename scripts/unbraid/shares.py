"""How much of the machine a separation is given, known before it runs."""

from typing import Any

import psutil

from unbraid.backends import registry
from unbraid.backends.device import may_have_gpu

THREADS = 2
"""Of a separation where their number decides the last bits. A result must not depend on how many cores a run was given."""
CHUNK = 6.0
"""Seconds of a song that a chunk of HTDemucs stands for, about: how far it is from one to the next."""
MEMORY = 6000
"""MB that a separation may take: about what the largest networks need."""
SIDE_BY_SIDE = 4
"""Separations at a time on the CPU, however many cores it has: each has a network of its own in memory."""


def uses_gpu(device: str, *, here: bool) -> bool:
    """Whether a separation asks Snakemake for a GPU. here: it will run on this machine, whose devices are known."""
    return device != "cpu" and not (device == "auto" and here and not may_have_gpu())


def threads(backend: str, settings: dict[str, Any], *, gpu: bool, seconds: float, cores: int) -> int:
    """Threads of the CPU for a segment of `seconds`, of the `cores` that the run was given.

    As many as there are chunks, where each chunk is one thread's work; else THREADS. Halved to a power of two, because a
    warm worker serves the jobs of one number of threads.
    """
    apart = registry.find(backend).apart and settings.get("precision") == "fast" and not gpu
    if not apart or settings.get("engine") not in (None, "auto", "openvino"):
        return THREADS
    useful = min(int(seconds / CHUNK) + 1, cores)
    return max(THREADS, 1 << (useful.bit_length() - 1), cores // SIDE_BY_SIDE)


def reserved(threads: int, *, gpu: bool, here: bool) -> int:
    """Cores that Snakemake sets aside for a separation with these threads.

    On this machine's CPU one fewer than it uses, so that what comes before and after it for other songs goes on beside it,
    where it would leave cores idle between one separation and the next.
    """
    return threads if gpu or not here else max(1, threads - 1)


def percent(threads: int, cores: int, *, memory: int, gpu: bool, here: bool) -> int:
    """Of this machine, its CPU or its memory: separations on it never take more than all of it together.

    memory: in MB, that a separation may take.
    """
    if gpu or not here:
        return 0
    total = int(psutil.virtual_memory().total) // 2**20
    return min(100, max(100 * threads // cores, 100 * memory // total))
