"""Levels of audio, measured in one pass in bounded memory."""

from __future__ import annotations

import functools
from fractions import Fraction
from typing import Any

import numpy as np

from unbraid.audio.frames import LAYOUTS, frame
from unbraid.audio.wav import Audio

SILENCE = 10 ** (-60 / 20)  # -60 dBFS: below the noise of a quiet recording, above that of a dithered one
_ABSOLUTE_GATE = -70.0  # LUFS; also what ffmpeg says when nothing passed the gate


class Meter:
    """Measures blocks [frames, channels] of 1 or 2 channels at `rate`.

    result():
      peak_dbfs        highest |sample|, 0 dBFS being 1.0; None for digital silence
      rms_dbfs         root of the mean square over all channels, 0 dBFS being 1.0; None for digital silence
      lufs             integrated loudness (ITU-R BS.1770-4, EBU R 128) by ffmpeg's `ebur128`; None under 400 ms and
                       when no part is louder than -70 LUFS
      clipped_samples  samples beyond full scale, |x| > 1
      nonfinite_samples  samples that are no numbers, or infinite; they are measured as silence
      silent_share     share of windows of 100 ms whose peak is below -60 dBFS, the last one as short as it comes
    """

    def __init__(self, rate: int, channels: int):
        self._channels = channels
        self._loudness = _Loudness(rate, channels)
        self._peak = 0.0
        self._squares = 0.0
        self._samples = 0
        self._clipped = 0
        self._nonfinite = 0
        self._window = max(1, round(rate / 10))
        self._windows = 0
        self._silent = 0
        self._open = 0  # frames of the window that is not full yet
        self._open_peak = 0.0

    def add(self, block: Audio) -> None:
        if not len(block):
            return
        finite = np.isfinite(block)
        if not finite.all():
            self._nonfinite += int(block.size - np.count_nonzero(finite))
            block = np.where(finite, block, np.float32(0))
        levels = np.abs(block)
        self._peak = max(self._peak, float(levels.max()))
        self._squares += float(np.sum(np.square(block, dtype=np.float64)))
        self._samples += block.size
        self._clipped += int(np.count_nonzero(levels > 1.0))
        # By channels: along an axis of one or two, numpy's own maximum takes forty times as long.
        self._add_windows(functools.reduce(np.maximum, levels.T))
        self._loudness.add(block)

    def result(self) -> dict[str, Any]:
        silent, windows = self._silent, self._windows
        if self._open:
            silent, windows = silent + (self._open_peak < SILENCE), windows + 1
        return {
            "peak_dbfs": _decibels(self._peak),
            "rms_dbfs": _decibels((self._squares / self._samples) ** 0.5 if self._samples else 0.0),
            "lufs": self._loudness.result(),
            "clipped_samples": self._clipped,
            "nonfinite_samples": self._nonfinite,
            "silent_share": round(silent / windows, 4) if windows else 1.0,
        }

    def _add_windows(self, levels: Any) -> None:
        """levels: the highest |sample| of each frame."""
        first = np.arange(-self._open, len(levels), self._window)
        first[0] = 0
        peaks = np.maximum.reduceat(levels, first)
        peaks[0] = max(float(peaks[0]), self._open_peak)
        full, self._open = divmod(self._open + len(levels), self._window)
        self._windows += full
        self._silent += int(np.count_nonzero(peaks[:full] < SILENCE))
        self._open_peak = float(peaks[-1]) if self._open else 0.0


class _Loudness:
    """Integrated loudness: ffmpeg's `ebur128` keeps a histogram of 0.01 LU, so that no length needs more memory."""

    def __init__(self, rate: int, channels: int):
        import av

        self._rate = rate
        self._at = 0
        self._lufs: float | None = None
        graph = av.filter.Graph()
        self._input = graph.add_abuffer(
            sample_rate=rate, format="flt", layout=LAYOUTS[channels], time_base=Fraction(1, rate)
        )
        meter = graph.add("ebur128", "metadata=1")
        self._output = graph.add("abuffersink")
        self._input.link_to(meter)
        meter.link_to(self._output)
        graph.configure()
        self._graph = graph  # the filters live as long as it does

    def add(self, block: Audio) -> None:
        self._input.push(frame(block, self._rate, self._at))
        self._at += len(block)
        self._drain()

    def result(self) -> float | None:
        return None if self._lufs is None or self._lufs <= _ABSOLUTE_GATE else self._lufs

    def _drain(self) -> None:
        """Take what is measured: one frame per 100 ms, each with the loudness from the beginning to there."""
        while True:
            try:
                heard: Any = self._output.pull()
            except BlockingIOError:
                return
            if (lufs := heard.metadata.get("lavfi.r128.I")) is not None:
                self._lufs = float(lufs)


def _decibels(amplitude: float) -> float | None:
    return round(20 * float(np.log10(amplitude)), 3) if amplitude > 0 else None
