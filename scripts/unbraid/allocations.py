"""How long a job may take, and how much disk, where that is limited: on a cluster."""

import math
from collections.abc import Mapping
from typing import Any

MINUTES = 2
"""Of any job: what it takes to start where a disk is slow, whatever the song."""
AROUND = 0.05
"""Minutes for each of audio, of a stage around the network: it takes a tenth of that on an idle machine."""
GPU, CPU = 1.0, 8.0
"""Minutes for each of audio that a network may take: several times what HTDemucs takes on two cores, and enough for those of UVR."""
SLOW = 10.0
"""How much longer a network may take whose segments are heard before their song is done."""

DISK = 1000
"""MB of disk of any job that shares none with others."""
MIX, STEMS = 0.8, 5.0
"""MB for each second of audio: of the song, decoded and in the model's format; of all that comes of it. Of four stems, in stereo."""


def around(seconds: float, attempt: int) -> int:
    """Minutes for a stage around the network, of `seconds` of audio. attempt: from 1; each may take that much longer."""
    return _minutes(seconds, AROUND, attempt)


def network(seconds: float, attempt: int, *, gpu: bool, slow: bool, passes: float = 1.0) -> int:
    """Minutes for a network, loading it included. passes: how often it goes over the song (see `passes`)."""
    return _minutes(seconds, (GPU if gpu else CPU) * (SLOW if slow else 1.0) * max(1.0, passes), attempt)


def disk(song: float, stems: float, attempt: int) -> int:
    """MB for a song of so many seconds, of which so many are separated."""
    return attempt * math.ceil(DISK + MIX * song + STEMS * stems)


def passes(settings: Mapping[str, Any], networks: int) -> float:
    """Over a song, where one network with a quarter of each chunk overlapping goes over it once. networks: of the model."""
    overlap = settings.get("overlap") or 0.0
    return max(1, settings.get("shifts") or 0) * 0.75 / (1 - overlap) * max(1, networks)


def _minutes(seconds: float, rate: float, attempt: int) -> int:
    return attempt * math.ceil(MINUTES + rate * seconds / 60)
