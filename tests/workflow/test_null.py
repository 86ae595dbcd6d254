"""Invariants 1 and 2: what goes in comes out of the identity recipe, sample for sample, however it was cut.

The reference is soundfile's own reading of the source.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from flow import Desk, Run, noise, write

LOUD = 3.7  # over full scale, which float keeps

# file: (rate, channels, frames, subtype, peak, what is delivered)
SOURCES = {
    "cd.wav": (44100, 2, 92610, "PCM_16", 0.9, "PCM_16"),
    "studio.wav": (48000, 2, 100800, "PCM_24", 0.9, "PCM_24"),
    "old.flac": (22050, 1, 46305, "PCM_16", 0.9, "PCM_16"),
    "deep.flac": (96000, 2, 86400, "PCM_24", 0.9, "PCM_24"),
    "loud.wav": (44100, 1, 92610, "FLOAT", LOUD, "FLOAT"),
    "one_frame.wav": (44100, 2, 1, "PCM_16", 0.9, "PCM_16"),
    "few.wav": (8000, 1, 5, "PCM_24", 0.9, "PCM_24"),
    "silence.wav": (44100, 2, 4410, "PCM_16", 0.0, "PCM_16"),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    desk = Desk(tmp_path_factory.mktemp("whole"))
    for number, (name, (rate, channels, frames, subtype, level, _)) in enumerate(SOURCES.items()):
        write(desk.songs / name, noise(frames / rate, rate, channels, number, level), rate, subtype)
    desk.good()
    return desk


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory, whole: Desk) -> tuple[Desk, Run]:
    """The same songs in a working directory of their own, those of 2.1 s in 7 segments."""
    desk = Desk(tmp_path_factory.mktemp("cut"))
    shutil.copytree(whole.songs, desk.songs, dirs_exist_ok=True)
    return desk, desk.good(segment_seconds=0.32)


def samples(path: Path) -> np.ndarray:
    kind = "float32" if soundfile.info(path).subtype == "FLOAT" else "int32"
    return soundfile.read(path, dtype=kind, always_2d=True)[0]


@pytest.mark.parametrize("name", SOURCES)
def test_a_copy_has_the_source_s_samples_frames_rate_channels_and_depth(whole, name):
    rate, channels, frames, _, _, subtype = SOURCES[name]
    copy = whole.path / "results" / Path(name).stem / "copy.wav"
    found = soundfile.info(copy)
    assert (found.samplerate, found.channels, found.frames, found.subtype) == (rate, channels, frames, subtype)
    np.testing.assert_array_equal(samples(copy), samples(whole.songs / name))


def test_samples_over_full_scale_survive(whole):
    assert np.abs(samples(whole.path / "results/loud/copy.wav")).max() > 0.99 * LOUD


@pytest.mark.parametrize("name", SOURCES)
def test_quality_says_that_the_residual_is_exactly_zero(whole, name):
    quality = json.loads((whole.path / "results" / Path(name).stem / "qc.json").read_text())
    assert [(rest["stems"], rest["residual_db"], rest["exact"]) for rest in quality["residuals"]] == [
        (["copy"], None, True)
    ]
    assert quality["frames"] == SOURCES[name][2]


def test_seven_segments_give_the_bytes_of_one(whole, cut):
    desk, run = cut
    per_song = {"cd": 7, "studio": 7, "old": 7, "deep": 3, "loud": 7, "one_frame": 1, "few": 1, "silence": 1}
    assert run.ran["separate"] == sum(per_song.values())
    assert desk.audio() == whole.audio()
    assert len(desk.audio()) == len(SOURCES)


def test_provenance_has_the_same_keys_however_a_song_is_cut(whole, cut):
    def keys(desk: Desk) -> list[str]:
        found = [json.loads(path.read_text()) for path in sorted(desk.path.glob("results/*/provenance.json"))]
        return [made["separations"]["same"]["key"] for made in found]

    assert keys(cut[0]) == keys(whole)
