"""Waveform and spectrogram against numpy on the whole track."""

import io
import itertools

import av
import numpy as np
import pytest

from audio_samples import music
from unbraid.audio.pictures import COLOURS, FULL, LOWEST, Spectrogram, Waveform


def fed(picture, audio, size=65536):
    for at in range(0, len(audio), size):
        picture.add(audio[at : at + size])
    return picture


def seen(png):
    """[rows, columns, red green blue]."""
    with av.open(io.BytesIO(png)) as source:
        return next(source.decode(video=0)).to_ndarray(format="rgb24").astype(int)


def brightness(png):
    return seen(png).sum(axis=2)


def sine(frequency, seconds=4, rate=44100, amplitude=0.5, channels=2):
    wave = amplitude * np.sin(2 * np.pi * frequency * np.arange(seconds * rate) / rate)
    return np.repeat(wave[:, None], channels, axis=1).astype(np.float32)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("frames", [1, 7, 999, 1000, 1001, 123_457])
def test_each_column_holds_its_lowest_and_highest_sample(frames, channels):
    audio = music(frames, channels=channels)
    low, high = fed(Waveform(frames, channels), audio).result()
    columns = min(frames, 1000)
    assert len(low) == len(high) == columns
    edges = np.arange(columns + 1) * frames // columns
    parts = [audio[begin:end] for begin, end in itertools.pairwise(edges)]
    assert low == [round(float(part.min() * FULL)) for part in parts]
    assert high == [round(float(part.max() * FULL)) for part in parts]


@pytest.mark.parametrize("size", [1, 13, 4097, 50_000])
def test_pictures_are_the_same_however_the_audio_is_cut(size):
    audio = music(20_011)
    assert fed(Waveform(20_011, 2), audio, size).result() == fed(Waveform(20_011, 2), audio).result()
    assert fed(Spectrogram(20_011, 8000), audio, size).png() == fed(Spectrogram(20_011, 8000), audio).png()


def test_beyond_full_scale_and_no_number_are_drawn_as_what_fits():
    audio = np.array([[2.0], [-3.0], [np.nan], [np.inf]], dtype=np.float32)
    low, high = fed(Waveform(4, 1), audio).result()
    assert (low, high) == ([127, -127, 0, 0], [127, -127, 0, 0])
    assert len(fed(Spectrogram(4, 44100), audio).png()) > 0


def test_nothing_at_all_is_a_flat_line_and_a_dark_picture():
    assert Waveform(0, 2).result() == ([0], [0])
    assert brightness(Spectrogram(0, 44100).png()).max() < 10
    nothing = np.zeros((0, 2), dtype=np.float32)
    for picture in (Waveform(5, 2), Spectrogram(5, 44100)):
        picture.add(nothing)


@pytest.mark.parametrize("frequency", [60, 440, 3000, 15_000])
@pytest.mark.parametrize(("rate", "top"), [(44100, 20_000), (32000, 16_000)])
def test_a_tone_is_a_line_at_its_place_on_a_logarithmic_axis(frequency, rate, top):
    picture = brightness(fed(Spectrogram(4 * rate, rate), sine(frequency, rate=rate, amplitude=0.02)).png())
    assert picture.shape[0] == 128
    row = int(picture.sum(axis=1).argmax())
    expected = 127.5 - 128 * np.log(frequency / LOWEST) / np.log(top / LOWEST)
    assert row == pytest.approx(expected, abs=3)


def test_a_spectrogram_shows_when_something_sounds():
    audio = np.concatenate([np.zeros((88200, 2), np.float32), sine(1000, 2)])
    picture = brightness(fed(Spectrogram(len(audio), 44100), audio).png()).max(axis=0)
    columns = len(picture)
    assert picture[: round(0.45 * columns)].max() < 10
    assert picture[round(0.55 * columns) :].min() > 300


@pytest.mark.parametrize(("seconds", "columns"), [(0.01, 1), (4, 172), (60, 600)])
def test_a_short_track_has_as_many_columns_as_there_is_to_see_and_a_long_one_as_many_as_asked_for(seconds, columns):
    frames = round(seconds * 44100)
    assert seen(fed(Spectrogram(frames, 44100), sine(440, seconds)).png()).shape[1] == columns


def test_channels_that_cancel_each_other_are_seen():
    audio = sine(1000)
    audio[:, 1] *= -1
    assert brightness(fed(Spectrogram(len(audio), 44100), audio).png()).max() > 300


def test_louder_is_brighter_and_full_scale_is_the_last_colour():
    levels = [
        brightness(fed(Spectrogram(176400, 44100), sine(1000, amplitude=a)).png()).max() for a in (0.001, 0.01, 1)
    ]
    assert levels == sorted(set(levels))
    assert levels[-1] == 0xFC + 0xFD + 0xBF


@pytest.mark.parametrize("signal", [music, lambda frames: np.random.default_rng(0).normal(0, 0.2, (frames, 2))])
def test_a_picture_is_small(signal):
    frames = 60 * 44100
    png = fed(Spectrogram(frames, 44100), signal(frames).astype(np.float32)).png()
    assert len(png) < 100_000
    assert len(np.unique(seen(png).reshape(-1, 3), axis=0)) <= COLOURS


def test_memory_does_not_grow_with_the_length():
    frames = 600 * 8000
    picture = Spectrogram(frames, 8000)
    for _ in range(600):
        picture.add(np.zeros((8000, 1), dtype=np.float32))
        assert len(picture._held) <= 8000 + picture._size
