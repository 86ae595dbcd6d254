"""A track's pictures, a column for each stretch of time, made in one pass in memory that does not grow with its length."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unbraid.audio.wav import Audio

FULL = 127  # what a sample at full scale becomes in a waveform
LOWEST, HIGHEST = 40.0, 20_000.0  # Hz, of a spectrogram
FLOOR, CEILING = -90.0, -20.0  # dB below a sine at full scale: the first and the last colour
COLOURS = 64  # steps of 1.1 dB: fewer than an eye tells apart beside each other, and small files
# matplotlib's "magma" in nine points: equal steps in level are equal steps in brightness.
MAGMA = "000004 1c1044 4f127b 812581 b5367a e55064 fb8761 fec287 fcfdbf"

_WINDOWS = 2  # at most, for each column; where a column is long, it is a sample of what sounds there
_AT_ONCE = 64  # windows transformed together, which bounds the memory


class Waveform:
    """The lowest and the highest sample of each column. frames: of the whole track."""

    def __init__(self, frames: int, channels: int, columns: int = 1000):
        count = max(1, min(columns, frames))
        self._starts = np.arange(count) * frames // count * channels  # in samples, channels interleaved
        self._low = np.full(count, np.inf, dtype=np.float32)
        self._high = np.full(count, -np.inf, dtype=np.float32)
        self._at = 0

    def add(self, block: Audio) -> None:
        """block: [any number of frames, channels]."""
        if not block.size:
            return
        end = self._at + block.size
        first = int(np.searchsorted(self._starts, self._at, side="right")) - 1
        last = int(np.searchsorted(self._starts, end))
        cuts = np.maximum(self._starts[first:last] - self._at, 0)
        samples = np.ascontiguousarray(block).reshape(-1)
        low, high = self._low[first:last], self._high[first:last]
        np.minimum(low, np.minimum.reduceat(samples, cuts), out=low)
        np.maximum(high, np.maximum.reduceat(samples, cuts), out=high)
        self._at = end

    def result(self) -> tuple[list[int], list[int]]:
        """(lowest, highest) of each column, full scale being ±127; what is beyond it, as if it were at it."""
        return _quantised(self._low), _quantised(self._high)


def _quantised(levels: NDArray[np.float32]) -> list[int]:
    # Nothing came where a column still holds infinity of the wrong sign; 0 for that and for NaN.
    known = np.where(np.isfinite(levels), levels, 0)
    return [int(level) for level in np.rint(np.clip(known, -1, 1) * FULL)]


class Spectrogram:
    """Power by time and frequency, channels added up; frequency is logarithmic, from 40 Hz to 20 kHz, `top`, or half the rate.

    frames: of the whole track. rate, top: in Hz. columns: at the most.
    """

    def __init__(self, frames: int, rate: int, top: float = HIGHEST, columns: int = 600, rows: int = 128):
        self._size = 2 ** max(6, round(np.log2(rate * 0.09)))  # of a window: 4096 at 44.1 kHz
        hop = self._size // 4
        # Of a short track no more than there is to see.
        self._columns = columns = max(1, min(columns, frames // hop))
        hops = frames // (columns * hop)  # in a column
        windows = columns * min(_WINDOWS, max(1, hops))
        # Of windows centred in equal parts of the track, when half a window of silence lies before it.
        self._starts = (np.arange(windows) * 2 + 1) * frames // (2 * windows)
        self._levels = np.zeros((windows, rows), dtype=np.float32)
        self._next = 0  # the window to come
        self._at = 0  # where what is held begins
        self._held: Audio | None = None
        hann = np.hanning(self._size + 1)[:-1]
        self._window = (hann * 2 / hann.sum()).astype(np.float32)  # a sine at full scale has the power 1
        # Few of the filters' weights are not zero, and a product of whole matrices would start BLAS's threads.
        filters = _filters(rate, self._size, rows, min(HIGHEST, top, rate / 2))
        row, self._bins = np.nonzero(filters)
        self._weights = filters[row, self._bins]
        self._rows = np.searchsorted(row, np.arange(rows))

    def add(self, block: Audio) -> None:
        """block: [any number of frames, channels]."""
        if not len(block):
            return
        if self._held is None:
            self._held = np.zeros((self._size // 2, block.shape[1]), dtype=np.float32)
        self._held = np.concatenate([self._held, block])
        end = self._at + len(self._held)
        while self._next < len(self._starts) and self._starts[self._next] + self._size <= end:
            ready = int(np.searchsorted(self._starts, end - self._size, side="right"))
            self._transform(min(ready, self._next + _AT_ONCE))
        wanted = int(self._starts[self._next]) if self._next < len(self._starts) else end
        self._held = self._held[max(0, wanted - self._at) :]
        self._at = max(self._at, min(wanted, end))

    def png(self) -> bytes:
        """The picture, [rows, columns], high frequencies on top."""
        if self._held is not None:
            self.add(np.zeros((self._size, self._held.shape[1]), dtype=np.float32))
        power = np.nan_to_num(self._levels).reshape(self._columns, -1, self._levels.shape[1]).mean(axis=1)
        level = (10 * np.log10(np.maximum(power, 1e-12)) - FLOOR) / (CEILING - FLOOR)
        return _png(np.rint(np.clip(level, 0, 1) * (COLOURS - 1)).astype(np.uint8).T[::-1])

    def _transform(self, end: int) -> None:
        assert self._held is not None
        starts = self._starts[self._next : end] - self._at
        windows = np.stack([self._held[start : start + self._size].T for start in starts])
        spectra = np.fft.rfft(windows * self._window)
        power = (np.square(spectra.real) + np.square(spectra.imag)).sum(axis=1)
        self._levels[self._next : end] = np.add.reduceat(power[:, self._bins] * self._weights, self._rows, axis=1)
        self._next = end


def _filters(rate: int, size: int, rows: int, top: float) -> NDArray[np.float32]:
    """[rows, bins]: triangles from a row's one neighbour to the other; where bins are further apart, as wide as those."""
    edges = np.geomspace(LOWEST, top, rows + 1)
    centres, widths = np.sqrt(edges[1:] * edges[:-1]), np.maximum(np.diff(edges), rate / size)
    bins = np.arange(size // 2 + 1) * rate / size
    return np.maximum(0, 1 - np.abs(bins - centres[:, None]) / widths[:, None]).astype(np.float32)


def _png(indices: NDArray[np.uint8]) -> bytes:
    """indices: [height, width], of the palette's colours."""
    import av

    anchors = np.array([list(bytes.fromhex(colour)) for colour in MAGMA.split()])
    places = np.linspace(0, len(anchors) - 1, COLOURS)
    palette = np.full((256, 4), 255, dtype=np.uint8)  # alpha, red, green, blue
    for channel in range(3):
        palette[:COLOURS, 1 + channel] = np.rint(np.interp(places, range(len(anchors)), anchors[:, channel]))
    height, width = indices.shape
    encoder: Any = av.CodecContext.create("png", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "pal8"
    encoder.time_base = Fraction(1)
    encoder.options = {"compression_level": "9"}
    drawn: Any = (np.ascontiguousarray(indices), palette)
    frame = av.VideoFrame.from_ndarray(drawn, format="pal8")
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])
