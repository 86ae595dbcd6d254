"""What a browser plays: pieces that join without a seam, in time with the song, as small as promised."""

import io

import av
import numpy as np
import pytest

from audio_samples import level, music
from unbraid.audio import previews
from unbraid.audio.previews import CHUNK, LEAD, RATE, TAIL, bitrate_for, pieces

BLOCK = 65536


def made(audio, rate=44100, bitrate=64_000, size=BLOCK):
    blocks = (audio[at : at + size] for at in range(0, len(audio), size))
    return list(pieces(blocks, rate, audio.shape[1], bitrate))


def decoded(file):
    with av.open(io.BytesIO(file)) as source:
        return np.concatenate([frame.to_ndarray() for frame in source.decode(audio=0)], axis=1).T


def own(file, seconds=CHUNK):
    """Of a piece without what lies around it."""
    return decoded(file)[round(LEAD * RATE) :][: round(seconds * RATE)]


def tone(seconds, rate, channels=2, frequency=440.0, amplitude=0.5):
    wave = amplitude * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)
    return np.repeat(wave[:, None], channels, axis=1).astype(np.float32)


@pytest.mark.parametrize("rate", [11025, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
def test_the_pieces_in_a_row_are_the_track_in_time_and_in_level(rate, channels):
    files = made(tone(23, rate, channels), rate, 32_000 * channels)
    assert len(files) == 3
    joined = np.concatenate([own(files[0]), own(files[1]), own(files[2], 3)])
    expected = tone(23, RATE, channels)
    assert joined.shape == expected.shape
    settled = slice(RATE // 100, len(expected) - RATE // 100)
    assert level(joined[settled] - expected[settled]) < level(expected) - 25
    for border in (10 * RATE, 20 * RATE):  # no dip and no click
        around = joined[border - 480 : border + 480] - expected[border - 480 : border + 480]
        assert np.abs(around).max() < 0.05


def test_pieces_overlap_enough_to_fade_over():
    first, second = (decoded(file) for file in made(tone(20, 44100)))
    assert len(first) == len(second) == pytest.approx((CHUNK + LEAD + TAIL) * RATE, abs=2)
    end = round((LEAD + CHUNK) * RATE)
    fade = first[end : end + 480] - second[round(LEAD * RATE) :][:480]
    assert np.abs(fade).max() < 0.05


def test_the_bytes_are_the_same_every_time_and_however_the_audio_is_cut():
    audio = music(12 * 44100 + 77)
    assert made(audio) == made(audio) == made(audio, size=997) == made(audio, size=len(audio))


@pytest.mark.parametrize(("seconds", "count"), [(0, 0), (0.001, 1), (9.99, 1), (10, 1), (10.01, 2), (20.04, 3)])
def test_every_length_has_its_pieces(seconds, count):
    assert len(made(tone(seconds, 8000, 1), 8000, 24_000)) == count


def test_what_is_beyond_full_scale_is_clipped_and_does_not_wrap():
    heard = own(made(tone(2, 48000, amplitude=2.5), 48000)[0], 2)
    square = np.clip(tone(2, 48000, amplitude=2.5), -1, 1)
    assert level(heard[4800:] - square[4800:]) < level(square) - 20


def test_what_is_no_number_is_silence():
    audio = tone(2, 48000)
    audio[1000], audio[2000], audio[3000] = np.nan, np.inf, -np.inf
    assert np.isfinite(own(made(audio, 48000)[0], 2)).all()


def test_only_the_first_half_hour_is_taken(monkeypatch):
    monkeypatch.setattr(previews, "LONGEST", 20)
    first = made(tone(20, 8000, 1), 8000, 24_000)
    for size in (8000, 60 * 8000):
        files = made(tone(45, 8000, 1), 8000, 24_000, size)
        assert len(files) == 2
        assert files[0] == first[0]


def test_a_piece_is_made_as_soon_as_its_audio_is_there_so_that_no_memory_holds_a_track():
    read = 0

    def blocks():
        nonlocal read
        for _ in range(60):
            read += 1
            yield tone(1, 8000, 1)

    for count, _ in enumerate(pieces(blocks(), 8000, 1, 24_000), start=1):
        assert read <= CHUNK * (count + 1)


@pytest.mark.parametrize(
    ("tracks", "channels", "expected"),
    [
        (1, 2, 64_000),
        (2, 2, 64_000),
        (6, 2, 28_000),
        (7, 2, 24_000),
        (10, 2, 16_800),
        (40, 2, 16_000),
        (6, 1, 14_000),
        (0, 2, 64_000),
    ],
)
def test_tracks_share_the_bits_of_a_page(tracks, channels, expected):
    assert bitrate_for(tracks, channels) == expected


def test_noise_takes_no_more_than_its_bits():
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (30 * 48000, 2)).astype(np.float32)
    for bitrate in (24_000, 64_000):
        files = made(noise, 48000, bitrate)
        assert sum(map(len, files)) * 8 / 30 < bitrate * 1.08
