"""Resampling, checked against soxr in one go and against sines whose samples are known."""

import numpy as np
import pytest
import soxr

from audio_samples import music
from unbraid.audio.resample import resample, resampled_frames


def joined(blocks):
    return np.concatenate(list(blocks))


def cut(audio, size):
    return (audio[at : at + size] for at in range(0, len(audio), size))


@pytest.mark.parametrize("size", [997, 65536, 65537, 200_000])
def test_the_result_is_soxrs_own_however_the_input_is_cut(size):
    audio = music(200_000, 48000)
    frames = resampled_frames(len(audio), 48000, 44100)
    expected = soxr.resample(audio, 48000, 44100, quality="VHQ")
    assert np.array_equal(joined(resample(cut(audio, size), 48000, 44100, frames)), expected[:frames])


def test_a_sine_survives_48_to_44_1_to_48_khz_in_its_place():
    time = np.arange(48000 * 2) / 48000
    sine = np.stack([np.sin(2 * np.pi * 997 * time), np.cos(2 * np.pi * 15000 * time)], axis=1).astype(np.float32) * 0.5
    there = joined(resample([sine], 48000, 44100, 44100 * 2))
    back = joined(resample([there], 44100, 48000, len(sine)))
    assert len(there) == 44100 * 2
    inner = slice(4800, -4800)  # at the edges, what lies beyond them is missing
    assert 20 * np.log10(np.abs(back - sine)[inner].max() / 0.5) < -100
    # Also against the sine itself at the other rate: any lag would show in both.
    known = 0.5 * np.sin(2 * np.pi * 997 * np.arange(len(there)) / 44100)
    assert 20 * np.log10(np.abs(there[:, 0] - known)[inner].max() / 0.5) < -100


@pytest.mark.parametrize(
    ("frames", "source", "target", "expected"),
    [
        (44100, 44100, 48000, 48000),
        (1, 44100, 48000, 2),
        (1, 48000, 8000, 1),
        (7, 48000, 48000, 7),
        (0, 8000, 96000, 0),
    ],
)
def test_resampled_frames_cover_the_whole_source(frames, source, target, expected):
    assert resampled_frames(frames, source, target) == expected


@pytest.mark.parametrize(("source", "target"), [(8000, 44100), (192000, 44100), (44100, 22050), (44100, 44100)])
@pytest.mark.parametrize("length", [1, 2, 1000])
@pytest.mark.parametrize("surplus", [-1, 0, 100_000])
def test_exactly_the_frames_asked_for_come_out(source, target, length, surplus):
    wanted = resampled_frames(length, source, target) + surplus
    result = joined([np.zeros((0, 2), np.float32), *resample([music(length)], source, target, wanted)])
    assert result.shape == (wanted, 2)
    assert np.isfinite(result).all()
    assert not np.any(result[resampled_frames(length, source, target) :])


def test_one_sample_is_resampled_to_its_own_level():
    one = np.full((1, 1), 0.5, dtype=np.float32)
    result = joined(resample([one], 22050, 44100, 2))
    assert result[0, 0] == pytest.approx(0.5, abs=0.05)


def test_equal_rates_pass_every_bit_on():
    audio = np.array([[2.0, -0.0], [1e-42, -3.0]], dtype=np.float32)
    assert joined(resample([audio], 44100, 44100, 2)).tobytes() == audio.tobytes()


def test_the_input_is_read_to_its_end_even_when_less_is_wanted():
    seen = []
    blocks = (seen.append(at) or music(1000) for at in range(5))
    assert len(joined(resample(blocks, 44100, 44100, 100))) == 100
    assert seen == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("target", [44100, 48000])
def test_nothing_cannot_be_filled_up(target):
    with pytest.raises(ValueError, match="no audio"):
        list(resample([], 44100, target, 5))
    assert list(resample([], 44100, target, 0)) == []
