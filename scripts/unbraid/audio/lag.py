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
_ALIKE = 0.5  # of a correlation; below it the two are not the same audio


class Lag:
    """The lag at which two signals, given in blocks [frames, channels], correlate best; normalised cross-correlation.

    The middle of what is looked at of `expected` is looked for in that of `found`, so that blocks of up to two times LONGEST
    frames say nothing. The differences of samples are compared, over all channels: low tones alone would hardly tell one sample.
    """

    def __init__(self) -> None:
        self._products = np.zeros(2 * LONGEST + 1)
        self._energies = np.zeros(2 * LONGEST + 1)
        self._energy = 0.0

    def add(self, expected: NDArray[Any], found: NDArray[Any]) -> None:
        for first, second in zip(expected.T, found.T, strict=True):
            self._add(*(np.diff(channel[:_LOOKED_AT].astype(np.float64)) for channel in (first, second)))

    def _add(self, first: NDArray[np.float64], second: NDArray[np.float64]) -> None:
        middle = first[LONGEST : len(first) - LONGEST]
        if not len(middle):
            return
        size = 2 * len(first)  # so that nothing wraps around
        spectrum = np.conj(np.fft.rfft(middle, size)) * np.fft.rfft(second, size)
        self._products += np.fft.irfft(spectrum)[: 2 * LONGEST + 1]
        sums = np.concatenate([[0.0], np.cumsum(second**2)])
        self._energies += (sums[len(middle) :] - sums[: len(sums) - len(middle)])[: 2 * LONGEST + 1]
        self._energy += float(np.sum(middle**2))

    def result(self) -> int | None:
        """In samples, positive where `found` comes late, at most LONGEST; None where nothing in one is like the other, be it
        because one is silent, or short."""
        norm = np.sqrt(np.maximum(self._energies * self._energy, np.finfo(float).tiny))
        correlation = self._products / norm
        highest = correlation.max()
        if not highest > _ALIKE:
            return None
        return 0 if correlation[LONGEST] >= _AS_GOOD * highest else int(correlation.argmax()) - LONGEST
