"""The stage convert, checked against the samples that went into the song and the file system's own figures."""

import dataclasses
import json
import logging
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import unbraid
from audio_samples import half, music, write
from unbraid import files
from unbraid.audio import wav
from unbraid.audio.probe import probe
from unbraid.errors import UnbraidError
from unbraid.stages.convert import convert


@dataclasses.dataclass
class Made:
    folder: Path
    mix: Path
    info: Path

    def convert(self, source, *, digest="its own", start=None, end=None, truncated="error"):
        digest = files.sha256(source) if digest == "its own" else digest
        convert(source, self.mix, self.info, digest=digest, start=start, end=end, truncated=truncated)
        return soundfile.read(self.mix, dtype="float32", always_2d=True)[0], json.loads(self.info.read_text())

    def left(self):
        return sorted(path.name for path in self.mix.parent.glob("*")) if self.mix.parent.exists() else []


@pytest.fixture
def made(tmp_path):
    return Made(tmp_path, tmp_path / "work" / "mix.wav", tmp_path / "work" / "mix.json")


def test_the_mix_is_the_song_in_float32_and_its_info_says_what_it_was(made):
    audio = music(100_000, 48000)
    mix, info = made.convert(write(made.folder / "song.flac", audio, 48000, "PCM_24"))
    assert np.array_equal(mix, audio)
    assert soundfile.info(made.mix).subtype == "FLOAT"
    assert info.pop("seconds") >= 0
    assert info.pop("created").endswith("+00:00")
    assert info.pop("peak") == np.abs(audio).max()
    assert info == {
        "frames": 100_000,
        "rate": 48000,
        "channels": 2,
        "source_channels": 2,
        "downmixed": False,
        "damaged": False,
        "codec": "flac",
        "bit_depth": 24,
        "is_float": False,
        "lossy": False,
        "tags": {},
        "cover": False,
        "start": None,
        "end": None,
    }
    assert made.left() == ["mix.json", "mix.wav"]


@pytest.mark.parametrize(
    ("name", "subtype", "channels", "expected"),
    [
        ("a.wav", "FLOAT", 1, {"channels": 1, "is_float": True, "bit_depth": None, "downmixed": False}),
        ("a.wav", "PCM_16", 6, {"channels": 2, "source_channels": 6, "downmixed": True, "bit_depth": 16}),
        ("a.ogg", "VORBIS", 2, {"codec": "vorbis", "lossy": True, "is_float": False, "bit_depth": None}),
    ],
)
def test_info_says_what_was_done_to_other_songs(made, name, subtype, channels, expected):
    _, info = made.convert(write(made.folder / name, music(10_000, channels=channels), 44100, subtype))
    assert expected.items() <= info.items()


def test_a_downmix_and_accepted_damage_are_warned_of(made, caplog):
    path = half(write(made.folder / "a.wav", music(44100, channels=6), 44100, "PCM_16"))
    with caplog.at_level(logging.WARNING, "unbraid"):
        mix, info = made.convert(path, truncated="accept")
    assert info["damaged"]
    assert len(mix) == info["frames"] == pytest.approx(22050, abs=20)
    assert "a.wav has 6 channels; it is mixed down to stereo." in caplog.text
    assert "a.wav is damaged; 0.50 s before the damage are taken" in caplog.text


def test_a_window_of_the_song_is_cut_to_the_frame(made):
    audio = music(44100)
    mix, info = made.convert(write(made.folder / "a.wav", audio, 44100, "PCM_16"), start=0.25, end=0.5)
    assert np.array_equal(mix, audio[11025:22050])
    assert (info["frames"], info["start"], info["end"]) == (11025, 0.25, 0.5)


def test_the_same_song_gives_the_same_bytes(made):
    path = write(made.folder / "a.wav", music(44100), 44100, "FLOAT")
    made.convert(path)
    first = made.mix.read_bytes()
    made.convert(path)
    assert made.mix.read_bytes() == first


def test_a_song_that_changed_since_it_was_planned_is_not_converted(made):
    path = write(made.folder / "a.wav", music(1000), 44100, "PCM_16")
    planned = files.sha256(path)
    write(path, music(1001), 44100, "PCM_16")
    for digest in (planned, None):  # None: it could not be read when it was planned
        with pytest.raises(UnbraidError, match=r"has changed since it was planned\. Run again"):
            made.convert(path, digest=digest)
    assert made.left() == []


@pytest.mark.parametrize("digest", [None, "0" * 64])
def test_a_song_that_cannot_be_read_fails_with_the_reason(made, digest):
    with pytest.raises(UnbraidError, match="is not there"):
        made.convert(made.folder / "missing.wav", digest=digest)
    (made.folder / "text.mp3").write_text("words")
    with pytest.raises(UnbraidError) as expected:
        probe(made.folder / "text.mp3")
    with pytest.raises(UnbraidError) as caught:
        made.convert(made.folder / "text.mp3", digest=None)
    assert str(caught.value) == str(expected.value)


def test_an_error_in_the_middle_leaves_no_half_a_mix(made):
    audio = music(200_000)
    audio[150_000] = np.nan
    with pytest.raises(UnbraidError, match="NaN"):
        made.convert(write(made.folder / "a.wav", audio, 44100, "FLOAT"))
    assert made.left() == []


@pytest.mark.parametrize(("window", "needed"), [((None, None), "8 MB"), ((15, None), "3 MB"), ((5, 15), "4 MB")])
def test_a_limit_on_the_length_of_files_is_an_error_that_says_how_much_is_needed(made, window, needed):
    path = write(made.folder / "a.flac", np.tile(music(44100), (24, 1)), 44100, "PCM_16")
    digest = files.sha256(path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        with pytest.raises(UnbraidError, match=f"needs about {needed} in .*work") as caught:
            made.convert(path, digest=digest, start=window[0], end=window[1])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "ulimit -f" in caught.value.remedy
    assert made.left() == []


def test_a_full_disk_is_an_error_that_says_how_much_is_needed_and_free(made, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(wav, "create", full)
    with pytest.raises(
        UnbraidError, match=r"The disk is full: .* needs about 0 MB in .*, where [\d,]+ MB are free"
    ) as caught:
        made.convert(write(made.folder / "a.wav", music(1000), 44100, "PCM_16"))
    assert "Free some space" in caught.value.remedy


def test_a_failing_disk_is_not_called_full(made, monkeypatch):
    def failing(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(wav, "create", failing)
    with pytest.raises(OSError, match="Input/output error"):
        made.convert(write(made.folder / "a.wav", music(1000), 44100, "PCM_16"))


def test_memory_does_not_grow_with_the_songs_length(made):
    code = (
        "import resource, sys; from pathlib import Path; from unbraid import files\n"
        "from unbraid.stages.convert import convert\n"
        "path, mix = Path(sys.argv[1]), Path(sys.argv[2])\n"
        "settings = dict(digest=files.sha256(path), start=None, end=None, truncated='error')\n"
        "convert(path, mix, mix.with_suffix('.json'), **settings)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    peaks = []
    for seconds in (20, 400):
        path = made.folder / f"{seconds}.flac"
        with wav.create(path, 44100, 2, "PCM_16", "FLAC") as file:
            for _ in range(seconds):
                file.write(music(44100))
        run = [sys.executable, "-c", code, str(path), str(made.mix)]
        library = Path(unbraid.__file__).parents[1]
        peaks.append(int(subprocess.run(run, cwd=library, capture_output=True, check=True).stdout))
    assert soundfile.info(made.mix).frames == 400 * 44100
    assert peaks[1] - peaks[0] < 20_000  # kilobytes; the mix has 141,000
