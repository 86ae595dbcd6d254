"""How long work will take, from how long such work took before. Pure numbers: seconds, and units of work."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

APART = 1.5
"""How many times larger one piece of work must be than another for the two to tell a fixed part from a proportional one."""

Sample = tuple[float, float]  # (units of work, seconds)


@dataclass(frozen=True)
class Cost:
    """Of a kind of work: seconds whatever its size, and seconds for each unit of it."""

    start: float
    each: float

    def of(self, units: float) -> float:
        return self.start + self.each * units


def fit(samples: Sequence[Sample], each: float | None = None, extent: float = 0.0) -> Cost:
    """The cost that fits the samples, by medians (Theil and Sen's slope), so that a run that something disturbed does not count.

    each: seconds of a unit while all samples are of about one size; None: then all seconds are proportional.
    extent: units that two samples must differ by to tell, besides being `APART`. Raises: ValueError without samples.
    """
    if not samples:
        raise ValueError("nothing was measured")
    slopes = [
        (late[1] - early[1]) / (late[0] - early[0])
        for early, late in combinations(sorted(samples), 2)
        if late[0] > APART * early[0] and late[0] - early[0] >= extent
    ]
    if slopes:
        each = max(median(slopes), 0.0)
    elif each is None:
        return Cost(0.0, median(seconds / max(units, 1.0) for units, seconds in samples))
    return Cost(max(median(seconds - each * units for units, seconds in samples), 0.0), each)


def chunk_count(seconds: float, segments: int, overlap: float, chunk_seconds: float, passes: int) -> int:
    """The chunks of all passes over a song: what the grid gives (`unbraid.grid`), but for rounding.

    chunk_seconds: that a chunk lasts; the next one begins after all of it but `overlap`.
    """
    stride = (1 - overlap) * chunk_seconds
    # A segment also evaluates the chunk that reaches over its edge.
    return passes * (max(1, math.ceil(round(seconds / stride, 6))) + segments - 1)


def rounds(chunks: int, segments: int, lanes: int) -> int:
    """How many chunks come one after another, where `lanes` are computed side by side, segment after segment."""
    return segments * math.ceil(chunks / segments / lanes)


def wall(songs: Iterable[tuple[float, float, float]], cores: int) -> float:
    """Seconds that songs take together.

    songs: of each, the seconds around its separations, those of its separations, and the share of the machine that these
    take: 1 when no two of them run at a time. One song's other stages run beside another's separation.
    """
    given = list(songs)
    alone = max((around + separating for around, separating, _ in given), default=0.0)
    beside = sum(around for around, _, _ in given) / max(1, min(cores, len(given)))
    return max(alone, beside + sum(separating * share for _, separating, share in given))
