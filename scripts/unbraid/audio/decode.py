"""Decoding a recording to float32 blocks, streaming, exact, and honest about damage."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unbraid.audio.promise import is_cut, promise
from unbraid.audio.source import REPLACE, cannot_read, encoding, open_source
from unbraid.audio.wav import Audio, reblocked
from unbraid.errors import UnbraidError

if TYPE_CHECKING:
    from av import AudioFrame

# Containers whose packets carry sample positions; elsewhere a jump in time may be the recording's own.
_POSITIONED = frozenset(("flac", "ogg"))
# Containers that may leave the size of plain PCM open, so that ffmpeg calls their last packet incomplete.
_OPEN_ENDED = frozenset(("wav", "caf", "au"))
_TIMED = frozenset(("mov,mp4,m4a,3gp,3g2,mj2",))
_GAP = 0.02  # seconds
_TAGS = (b"ID3", b"TAG", b"APETAGEX")  # where mp3 files were joined together, tags lie between the frames

_SCALES = {"u8": 2.0**-7, "s16": 2.0**-15, "s32": 2.0**-31, "s64": 2.0**-63}


class _Damage(Exception):
    """Everything before frame `at` is whole."""

    def __init__(self, at: int):
        self.at = at


class Decoder:
    """Iterate once over blocks [frames, channels], float32, full scale at ±1, nothing clipped.

    Integers are divided by 2^(bits-1), floats kept as they are. A decoder's delay and padding are cut off where the
    file tells them. Mono and stereo stay as they are; more channels are mixed down to stereo with swresample's standard
    matrix (left + 0.707 centre + 0.707 left surround; without the bass effects channel), which is not normalised here:
    a full centre keeps its level, and peaks may pass full scale.

    start, end: a window in seconds; the frames round(start * rate) to round(end * rate) of the whole song, counted on
    decoded frames, so that a window is exact for every codec. An `end` beyond the song's end means the song's end.
    truncated: what to do about damage before the end of the window; "accept" delivers what is whole before it.

    rate, channels: of the blocks. source_channels: before mixing down. seconds: about how long the whole song is, None
    when its container does not say. encoding: how it is stored. damaged: whether damage was met and accepted.

    The file is open until the iteration ends, or `close`; a decoder is a context manager too.
    Raises (also while iterating): UnbraidError for what cannot be opened or decoded, a window that is empty or begins
    beyond the song's end, damage, NaN and infinity, and a format that changes within the song.
    """

    def __init__(
        self,
        path: str | Path,
        start: float | None = None,
        end: float | None = None,
        truncated: str = "error",
    ):
        begin, stop = start or 0.0, math.inf if end is None else end
        if not 0 <= begin < stop:  # says no to NaN too
            raise UnbraidError(
                f"The window of {path} from {begin} s to {'its end' if end is None else f'{end} s'} is empty or negative.",
                remedy="Give a start that is 0 or more and an end after it.",
            )
        self._path, self._accept = Path(path), truncated == "accept"
        self.damaged = False
        with ExitStack() as files:
            self._source = files.enter_context(open_source(self._path))
            context = self._source.stream.codec_context
            context.thread_count = 1
            if context.name == "flac":
                # Frames carry checksums; ffmpeg looks at them only when told to.
                context.options = {"err_detect": "crccheck+explode"}
            self.encoding = encoding(self._source.stream)
            duration = self._source.container.duration
            self.seconds = duration / 1e6 if duration else None
            self._frames = self._whole()
            self._first = next(self._frames, None)
            if self._first is None:
                raise self._nothing()
            self.rate = self._first.sample_rate
            self.source_channels = self._first.layout.nb_channels
            self.channels = min(self.source_channels, 2)
            self._resamplers: dict[str, Callable[[AudioFrame], Audio]] = {}
            self._start = round(Fraction(begin) * self.rate)
            self._end = math.inf if stop == math.inf else round(Fraction(stop) * self.rate)
            self._files = files.pop_all()

    def __enter__(self) -> Decoder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._files.close()

    def __iter__(self) -> Iterator[Audio]:
        with self._files:
            at = self._start
            for block in reblocked(self._window()):
                finite = np.isfinite(block)
                if not finite.all():
                    second = (at + int(np.argmin(finite.all(axis=1)))) / self.rate
                    raise UnbraidError(
                        f"{self._path} holds a sample that is no number (NaN or infinity) at {second:.3f} s.",
                        remedy="Export it again, or cut that place out with start and end.",
                    )
                yield block
                at += len(block)

    def _window(self) -> Iterator[Audio]:
        at = 0
        timed = self._source.container.format.name in _TIMED
        # Only where it has to be known which frame is the last: what lies beyond the window may be damaged.
        marked = _marked(self._all()) if timed else ((frame, False) for frame in self._all())
        for frame, ends in marked:
            count = self._shown(frame) if ends else frame.samples
            first, last = max(self._start - at, 0), int(min(self._end - at, count))
            if first < last:
                yield self._samples(frame)[first:last]
            at += count
            if at >= self._end:
                return
        if at <= self._start:
            raise UnbraidError(
                f"The window of {self._path} begins at {self._start / self.rate:.3f} s, but the song ends at "
                f"{at / self.rate:.3f} s.",
                remedy="Give an earlier start.",
            )

    def _shown(self, frame: AudioFrame) -> int:
        """Samples of the last frame that are the song's: MP4 files tell how long it lasts, the rest is filling."""
        if not frame.duration or frame.time_base is None:
            return int(frame.samples)
        return min(frame.samples, round(frame.duration * frame.time_base * frame.sample_rate))

    def _all(self) -> Iterator[AudioFrame]:
        assert self._first is not None
        yield self._first
        yield from self._frames

    def _whole(self) -> Iterator[AudioFrame]:
        """Decoded frames up to the end or, when damage is accepted, up to the damage."""
        try:
            yield from self._decoded()
        except _Damage as damage:
            if not self._accept:
                rate = self._source.stream.codec_context.sample_rate or 1
                raise UnbraidError(
                    f"{self._path} is truncated or damaged after {damage.at / rate:.2f} s.",
                    remedy="Get a whole copy, or set truncated: accept to take what is whole before that.",
                ) from damage
            self.damaged = True

    def _decoded(self) -> Iterator[AudioFrame]:
        """Decoded frames. Raises: _Damage as soon as it is certain."""
        import av

        source = self._source
        container, codec = source.container.format.name, source.stream.codec_context.name
        positioned = container in _POSITIONED
        open_ended = container in _OPEN_ENDED and codec.startswith("pcm_")
        at, expected, failed = 0, None, False
        first_packet = None
        for packet in self._packets():
            if packet is None:
                failed = True
                break
            if first_packet is None:
                first_packet = packet.pos
            try:
                frames = packet.decode()
            except av.FFmpegError:
                # Lossy streams may begin with the rest of a packet that was cut off.
                begins = at == 0 and self.encoding.lossy
                failed = not (begins or (container == "mp3" and bytes(packet).startswith(_TAGS)))
                continue
            for frame in frames:
                if not frame.samples:
                    continue
                position = None if frame.pts is None else float(frame.pts * frame.time_base * frame.sample_rate)
                lost = position is None if container == "flac" else False
                if positioned and position is not None and expected is not None:
                    lost = position - expected > _GAP * frame.sample_rate
                if failed or lost:
                    raise _Damage(at)
                yield frame
                at += frame.samples
                expected = None if position is None else position + frame.samples
            if packet.is_corrupt and not open_ended:
                failed = True
        rate = source.stream.codec_context.sample_rate or 1
        kept = promise(source, rate, first_packet)
        short = kept is not None and kept.broken_by(at)
        if container == "mp3":
            failed = False  # what failed came after the last frame: tags and filling that mp3 has no place for
        if failed or short or is_cut(self._path, container):
            raise _Damage(at)

    def _packets(self) -> Iterator[Any]:
        """Packets, the decoder's flush included; None, at last, when reading fails."""
        import av

        try:
            yield from self._source.container.demux(self._source.stream)
        except av.FFmpegError:
            yield None
        except OSError as error:
            raise cannot_read(self._path, error) from error

    def _nothing(self) -> UnbraidError:
        return UnbraidError(f"{self._path} holds no sound: nothing of it can be decoded.", remedy=REPLACE)

    def _samples(self, frame: AudioFrame) -> Audio:
        """A frame's samples as [frames, channels]; a passage in mono is repeated for the channels of the song."""
        channels = frame.layout.nb_channels
        if frame.sample_rate != self.rate or (self.channels == 1 and channels > 1):
            raise UnbraidError(
                f"{self._path} changes its format within the song: {self.rate} Hz with {self.source_channels} "
                f"channel(s) becomes {frame.sample_rate} Hz with {channels}.",
                remedy="Convert it to flac or wav of one format first.",
            )
        if channels > 2:
            return self._downmixed(frame)
        samples = to_float(frame)
        return samples if channels == self.channels else np.repeat(samples, self.channels, axis=1)

    def _downmixed(self, frame: AudioFrame) -> Audio:
        import av

        # One per format: a resampler takes frames of one format only. At equal rates it holds nothing back.
        name = f"{frame.layout.name} {frame.format.name}"
        if name not in self._resamplers:
            self._resamplers[name] = _downmixer(self.rate)
        try:
            return self._resamplers[name](frame)
        except av.FFmpegError as error:
            raise UnbraidError(
                f"{self._path} has {frame.layout.nb_channels} channels in an arrangement that cannot be mixed down.",
                remedy="Mix it down to stereo first.",
            ) from error


def _marked(frames: Iterator[AudioFrame]) -> Iterator[tuple[AudioFrame, bool]]:
    """Each frame, and whether it is the last one."""
    before = next(frames)
    for frame in frames:
        yield before, False
        before = frame
    yield before, True


def _downmixer(rate: int) -> Callable[[AudioFrame], Audio]:
    import av

    resampler = av.AudioResampler(format="flt", layout="stereo", rate=rate)

    def downmix(frame: AudioFrame) -> Audio:
        return np.concatenate([to_float(mixed) for mixed in resampler.resample(frame)])

    return downmix


def to_float(frame: AudioFrame) -> Audio:
    """The samples of a frame as [frames, channels], float32: integers over 2^(bits-1), exact up to 24 bits."""
    values = frame.to_ndarray()
    values = values.T if frame.format.is_planar else values.reshape(frame.samples, -1)
    sample = frame.format.name.removesuffix("p")
    with np.errstate(over="ignore"):  # a double beyond float32 becomes infinity, which is found and named
        samples: Audio = values.astype(np.float32)
    if sample == "u8":
        samples -= np.float32(128)
    # A power of two: the scaling rounds nothing.
    return samples * np.float32(_SCALES[sample]) if sample in _SCALES else samples
