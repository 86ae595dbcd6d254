"""The stage that makes a page: which tracks it has, and what it takes from the delivered files."""

import numpy as np
import pytest

from page_samples import measured, provenance, quality
from test_tags import COVERS
from unbraid.audio import encode, tags, wav
from unbraid.audio.tags import Tags
from unbraid.files import write_json
from unbraid.stages import page as stage

RATE = 44100
LIMITS = {"residual": -10.0, "clipped": 0, "silence": 0.99, "lag": 0}


def tone(rate, level):
    return (level * np.sin(np.arange(rate) * 0.1)).astype(np.float32).repeat(2).reshape(-1, 2)


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Runs the stage on a second of a song whose stem was turned down to a half; returns what the page would get."""
    told = {}

    def run(name, rate, limits=LIMITS):
        stem, mix = tmp_path / f"vocals.{name}", tmp_path / "mix.wav"
        with encode.create(stem, name, rate, 2, bits=None, bitrate=None) as write:
            write(tone(rate, 0.25))
        tags.write(stem, name, Tags({"title": "T"}, COVERS["image/jpeg"], "image/jpeg"))
        with wav.create(mix, RATE, 2) as file:
            file.write(tone(RATE, 0.5))
        found = quality(["vocals"], 1.0, frames=RATE, rate=RATE, gain=0.5)
        found["stems"]["vocals"] = measured(frames=rate, expected_frames=rate, nonfinite_samples=0, silent_share=1.0)
        write_json(tmp_path / "qc.json", found)
        write_json(tmp_path / "provenance.json", provenance(["vocals"]))

        def write_page(file, quality, provenance, tracks, cover):
            told.update(quality=quality, tracks={track.name: track for track in tracks}, cover=cover)

        monkeypatch.setattr(stage, "write", write_page)
        stage.page(
            {"vocals": stem}, mix, tmp_path / "qc.json", tmp_path / "provenance.json", tmp_path / "p", limits=limits
        )
        return told

    return run


@pytest.mark.parametrize(("name", "rate"), [("wav", RATE), ("opus", 48000)])
def test_the_mix_is_as_loud_as_the_stems_were_made(made, name, rate):
    tracks = made(name, rate)["tracks"]
    assert list(tracks) == ["vocals", "mix"]
    assert max(tracks["mix"].waveform[1]) == pytest.approx(max(tracks["vocals"].waveform[1]), abs=2)
    assert [len(list(track.chunks)) for track in tracks.values()] == [1, 1]


def test_a_page_tells_of_gates_that_fire_and_has_the_cover(made):
    told = made("wav", RATE)
    assert "vocals: 100.0% of it is silent (qc_silence=0.99)." in told["quality"]["warnings"]
    assert told["cover"].startswith(b"\xff\xd8")
    assert made("wav", RATE, limits=None)["quality"]["warnings"] == []
