"""The stage have, checked against the samples that went into the file."""

import numpy as np
import pytest
import soundfile

from audio_samples import half, lag, level, music, write
from unbraid import files
from unbraid.errors import UnbraidError
from unbraid.stages.have import have

RATE = 44100


@pytest.fixture
def take(tmp_path):
    """Run the stage on a file; returns the stem, [frames, channels], and what was said of it."""

    def run(source, frames, *, rate=RATE, channels=2, start=None, end=None, seconds=None):
        files.write_json(tmp_path / "mix.json", {"frames": frames, "rate": rate, "channels": channels})
        stem, info = tmp_path / "work" / "have.wav", tmp_path / "work" / "have.json"
        digest = files.sha256(source)
        window = {"start": start, "end": end, "seconds": seconds}
        have(source, tmp_path / "mix.json", stem, info, digest=digest, column="have", **window)
        audio, found = soundfile.read(stem, dtype="float32", always_2d=True)
        assert (found, audio.shape) == (rate, (frames, channels))
        return audio, files.read_json(info)

    return run


def test_a_stem_in_its_song_s_format_comes_through_to_the_bit(take, tmp_path):
    audio = music(50_000)
    stem, told = take(write(tmp_path / "vocals.flac", audio, RATE, "PCM_16"), 50_000)
    assert np.array_equal(stem, audio)
    assert (told["notices"], told["frames"], told["rate"], told["channels"]) == ([], 50_000, RATE, 2)
    assert told["codec"] == "flac"


@pytest.mark.parametrize("frames", [50_000 + 4410, 50_000 - 4410, 50_001])
def test_a_little_more_or_less_is_cut_or_filled_at_the_end_and_said(take, tmp_path, frames):
    audio = music(frames)
    stem, told = take(write(tmp_path / "vocals.wav", audio, RATE, "PCM_16"), 50_000)
    kept = min(frames, 50_000)
    assert np.array_equal(stem[:kept], audio[:kept])
    assert not stem[kept:].any()
    (notice,) = told["notices"]
    assert notice.startswith("vocals.wav was ")
    assert f"({abs(frames - 50_000)} frames) {'longer' if frames > 50_000 else 'shorter'}" in notice


@pytest.mark.parametrize("frames", [50_000 + 4411, 50_000 - 4411, 1])
def test_more_than_that_is_an_error_with_both_lengths_that_leaves_nothing(take, tmp_path, frames):
    with pytest.raises(
        UnbraidError, match=rf"vocals.wav lasts {frames / RATE:.3f} s, and its song 1.134 s.*whole song"
    ):
        take(write(tmp_path / "vocals.wav", music(frames), RATE, "PCM_16"), 50_000)
    assert list((tmp_path / "work").iterdir()) == []


def test_another_rate_and_mono_become_the_song_s(take, tmp_path):
    high = music(96_000, 48000, 1)
    stem, told = take(write(tmp_path / "bass.wav", high, 48000, "PCM_24"), 88_200)
    assert np.array_equal(stem[:, 0], stem[:, 1])
    assert np.sqrt((stem**2).mean()) == pytest.approx(np.sqrt((high**2).mean()), rel=0.05)
    assert told["notices"] == ["bass.wav was brought from 48000 Hz and 1 channel(s) to the song's 44100 Hz and 2."]


def test_a_stereo_stem_of_a_song_in_mono_is_its_mean(take, tmp_path):
    audio = music(10_000)
    stem, told = take(write(tmp_path / "v.wav", audio, RATE, "PCM_16"), 10_000, channels=1)
    assert np.abs(stem[:, 0] - audio.mean(axis=1)).max() < 1e-7
    assert "2 channel(s)" in told["notices"][0]


def test_an_mp3_of_the_song_s_length_lies_where_it_was(take, tmp_path):
    audio = music(3 * RATE)
    stem, _ = take(write(tmp_path / "vocals.mp3", audio, RATE, "MPEG_LAYER_III"), len(audio))
    assert lag(stem, audio) == 0
    assert level(stem - audio) < level(audio) - 20


@pytest.mark.parametrize(("rate", "exact"), [(RATE, True), (22050, False)])
def test_a_window_of_the_song_is_the_same_window_of_the_stem_resampled_as_a_whole(take, tmp_path, rate, exact):
    audio = music(2 * RATE)
    source = write(tmp_path / "vocals.wav", audio, RATE, "PCM_16")
    whole, _ = take(source, 2 * rate, rate=rate)
    part, told = take(source, round(0.5 * rate), rate=rate, start=0.25, end=0.75, seconds=2.0)
    first = round(0.25 * rate)
    assert np.array_equal(part, whole[first : first + len(part)])
    assert (told["notices"] == []) is exact
    late, _ = take(source, 2 * rate - first, rate=rate, start=0.25)
    assert np.array_equal(late, whole[first:])


@pytest.mark.parametrize(("window", "frames"), [({"end": 0.5, "seconds": 2.0}, 22050), ({"start": 0.5}, 66150)])
def test_a_stem_of_the_window_alone_is_not_one_of_the_song(take, tmp_path, window, frames):
    source = write(tmp_path / "vocals.wav", music(frames), RATE, "PCM_16")
    with pytest.raises(UnbraidError, match=r"and its song 2\.000 s"):
        take(source, frames, **window)


def test_a_damaged_stem_is_an_error_with_a_remedy_for_stems(take, tmp_path):
    broken = half(write(tmp_path / "vocals.wav", music(RATE), RATE, "PCM_16"))
    with pytest.raises(UnbraidError, match=r"truncated or damaged after 0\.50 s.*take it out of the column `have`"):
        take(broken, RATE)


def test_a_stem_that_changed_since_it_was_planned_is_not_taken(tmp_path):
    files.write_json(tmp_path / "mix.json", {"frames": 10, "rate": RATE, "channels": 2})
    source = write(tmp_path / "vocals.wav", music(10), RATE, "PCM_16")
    with pytest.raises(UnbraidError, match="has changed since it was planned"):
        have(
            source, tmp_path / "mix.json", tmp_path / "a.wav", tmp_path / "a.json",
            digest="0" * 64, column="have", start=None, end=None, seconds=None,
        )  # fmt: skip


def test_what_was_found_wrong_when_it_was_planned_is_raised(tmp_path):
    window = {"start": None, "end": None, "seconds": None}
    with pytest.raises(UnbraidError, match="It is not there"):
        have(
            tmp_path / "a", tmp_path / "mix.json", tmp_path / "b", tmp_path / "c",
            digest="", column="references", **window, problem=("It is not there.", "Put it there."),
        )  # fmt: skip
