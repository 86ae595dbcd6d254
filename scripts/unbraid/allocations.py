"""How long a job may take where that is limited: on a cluster."""

import math

MINUTES = 2
"""Of any job: what it takes to start where a disk is slow, whatever the song."""
AROUND = 0.05
"""Minutes for each of audio, of a stage around the network: it takes a tenth of that on an idle machine."""
GPU, CPU = 1.0, 8.0
"""Minutes for each of audio that a network may take: several times what HTDemucs takes on two cores, and enough for those of UVR."""
SLOW = 10.0
"""How much longer a network may take whose segments are heard before their song is done."""


def around(seconds: float, attempt: int) -> int:
    """Minutes for a stage around the network, of `seconds` of audio. attempt: from 1; each may take that much longer."""
    return _minutes(seconds, AROUND, attempt)


def network(seconds: float, attempt: int, *, gpu: bool, slow: bool) -> int:
    """Minutes for a network, loading it included."""
    return _minutes(seconds, (GPU if gpu else CPU) * (SLOW if slow else 1.0), attempt)


def _minutes(seconds: float, rate: float, attempt: int) -> int:
    return attempt * math.ceil(MINUTES + rate * seconds / 60)
