import numpy as np
import pytest

from unbraid.audio.lag import LONGEST, Lag
from unbraid.audio.wav import BLOCK

FRAMES = 5 * BLOCK // 2


def pink(frames, seed=0):
    """Noise whose spectrum falls like music's, in stereo."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).normal(size=(frames, 2)), axis=0)
    spectrum /= np.sqrt(np.arange(1, len(spectrum) + 1))[:, None]
    made = np.fft.irfft(spectrum, frames, axis=0)
    return (0.3 * made / np.abs(made).max()).astype(np.float32)


def lag_of(expected, found):
    lag = Lag()
    for at in range(0, len(expected), BLOCK):
        lag.add(expected[at : at + BLOCK], found[at : at + BLOCK])
    return lag.result()


@pytest.mark.parametrize("samples", [-2112, -1, 0, 1, 7, 528, LONGEST - 1])
def test_a_lag_is_found_to_the_sample(samples):
    song = pink(FRAMES + 2 * LONGEST)
    late = song[LONGEST - samples :][:FRAMES] + 0.01 * pink(FRAMES, 1)
    assert lag_of(song[LONGEST:][:FRAMES], late) == samples


def test_a_steady_tone_that_does_not_lag_is_not_said_to_lag_by_a_period():
    tone = np.sin(2 * np.pi * 100.3 / 44100 * np.arange(FRAMES)).astype(np.float32)[:, None]
    assert lag_of(tone, tone) == 0
    assert lag_of(tone, tone * np.linspace(1, 0.2, FRAMES, dtype=np.float32)[:, None]) == 0


def test_silence_has_no_lag():
    song = pink(BLOCK)
    assert lag_of(song, np.zeros_like(song)) is None


def test_a_block_that_is_too_short_says_nothing():
    lag = Lag()
    lag.add(np.ones((1, 2), np.float32), np.ones((1, 2), np.float32))
    assert lag.result() is None


def test_what_is_not_the_same_audio_has_no_lag():
    assert lag_of(pink(FRAMES), pink(FRAMES, 1)) is None
    assert lag_of(pink(FRAMES + 2 * LONGEST)[2 * LONGEST :], pink(FRAMES + 2 * LONGEST)[:FRAMES]) is None


def test_channels_that_cancel_each_other_are_compared_all_the_same():
    song = pink(FRAMES) * np.array([1, -1], dtype=np.float32)
    song[:, 1] = -song[:, 0]
    assert lag_of(song[:-5], song[5:]) == -5
