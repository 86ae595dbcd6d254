"""Invariant 2, the null, through segment, separate and merge in one process."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from stages_by_hand import separated
from unbraid import catalogue

IDENTITY = catalogue.load([Path(__file__).parents[2] / "config/models.yaml"])["identity"]


@pytest.mark.parametrize("frames", [1, 2, 1000, (1 << 18) - 1, 1 << 18, (1 << 18) + 1])
@pytest.mark.parametrize("segments", [1, 2, 3, 7])
def test_identity_gives_back_every_bit_in_any_number_of_segments(tmp_path, frames, segments):
    audio = np.random.default_rng(frames).standard_normal((frames, 2)).astype(np.float32)
    stems = separated(tmp_path, audio, IDENTITY, tmp_path, segments=segments)
    assert np.array_equal(stems, audio.T[None])
    assert soundfile.info(tmp_path / "mix.wav").frames == frames
