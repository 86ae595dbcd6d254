"""Stage segment: one song in a model's format, its statistics, and its cuts.

References: numpy's mean and standard deviation of the whole array in float64, soxr's one-shot resampling, and linear
combinations computed by hand.
"""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from audio_samples import music
from unbraid.audio import wav
from unbraid.errors import UnbraidError
from unbraid.files import read_json, write_json
from unbraid.grid import cores
from unbraid.stages import segment as stage
from unbraid.stages.segment import arrange, combine, measure, read_info, segment


def song(folder: Path, audio: np.ndarray, rate: int = 44100, name: str = "mix.wav") -> Path:
    """What convert leaves: a float32 wav, and beside it what convert says of it."""
    folder.mkdir(exist_ok=True)
    with wav.create(folder / name, rate, audio.shape[1]) as file:
        file.write(audio)
    write_json(folder / "mix.json", {"frames": len(audio), "rate": rate, "channels": audio.shape[1]})
    return folder / name


class Segmented:
    """The two outputs of the stage, run on these sources."""

    def __init__(self, folder: Path, sources: list[tuple[int, Path]], rate=None, channels=None, count=1):
        out = folder / "out"
        self.path, self.info = out / "mix.wav", out / "mix.json"
        told = sources[0][1].parent / "mix.json"
        segment(sources, told, self.path, self.info, rate=rate, channels=channels, count=count)
        self.audio, self.rate = soundfile.read(self.path, dtype="float32", always_2d=True)
        self.statistics, self.segments = read_info(self.info)


def expect_statistics(found, audio: np.ndarray, rate: int) -> None:
    mono = audio.mean(axis=1, dtype=np.float32).astype(np.float64)
    assert (found.frames, found.rate, found.channels) == (len(audio), rate, audio.shape[1])
    assert found.mean == pytest.approx(mono.mean(), rel=1e-9, abs=1e-15)
    assert found.std == pytest.approx(mono.std(ddof=1), rel=1e-9)
    assert found.peak == float(np.abs(audio).max())


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("frames", [2, 1000, wav.BLOCK, wav.BLOCK + 1, 3 * wav.BLOCK + 12345])
@pytest.mark.parametrize("offset", [0.0, 0.4])
def test_the_statistics_are_those_of_the_whole_mono_mean(tmp_path, frames, channels, offset):
    # The level rises from block to block, so that joining the blocks wrongly shows.
    audio = music(frames, channels=channels) * np.linspace(0.01, 1.5, frames, dtype=np.float32)[:, None]
    audio += np.float32(offset)
    expect_statistics(Segmented(tmp_path, [(1, song(tmp_path / "in", audio))]).statistics, audio, 44100)


def test_the_statistics_survive_an_offset_that_dwarfs_the_signal():
    audio = (1000 + np.random.default_rng(0).standard_normal((200_000, 1)) * 0.01).astype(np.float32)
    blocks = [audio[start : start + 7000] for start in range(0, len(audio), 7000)]
    expect_statistics(measure(iter(blocks), 44100), audio, 44100)


def test_the_statistics_of_resampled_audio_are_those_of_what_the_model_sees(tmp_path):
    found = Segmented(tmp_path, [(1, song(tmp_path / "in", music(100_000, 48000), 48000))], rate=44100)
    expect_statistics(found.statistics, found.audio, 44100)


@pytest.mark.parametrize("value", [0.0, -0.75])
def test_one_frame_has_a_mean_and_no_deviation(tmp_path, value):
    found = Segmented(tmp_path, [(1, song(tmp_path / "in", np.full((1, 2), value, dtype=np.float32)))], count=3)
    assert (found.statistics.mean, found.statistics.std, found.statistics.peak) == (value, 0.0, abs(value))
    assert [stop - start for start, stop in found.segments] == [0, 0, 1]


