"""Stems that a user has, and passing files that are kept, through the whole workflow.

The recipe copies the song twice over, so that every delivered sample is known beforehand.
"""

import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from flow import Desk, noise, write

RECIPES = """\
both:
  steps:
    one: {model: identity, input: mix}
    two: {model: identity, input: one.copy}
  stems:
    voice: one.copy
    rest: mix - one.copy
    again: two.copy
other:
  steps:
    one: {model: identity, input: mix}
  stems:
    voice: one.copy
"""
MINE: dict[str, object] = {"recipe": "both", "songs": "songs.tsv"}
SONG, VOICE = noise(0.5, seed=1), noise(0.5, seed=2, level=0.2)


def audio(desk: Desk, song: str, stem: str) -> np.ndarray:
    return soundfile.read(desk.path / f"results/{song}/{stem}.wav", dtype="float32")[0]


def told(desk: Desk, song: str, name: str) -> dict:
    return json.loads((desk.path / f"results/{song}/{name}.json").read_text())


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    (desk.path / "config").mkdir()
    (desk.path / "config/recipes.yaml").write_text(RECIPES)
    write(desk.songs / "a.wav", SONG, subtype="FLOAT")
    return desk


def table(desk: Desk, *rows: str) -> None:
    text = "\n".join(["song\tpath\tstart\tend\thave", *rows])
    (desk.path / "songs.tsv").write_text(text + "\n")


def test_a_stem_that_a_song_has_is_delivered_used_and_told_and_one_bad_one_stops_no_other_song(desk):
    stems = desk.path / "stems"
    write(stems / "a" / "voice.wav", VOICE, subtype="FLOAT")
    write(stems / "short" / "voice.wav", VOICE[:5000], subtype="FLOAT")
    broken = write(stems / "broken" / "voice.flac", VOICE)
    os.truncate(broken, broken.stat().st_size // 2)
    write(stems / "typo" / "vioce.wav", VOICE)
    songs = {"a": "stems/a", "gone": "nowhere", "short": "stems/short", "broken": "stems/broken", "typo": "stems/typo"}
    rows = [f"{song}\tsongs/a.wav\t\t\t{place}" for song, place in songs.items()]
    table(desk, *rows, "part\tsongs/a.wav\t0.1\t0.3\tstems/a/voice.wav")

    run = desk.run(**MINE)
    assert run.code == 1
    assert "Traceback" not in run.text
    for song, words in {
        "gone": "nowhere is not there",
        "short": "stems/short/voice.wav lasts 0.113 s, and its song 0.500 s",
        "broken": "stems/broken/voice.flac is truncated or damaged",
        "typo": "Did you mean 'voice'?",
    }.items():
        (paragraph,) = run.paragraphs(song)
        assert words in paragraph
    assert desk.partials() == []

    window = slice(round(0.1 * 44100), round(0.3 * 44100))
    for song, cut in {"a": slice(None), "part": window}.items():
        np.testing.assert_array_equal(audio(desk, song, "voice"), VOICE[cut])
        np.testing.assert_array_equal(audio(desk, song, "again"), VOICE[cut])
        np.testing.assert_array_equal(audio(desk, song, "rest"), SONG[cut] - VOICE[cut])
    quality, origin = told(desk, "a", "qc"), told(desk, "a", "provenance")
    assert quality["have"]["voice"]["path"] == origin["have"]["voice"]["path"] == "stems/a/voice.wav"
    assert set(origin["separations"]) == {"two"}


def test_a_song_that_has_all_its_stems_is_not_separated_and_a_changed_stem_is_delivered_again(desk):
    for stem in ("voice", "again"):
        write(desk.path / "stems" / f"{stem}.wav", VOICE, subtype="FLOAT")
    table(desk, "a\tsongs/a.wav\t\t\tstems")
    assert desk.good(**MINE).ran == Counter(convert=1, have=1, deliver_both=1, report=1)
    np.testing.assert_array_equal(audio(desk, "a", "rest"), SONG - VOICE)
    assert told(desk, "a", "qc")["models"] == []

    write(desk.path / "stems/voice.wav", VOICE / 2, subtype="FLOAT")
    assert desk.good("-n", **MINE).planned == Counter(convert=1, have=2, deliver_both=1, report=1)


def test_with_all_kept_another_recipe_decodes_nothing_again(desk):
    desk.good(keep="all")
    (mix,) = (desk.path / "work/mix").glob("*/mix.wav")
    assert desk.good(recipe="other", keep="all").ran == Counter(deliver_other=1, report=1)
    assert mix.is_file()
