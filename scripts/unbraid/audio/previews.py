"""A track for a player in a browser: short pieces, each decoded by itself and only when it is about to sound."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from itertools import chain, islice

import numpy as np

from unbraid.audio.frames import LAYOUTS, frame
from unbraid.audio.resample import resample, resampled_frames
from unbraid.audio.wav import Audio, reblocked

CHUNK = 10  # seconds of the track, in each piece
LEAD = 0.12  # seconds before them, for the decoder to settle (Opus asks for 0.08); whole frames at all common rates
TAIL = 0.05  # seconds behind them, to fade over to the next piece
LONGEST = 30 * 60  # seconds of a track that are taken, so that no page grows without end
RATE = 48000  # Hz; Opus knows no other that is of use here

_BUDGET, _MOST, _LEAST = 168_000, 64_000, 16_000  # bits a second in stereo, of all tracks and of each
# Of 0 to 10: what higher ones take longer for, a preview does not need; at 0 the sound suffers.
_EFFORT = 1


def bitrate_for(tracks: int, channels: int) -> int:
    """Bits a second of each track, so that the page of a song of 4 minutes and up to ten tracks stays below 8 MB."""
    stereo = min(_MOST, max(_LEAST, _BUDGET // max(1, tracks)))
    return stereo * channels // 2


def pieces(blocks: Iterable[Audio], rate: int, channels: int, bitrate: int) -> Iterator[bytes]:
    """Ogg Opus files of CHUNK seconds each, the last one shorter, with LEAD and TAIL around them; the same bytes every time.

    blocks: of the track, [any number of frames, channels], of which the first LONGEST seconds are taken. rate: theirs, in Hz.
    bitrate: in bits a second. What is beyond full scale is clipped, what is no number is silence.
    """
    lead, tail = round(LEAD * rate), round(TAIL * rate)
    silence = np.zeros((max(lead, tail), channels), dtype=np.float32)
    before, own = silence[:lead], None
    # Each is made when what comes after it is there.
    for block in chain(islice(reblocked(blocks, CHUNK * rate), LONGEST // CHUNK), [silence[:tail]]):
        if own is not None:
            after = np.concatenate([block[:tail], silence])[:tail]
            yield _encoded(np.concatenate([before, own, after]), rate, bitrate)
            before = np.concatenate([before, own])[-lead:]
        own = block


def _encoded(audio: Audio, rate: int, bitrate: int) -> bytes:
    import av

    known = np.clip(np.nan_to_num(audio), -1, 1)
    frames = resampled_frames(len(known), rate, RATE)
    samples = np.clip(np.concatenate(list(resample([known], rate, RATE, frames))), -1, 1)
    file = io.BytesIO()
    # Bit-exact: no random number of the stream.
    with av.open(file, "w", format="ogg", options={"fflags": "+bitexact"}) as output:
        # "lowdelay": never the coder for speech, which Opus would else use at such bitrates, and which does music harm.
        options = {"compression_level": str(_EFFORT), "vbr": "constrained", "application": "lowdelay"}
        stream = output.add_stream("libopus", rate=RATE, options=options)
        stream.layout = LAYOUTS[audio.shape[1]]
        stream.bit_rate = bitrate
        output.mux(stream.encode(frame(samples, RATE, 0)))
        output.mux(stream.encode(None))
    return file.getvalue()