def test_silence_has_no_deviation_and_no_peak(tmp_path):
    found = Segmented(tmp_path, [(1, song(tmp_path / "in", np.zeros((70_000, 2), dtype=np.float32)))])
    assert (found.statistics.mean, found.statistics.std, found.statistics.peak) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(("rate", "channels"), [(None, None), (44100, 2), (None, 2), (44100, None)])
def test_what_fits_already_is_linked_and_takes_no_space(tmp_path, rate, channels):
    source = song(tmp_path / "in", music(5000) * np.float32(3))
    found = Segmented(tmp_path, [(1, source)], rate=rate, channels=channels)
    assert os.path.samefile(found.path, source)
    assert not list(found.path.parent.glob(".*"))


def test_what_fits_already_is_copied_where_links_are_not_to_be_had(tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(stage.os, "link", refuse)
    source = song(tmp_path / "in", music(5000))
    found = Segmented(tmp_path, [(1, source)])
    assert not os.path.samefile(found.path, source)
    assert found.path.read_bytes() == source.read_bytes()


def test_a_link_replaces_what_an_interrupted_run_left(tmp_path):
    source = song(tmp_path / "in", music(5000))
    (tmp_path / "out" / ".mix.wav.partial").mkdir(parents=True)
    (tmp_path / "out" / ".mix.wav.partial" / "1").write_bytes(b"half a file")
    found = Segmented(tmp_path, [(1, source)])
    np.testing.assert_array_equal(found.audio, music(5000))
    assert os.path.samefile(found.path, source)


def test_mono_is_repeated_for_a_stereo_model(tmp_path):
    audio = music(70_000, channels=1)
    found = Segmented(tmp_path, [(1, song(tmp_path / "in", audio))], channels=2)
    np.testing.assert_array_equal(found.audio, np.repeat(audio, 2, axis=1))
    expect_statistics(found.statistics, np.repeat(audio, 2, axis=1), 44100)


def test_stereo_becomes_its_mean_for_a_mono_model(tmp_path):
    audio = music(5000)
    found = Segmented(tmp_path, [(1, song(tmp_path / "in", audio))], channels=1)
    np.testing.assert_array_equal(found.audio, audio.mean(axis=1, dtype=np.float32, keepdims=True))


def test_channels_that_fit_are_not_touched():
    block = music(100)
    assert arrange(block, 2) is block


@pytest.mark.parametrize("coefficients", [(1, -1), (1, 1, -1), (-1,), (2,), (1, -2, 3)])
def test_an_input_is_the_exact_sum_of_its_sources_times_their_coefficients(tmp_path, coefficients):
    # Sums of a few small multiples of 2^-15 are exact in float32, in any order: the reference is integer arithmetic.
    frames = wav.BLOCK + 4321
    parts = [music(frames, seed=seed) for seed in range(len(coefficients))]
    sources = [
        (coefficient, song(tmp_path / "in", part, name=f"{index}.wav"))
        for index, (coefficient, part) in enumerate(zip(coefficients, parts, strict=True))
    ]
    whole = sum(
        coefficient * np.round(part * 32768).astype(np.int64)
        for coefficient, part in zip(coefficients, parts, strict=True)
    )
    found = Segmented(tmp_path, sources)
    np.testing.assert_array_equal(found.audio, (whole / 32768).astype(np.float32))
    expect_statistics(found.statistics, found.audio, 44100)


def test_a_song_minus_itself_is_silent_to_the_last_bit(tmp_path):
    audio = np.random.default_rng(0).standard_normal((70_000, 2)).astype(np.float32) * 3
    source = song(tmp_path / "in", audio)
    found = Segmented(tmp_path, [(1, source), (-1, source)])
    assert not found.audio.any()
    assert found.statistics.std == 0.0


def test_sources_are_summed_in_the_order_given(tmp_path):
    values = [1e8, 1.0, -1e8]
    paths = [song(tmp_path / "in", np.full((3, 1), value, dtype=np.float32), name=f"{value}.wav") for value in values]
    (forwards,) = combine([(1, path) for path in paths], 3)
    (cancelled_first,) = combine([(1, paths[0]), (1, paths[2]), (1, paths[1])], 3)
    assert (float(forwards[0, 0]), float(cancelled_first[0, 0])) == (0.0, 1.0)


@pytest.mark.parametrize("lengths", [(5000, 70_000), (70_000, 5000)])
def test_sources_of_different_lengths_are_an_error_and_leave_nothing(tmp_path, lengths):
    paths = [song(tmp_path / "in", music(frames), name=f"{frames}.wav") for frames in lengths]
    with pytest.raises(UnbraidError, match=rf"{paths[0].name} is damaged: it has {lengths[0]} frames, .* {lengths[1]}"):
        Segmented(tmp_path, [(1, paths[0]), (-1, paths[1])])
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("frames", [1, 2, 1000, 48000, 100_001])
@pytest.mark.parametrize(("source", "target"), [(48000, 44100), (22050, 44100), (96000, 44100)])
def test_a_song_at_another_rate_has_the_frames_that_hold_all_of_it(tmp_path, frames, source, target):
    audio = music(frames, source)
    found = Segmented(tmp_path, [(1, song(tmp_path / "in", audio, source))], rate=target, count=2)
    assert found.rate == target
    assert len(found.audio) == found.statistics.frames == -(-frames * target // source)
    assert found.segments[-1][1] == len(found.audio)
    expected = soxr.resample(audio, source, target, quality="VHQ")
    count = min(len(expected), len(found.audio))
    np.testing.assert_allclose(found.audio[:count], expected[:count], atol=1e-6)


def test_a_mono_song_is_resampled_once_and_then_the_same_on_both_channels(tmp_path):
    audio = music(30_000, 22050, 1)
    found = Segmented(tmp_path, [(1, song(tmp_path / "in", audio, 22050))], rate=44100, channels=2)
    assert found.audio.shape == (60_000, 2)
    np.testing.assert_array_equal(found.audio[:, 0], found.audio[:, 1])


@pytest.mark.parametrize("count", [1, 2, 3, 7, 50])
def test_the_cores_cut_the_whole_song_without_gap_or_overlap(tmp_path, count):
    found = Segmented(tmp_path, [(1, song(tmp_path / "in", music(10_007)))], count=count)
    starts, stops = zip(*found.segments, strict=True)
    assert len(found.segments) == count
    assert (starts[0], stops[-1]) == (0, 10_007)
    assert starts[1:] == stops[:-1]
    assert max(np.subtract(stops, starts)) - min(np.subtract(stops, starts)) <= 1
    assert found.segments == cores(10_007, count)


def test_what_the_song_was_before_is_told_with_it(tmp_path):
    found = Segmented(tmp_path, [(1, song(tmp_path / "in", music(4800, 48000, 1), 48000))], rate=44100, channels=2)
    assert read_json(found.info)["song"] == {"frames": 4800, "rate": 48000, "channels": 1}


def test_the_same_input_gives_the_same_bytes(tmp_path):
    source = song(tmp_path / "in", music(70_000, 48000), 48000)
    first = Segmented(tmp_path, [(1, source)], rate=44100).path.read_bytes()
    assert Segmented(tmp_path, [(1, source)], rate=44100).path.read_bytes() == first


def test_a_disk_that_fails_on_the_way_leaves_no_half_mix_and_keeps_the_old_one(tmp_path, monkeypatch):
    source = song(tmp_path / "in", music(100_000, 48000), 48000)
    old = Segmented(tmp_path, [(1, source)], rate=44100).path.read_bytes()
    write, calls = soundfile.SoundFile.write, []

    def fail_second(file: soundfile.SoundFile, data: np.ndarray) -> None:
        calls.append(len(data))
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(file, data)

    monkeypatch.setattr(soundfile.SoundFile, "write", fail_second)
    with pytest.raises(OSError, match="No space left"):
        Segmented(tmp_path, [(1, source)], rate=44100)
    assert len(calls) == 2
    assert not list((tmp_path / "out").glob(".*"))
    assert (tmp_path / "out" / "mix.wav").read_bytes() == old
