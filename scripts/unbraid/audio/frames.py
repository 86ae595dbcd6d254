"""Blocks of samples as ffmpeg's libraries take them."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from av import AudioFrame

    from unbraid.audio.wav import Audio

LAYOUTS = {1: "mono", 2: "stereo"}


def frame(block: Audio, rate: int, at: int) -> AudioFrame:
    """[frames, 1 or 2 channels] that begin at sample `at`."""
    import av

    packed = np.ascontiguousarray(block, dtype=np.float32).reshape(1, -1)
    made = av.AudioFrame.from_ndarray(packed, format="flt", layout=LAYOUTS[block.shape[1]])
    made.sample_rate, made.pts, made.time_base = rate, at, Fraction(1, rate)
    return made
