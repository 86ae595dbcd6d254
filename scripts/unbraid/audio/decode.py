"""Decoding any source to float32 at its own rate, in blocks."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np

from unbraid.audio.source import Description, describe, open_audio
from unbraid.audio.wav import Audio
from unbraid.errors import UnbraidError

# Order of channels that is meant where a file does not say; what ffmpeg itself assumes.
LAYOUTS = {3: "2.1", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}


class Decoder:
    """Iterate for blocks [frames, channels] of float32: mono stays mono, more than two channels become stereo.

    start, end: a window in seconds; an end beyond the song's is the song's. Frames are counted from the first that the
    decoder gives, which leaves out the encoder's delay where the file says it. Integer samples are divided by their
    full scale, 2^(bits-1), exactly; float samples are kept, over full scale too. More than two channels are mixed down
    with swresample's standard matrix (ITU-R BS.775: centre and surrounds at -3 dB) in float and without scaling.

    Raises, while iterating: UnbraidError for damage (unless truncated is `accept`, which takes what is whole before
    it), for NaN and infinity, and for nothing to decode.
    """

    def __init__(
        self, path: str | Path, start: float | None = None, end: float | None = None, truncated: str = "error"
    ) -> None:
        self.path = path
        self.truncated = truncated
        self.damaged = False
        with open_audio(path) as (container, stream):
            self.source: Description = describe(path, container, stream)
        self.rate = self.source.rate
        self.channels = min(self.source.channels, 2)
        self._first = round((start or 0.0) * self.rate)
        self._stop = None if end is None else round(end * self.rate)
        if self._stop is not None and self._stop <= self._first:
            raise UnbraidError(
                f"The window ends ({end:g} s) before it starts ({start or 0:g} s).", remedy="Correct start and end."
            )

    def __iter__(self) -> Iterator[Audio]:
        position = given = 0
        for block in self._decoded():
            begin, position = position, position + len(block)
            low = max(self._first - begin, 0)
            high = len(block) if self._stop is None else min(self._stop - begin, len(block))
            if low < high:
                part = block[low:high]
                if not np.isfinite(part).all():
                    where = begin + low + int(np.argmin(np.isfinite(part).all(axis=1)))
                    raise UnbraidError(
                        f"There is a NaN or infinite sample at {where / self.rate:.3f} s.",
                        remedy="Export the song again; a plug-in that overflowed is the usual cause.",
                    )
                given += len(part)
                yield part
            if self._stop is not None and position >= self._stop:
                return
        if position and not given:
            raise UnbraidError(
                f"The window starts at {self._first / self.rate:g} s, but the song ends at {position / self.rate:g} s.",
                remedy="Correct start and end.",
            )
        if not position:
            raise UnbraidError("There is no audio in it: zero frames were decoded.", remedy="Get the song again.")

    def _decoded(self) -> Iterator[Audio]:
        frames = 0
        with open_audio(self.path) as (container, stream):
            downmix: av.AudioResampler | None = None
            try:
                for packet in container.demux(stream):
                    for frame in self._frames(packet):
                        self._same_format(frame, frames)
                        block = samples(frame)
                        if block.shape[1] > 2:
                            downmix = downmix or av.AudioResampler(format="fltp", layout="stereo", rate=self.rate)
                            block = _downmixed(block, frame, downmix)
                        frames += len(block)
                        yield block
            except av.FFmpegError:
                # What follows a broken packet cannot be placed in time any more; what came before is whole.
                self._damage(frames)
                return
        promised = self.source.promised
        if promised is not None and frames < promised - self.source.slack:
            self._damage(frames)

    def _frames(self, packet: Any) -> list[Any]:
        try:
            return list(packet.decode())
        except av.InvalidDataError:
            # Junk between the frames of a lossy stream (tags, a cut first frame) is common and not heard; where it
            # did replace audio, the frames that are missing in the end tell.
            if self.source.lossy:
                return []
            raise

    def _same_format(self, frame: Any, at: int) -> None:
        if frame.sample_rate != self.rate or frame.layout.nb_channels != self.source.channels:
            raise UnbraidError(
                f"At {at / self.rate:.1f} s the song changes from {self.rate} Hz, {self.source.channels} channel(s) to "
                f"{frame.sample_rate} Hz, {frame.layout.nb_channels} channel(s).",
                remedy="Convert it to one format first, or split it there.",
            )

    def _damage(self, frames: int) -> None:
        self.damaged = True
        if self.truncated == "accept" and frames:
            return
        promised = self.source.promised
        length = f" of {promised / self.rate:.1f} s" if promised else ""
        raise UnbraidError(
            f"The song is truncated or damaged after {frames / self.rate:.1f} s{length}.",
            remedy="Get it again, or set truncated=accept to take what is whole.",
        )


def samples(frame: Any) -> Audio:
    """A decoded frame as [frames, channels], float32, full scale ±1."""
    name = frame.format.name
    array = frame.to_ndarray()
    array = array.T if frame.format.is_planar else array.reshape(-1, frame.layout.nb_channels)
    kind = name.rstrip("p")
    if kind == "u8":
        return (array.astype(np.float32) - 128) / 128
    if kind in ("s16", "s32", "s64"):
        # Through float64: an int32 does not fit float32, and must be rounded once, after scaling.
        return (array / float(1 << (int(kind[1:]) - 1))).astype(np.float32)
    return array.astype(np.float32)


def _downmixed(block: Audio, frame: Any, downmix: Any) -> Audio:
    # The frame goes in as float: swresample scales the matrix down for integers, and levels must stay as they are.
    count = block.shape[1]
    name = frame.layout.name if not frame.layout.name.endswith("channels") else LAYOUTS.get(count)
    if name is None:
        raise UnbraidError(
            f"The song has {count} channels in an unknown order.", remedy="Mix it down to stereo in an editor first."
        )
    whole = av.AudioFrame.from_ndarray(np.ascontiguousarray(block.T), format="fltp", layout=name)
    whole.sample_rate = frame.sample_rate
    return np.concatenate([part.to_ndarray().T for part in downmix.resample(whole)])
