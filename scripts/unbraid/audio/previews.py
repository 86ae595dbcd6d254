"""A track for a player in a browser: short pieces, each decoded by itself and only when it is about to sound."""

from __future__ import annotations

import io

import numpy as np

from unbraid.audio.frames import LAYOUTS, frame
from unbraid.audio.resample import resample, resampled_frames
from unbraid.audio.wav import Audio

CHUNK = 10  # seconds of the track, in each piece
LEAD = 0.12  # seconds before them, for the decoder to settle (Opus asks for 0.08); whole frames at all common rates
TAIL = 0.05  # seconds behind them, to fade over to the next piece
LONGEST = 30 * 60  # seconds of a track that are taken, so that no page grows without end
RATE = 48000  # Hz; Opus knows no other that is of use here

_BUDGET, _MOST, _LEAST = 168_000, 64_000, 16_000  # bits a second in stereo, of all tracks and of each
# Of 0 to 10: as good as 10 by the distance of spectra, and in half the time; at 0 that distance is greater by a third.
_EFFORT = 3


def bitrate_for(tracks: int, channels: int) -> int:
    """Bits a second of each track, so that the page of a song of 4 minutes and up to ten tracks stays below 8 MB."""
    stereo = min(_MOST, max(_LEAST, _BUDGET // max(1, tracks)))
    return stereo * channels // 2


class Previews:
    """Ogg Opus files of CHUNK seconds each, the last one shorter, with LEAD and TAIL around them; the same bytes every time.

    rate: of the blocks, in Hz. bitrate: in bits a second. What is beyond full scale is clipped, what is no number is silence.
    """

    def __init__(self, rate: int, channels: int, bitrate: int):
        self._rate, self._channels, self._bitrate = rate, channels, bitrate
        self._lead, self._tail = round(LEAD * rate), round(TAIL * rate)
        self._held = self._silence(self._lead)
        self._made: list[bytes] = []

    def add(self, block: Audio) -> None:
        """block: [any number of frames, channels]."""
        if self._full():
            return
        self._held = np.concatenate([self._held, block])
        while len(self._held) >= self._lead + CHUNK * self._rate + self._tail and not self._full():
            self._make()

    def result(self) -> list[bytes]:
        """The files, in their order; of nothing, none. To be asked for once, at the end."""
        self._held = np.concatenate([self._held, self._silence(self._tail)])
        while len(self._held) > self._lead + self._tail and not self._full():
            self._make()
        return self._made

    def _full(self) -> bool:
        return len(self._made) * CHUNK >= LONGEST

    def _make(self) -> None:
        size = CHUNK * self._rate
        self._made.append(self._encoded(self._held[: self._lead + size + self._tail]))
        self._held = self._held[size:]  # the lead-in of the next one is the end of this one

    def _silence(self, frames: int) -> Audio:
        return np.zeros((frames, self._channels), dtype=np.float32)

    def _encoded(self, audio: Audio) -> bytes:
        import av

        known = np.clip(np.nan_to_num(audio), -1, 1)
        frames = resampled_frames(len(known), self._rate, RATE)
        samples = np.clip(np.concatenate(list(resample([known], self._rate, RATE, frames))), -1, 1)
        file = io.BytesIO()
        # Bit-exact: no random number of the stream.
        with av.open(file, "w", format="ogg", options={"fflags": "+bitexact"}) as output:
            # "lowdelay": never the coder for speech, which Opus would else use at such bitrates, and which does music harm.
            options = {"compression_level": str(_EFFORT), "vbr": "constrained", "application": "lowdelay"}
            stream = output.add_stream("libopus", rate=RATE, options=options)
            stream.layout = LAYOUTS[self._channels]
            stream.bit_rate = self._bitrate
            output.mux(stream.encode(frame(samples, RATE, 0)))
            output.mux(stream.encode(None))
        return file.getvalue()
