"""How much of the machine a separation is given, known before it runs."""

from typing import Any

from unbraid.backends import registry
from unbraid.backends.device import may_have_gpu

THREADS = 2
"""Of a separation where their number decides the last bits. A result must not depend on how many cores a run was given."""
CHUNK = 6.0
"""Seconds of a song that a chunk of HTDemucs stands for, about: how far it is from one to the next."""
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
