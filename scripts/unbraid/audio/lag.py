"""By how many samples audio comes late, in one pass, in bounded memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LONGEST = 4096  # samples; the longest delay of a codec is some 2,100
_LOOKED_AT = 4 * LONGEST + 1  # frames of each block: a quarter of those that are read is enough
_AS_GOOD = 0.99
"""Of the highest correlation: no lag is the answer as long as it comes that near. A steady tone correlates with itself at
each of its periods, and only rounding tells which is the highest."""


class Lag:
    """The lag at which two signals, given in blocks [frames, channels], correlate best; normalised cross-correlation.

    The middle of what is looked at of `expected` is looked for in that of `found`, so that blocks of up to two times LONGEST frames
    say nothing. The channels are summed, and the differences of samples compared: low tones alone would hardly tell one sample.
    """

    def __init__(self) -> None:
        self._products = np.zeros(2 * LONGEST + 1)
        self._energies = np.zeros(2 * LONGEST + 1)

    def add(self, expected: NDArray[Any], found: NDArray[Any]) -> None:
        first, second = (np.diff(block[:_LOOKED_AT].sum(axis=1, dtype=np.float64)) for block in (expected, found))
        middle = first[LONGEST : len(first) - LONGEST]
        if not len(middle):
            return
        size = 2 * len(first)  # so that nothing wraps around
        spectrum = np.conj(np.fft.rfft(middle, size)) * np.fft.rfft(second, size)
        self._products += np.fft.irfft(spectrum)[: 2 * LONGEST + 1]
        sums = np.concatenate([[0.0], np.cumsum(second**2)])
        self._energies += (sums[len(middle) :] - sums[: len(sums) - len(middle)])[: 2 * LONGEST + 1]

    def result(self) -> int | None:
        """In samples, positive where `found` comes late, at most LONGEST; None where either is silent, or too short."""
        correlation = self._products / np.sqrt(np.maximum(self._energies, np.finfo(float).tiny))
        highest = correlation.max()
        if not highest > 0:
            return None
        return 0 if correlation[LONGEST] >= _AS_GOOD * highest else int(correlation.argmax()) - LONGEST
