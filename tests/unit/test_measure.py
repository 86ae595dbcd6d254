"""Levels, checked against pyloudnorm (loudness) and numpy on the whole array (the rest)."""

import numpy as np
import pyloudnorm
import pytest

from audio_samples import music
from unbraid.audio.measure import Meter


def measured(audio, rate=44100, size=65536):
    meter = Meter(rate, audio.shape[1])
    for at in range(0, len(audio), size):
        meter.add(audio[at : at + size])
    return meter.result()


def pulses(frames, rate, channels):
    """Loud and silent stretches, so that both gates act."""
    noise = np.random.default_rng(1).standard_normal((frames, channels)).astype(np.float32) * 0.1
    return noise * (np.sin(np.arange(frames) / rate) ** 8)[:, None].astype(np.float32)


@pytest.mark.parametrize("rate", [44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("signal", [music, pulses])
def test_loudness_is_pyloudnorms(signal, rate, channels):
    audio = signal(12 * rate + 321, rate, channels)
    expected = pyloudnorm.Meter(rate).integrated_loudness(audio.astype(np.float64))
    assert measured(audio, rate)["lufs"] == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize(("channels", "expected"), [(1, -23.0), (2, -20.0)])
def test_loudness_of_the_standards_own_sine(channels, expected):
    # EBU Tech 3341: a stereo sine of 1 kHz at -23 dBFS in both channels is -23 LUFS; a mono one 3 LU less.
    sine = 10 ** (-20 / 20) * np.sin(2 * np.pi * 1000 * np.arange(48000 * 5) / 48000)
    audio = np.repeat(sine[:, None], channels, axis=1).astype(np.float32)
    assert measured(audio, 48000)["lufs"] == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("size", [1, 997, 4410, 30_000])
def test_the_result_is_the_same_however_the_audio_is_cut(size):
    audio = pulses(30_000, 44100, 2)
    audio[5000] = 1.5
    whole, parts = measured(audio), measured(audio, size=size)
    assert parts.pop("rms_dbfs") == pytest.approx(whole.pop("rms_dbfs"), abs=0.001)
    assert parts == whole


def test_peak_and_rms_are_numpys():
    audio = music(100_001)
    result = measured(audio)
    assert result["peak_dbfs"] == pytest.approx(20 * np.log10(np.abs(audio).max()), abs=0.001)
    assert result["rms_dbfs"] == pytest.approx(10 * np.log10(np.mean(audio.astype(np.float64) ** 2)), abs=0.001)


def test_samples_beyond_full_scale_are_counted_and_full_scale_itself_is_not():
    audio = np.array([[1.0, -1.0], [1.0001, -1.5], [0.5, 2.0]], dtype=np.float32)
    assert measured(audio)["clipped_samples"] == 3


def test_silence_is_counted_in_windows_of_100_ms():
    audio = np.zeros((1050, 2), dtype=np.float32)  # at 1 kHz: ten windows and a half
    audio[150, 0] = 0.0011  # just above -60 dBFS
    audio[250:350] = 0.0009
    audio[1049, 1] = -0.5
    for size in (1, 33, 100, 1050):
        assert measured(audio, 1000, size)["silent_share"] == pytest.approx(9 / 11, abs=1e-4)


@pytest.mark.parametrize("frames", [1, 44100])
@pytest.mark.parametrize("channels", [1, 2])
def test_digital_silence_has_no_level(frames, channels):
    counted = {"clipped_samples": 0, "nonfinite_samples": 0, "silent_share": 1.0}
    expected = {"peak_dbfs": None, "rms_dbfs": None, "lufs": None, **counted}
    assert measured(np.zeros((frames, channels), dtype=np.float32)) == expected


def test_samples_that_are_no_numbers_are_counted_and_measured_as_silence():
    rate = 48000
    plain = music(rate, rate)
    plain[100:103] = 0
    broken = plain.copy()
    broken[100], broken[101], broken[102] = np.nan, np.inf, -np.inf
    assert measured(broken, rate) == {**measured(plain, rate), "nonfinite_samples": 3 * plain.shape[1]}


def test_what_is_shorter_than_a_loudness_block_has_a_peak_but_no_loudness():
    rate = 48000
    short = music(rate * 4 // 10 - 1, rate)
    assert measured(short, rate)["lufs"] is None
    assert measured(short, rate)["peak_dbfs"] == pytest.approx(20 * np.log10(np.abs(short).max()), abs=0.001)
    assert measured(music(rate * 4 // 10, rate), rate)["lufs"] is not None


def test_nothing_at_all_is_silence():
    assert measured(np.zeros((0, 2), dtype=np.float32))["silent_share"] == 1.0
