"""Levels of audio, measured in blocks."""

import math
from typing import Any

import av
import numpy as np
from av.filter import Graph

from unbraid.audio.wav import Audio

SILENCE = 10 ** (-60 / 20)  # a window whose peak stays below -60 dBFS counts as silent
WINDOW = 0.1  # seconds


class Meter:
    """Feed it blocks [frames, channels] of one file, then ask for the result.

    Loudness is EBU R128's integrated loudness (ITU-R BS.1770) by ffmpeg's `ebur128` filter.
    """

    def __init__(self, rate: int, channels: int) -> None:
        self._window = max(1, round(rate * WINDOW))
        self._rest = np.zeros((0, channels), dtype=np.float32)
        self._frames = self._clipped = self._silent = self._windows = 0
        self._channels = channels
        self._peak = self._squares = 0.0
        self._rate = rate
        self._loudness: float | None = None
        layout = "mono" if channels == 1 else "stereo"
        self._layout = layout
        self._graph = Graph()
        source = self._graph.add_abuffer(sample_rate=rate, format="flt", layout=layout, channels=channels)
        meter = self._graph.add("ebur128", "metadata=1:framelog=quiet")
        sink = self._graph.add("abuffersink")
        source.link_to(meter)
        meter.link_to(sink)
        self._graph.configure()

    def add(self, block: Audio) -> None:
        if not len(block):
            return
        magnitude = np.abs(block)
        self._peak = max(self._peak, float(magnitude.max()))
        self._clipped += int(np.count_nonzero(magnitude > 1))
        self._squares += float(np.square(block, dtype=np.float64).sum())
        self._add_silence(magnitude)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block).reshape(1, -1), format="flt", layout=self._layout)
        frame.sample_rate = self._rate
        frame.pts = self._frames
        self._frames += len(block)
        self._graph.push(frame)
        self._pull()

    def result(self) -> dict[str, Any]:
        """peak_dbfs, rms_dbfs and lufs (None where there is no level), samples over full scale, share of silence."""
        if len(self._rest):
            self._windows += 1
            self._silent += int(self._rest.max() < SILENCE)
            self._rest = self._rest[:0]
        self._graph.push(None)
        self._pull()
        mean_square = self._squares / max(self._frames * self._channels, 1)
        return {
            "peak_dbfs": round(20 * math.log10(self._peak), 2) if self._peak else None,
            "rms_dbfs": round(10 * math.log10(mean_square), 2) if mean_square else None,
            "lufs": self._loudness,
            "clipped_samples": self._clipped,
            "silent_share": round(self._silent / self._windows, 4) if self._windows else 1.0,
        }

    def _add_silence(self, magnitude: Audio) -> None:
        joined = np.concatenate([self._rest, magnitude])
        whole = len(joined) // self._window
        windows = joined[: whole * self._window].reshape(whole, self._window * self._channels)
        self._windows += whole
        self._silent += int(np.count_nonzero(windows.max(axis=1) < SILENCE)) if whole else 0
        self._rest = joined[whole * self._window :]

    def _pull(self) -> None:
        while True:
            try:
                frame = self._graph.pull()
            except (BlockingIOError, EOFError):
                return
            if "lavfi.r128.I" in frame.metadata:  # the last, short frame has none
                value = float(frame.metadata["lavfi.r128.I"])
                # The filter starts at -70, its absolute gate: nothing loud enough has been heard yet.
                self._loudness = round(value, 2) if value > -70 else None
