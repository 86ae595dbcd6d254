"""How near stems are to the true ones: SDR as in museval, SDR of the whole song, and SI-SDR; in one pass, in bounded memory.

museval itself holds the whole song, and computes filters for measures that are not wanted here. Its SDR needs none: of
"images" (BSS Eval v4) it is the plain ratio of each window's energies (Vincent et al. 2006; Stöter, Liutkus and Ito 2018).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from unbraid.audio.wav import Audio

Score = dict[str, float | None]


class Scores:
    """Compares blocks [frames, channels] of stems with those of their true stems, all of one song.

    result(): for each stem, in dB,
      sdr         median over the windows of one second of 10 log₁₀ Σs² / Σ(s − ŝ)². As in museval, a window in which any
                  stem, true or estimated, is silent counts for none, and what is left of a second at the end for nothing
      sdr_global  the same ratio over the whole song
      si_sdr      over the whole song, of the true stem scaled to fit the estimate best (Le Roux et al. 2019), without
                  taking off the mean, all channels together
    None where there is no such number: a true stem or an estimate is silent, or nothing is left of the difference.
    """

    def __init__(self, rate: int, stems: list[str]):
        self._window = rate
        self._at = 0  # frames of the window that is not full yet
        self._energies = {stem: _Energies() for stem in stems}

    def add(self, true: Mapping[str, Audio], estimated: Mapping[str, Audio]) -> None:
        """A block of each stem, all of the same frames."""
        (frames,) = {len(block) for block in (*true.values(), *estimated.values())}
        begin = 0
        while begin < frames:
            end = min(frames, begin + self._window - self._at)
            for stem, energies in self._energies.items():
                energies.add(true[stem][begin:end], estimated[stem][begin:end])
            self._at += end - begin
            begin = end
            if self._at == self._window:
                self._close()

    def _close(self) -> None:
        for energies in self._energies.values():
            energies.close()
        self._at = 0

    def result(self) -> dict[str, Score]:
        made = self._energies
        if self._at and not any(one.windows for one in made.values()):  # a song of less than a second is one window
            self._close()
        counts = np.all([[not silent for _, _, silent in one.windows] for one in made.values()], axis=0)
        return {stem: one.score(counts) for stem, one in made.items()}


class _Energies:
    """Of one stem: sums over the whole, and over each window (Σs², Σ(s − ŝ)², whether either is silent)."""

    def __init__(self) -> None:
        self._true = self._estimated = self._both = self._rest = 0.0
        self._open = [0.0, 0.0]
        self._heard = [False, False]
        self.windows: list[tuple[float, float, bool]] = []

    def add(self, true: Audio, estimated: Audio) -> None:
        s, e = true.astype(np.float64), estimated.astype(np.float64)
        energy, rest = float(np.sum(s * s)), float(np.sum((s - e) ** 2))
        self._true += energy
        self._rest += rest
        self._estimated += float(np.sum(e * e))
        self._both += float(np.sum(s * e))
        self._open = [self._open[0] + energy, self._open[1] + rest]
        # As museval looks for silence: channels that cancel are silent to it.
        self._heard = [self._heard[0] or bool(s.sum(axis=1).any()), self._heard[1] or bool(e.sum(axis=1).any())]

    def close(self) -> None:
        self.windows.append((self._open[0], self._open[1], not all(self._heard)))
        self._open, self._heard = [0.0, 0.0], [False, False]

    def score(self, counts: Any) -> Score:
        ratios = [
            np.inf if not rest else 10 * np.log10(energy / rest) if energy else -np.inf
            for (energy, rest, _), counted in zip(self.windows, counts, strict=True)
            if counted
        ]
        # s scaled to α s with α = <s, ŝ> / <s, s>; what is left is ŝ − α s, at a right angle to s.
        target = self._both**2 / self._true if self._true else 0.0
        return {
            "sdr": _finite(np.median(ratios)) if ratios else None,
            "sdr_global": _decibels(self._true, self._rest),
            "si_sdr": _decibels(target, self._estimated - target),
        }


def _decibels(energy: float, rest: float) -> float | None:
    return _finite(10 * np.log10(energy / rest)) if energy > 0 and rest > 0 else None


def _finite(value: Any) -> float | None:
    return round(float(value), 3) if np.isfinite(value) else None
