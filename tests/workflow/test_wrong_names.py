"""A name that does not exist stops everything at once, with the nearest one that does, and no traceback."""

import os
from pathlib import Path

import pytest

from flow import Desk, noise, write

TINY_RECIPE = "own: {steps: {split: {model: htdemuks, input: mix}}, stems: {vocals: split.vocals}}\n"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    write(desk.songs / "a.wav", noise(0.1))
    return desk


def stopped(desk: Desk, *arguments: str, **config: object) -> str:
    """What is said by a run that is to stop before its first job."""
    run = desk.run(*arguments, **config)
    assert run.code != 0
    assert "Traceback" not in run.text
    assert not run.planned
    assert desk.files("results", "work", "logs") == {}
    return run.text


@pytest.mark.parametrize(
    ("config", "wrong", "meant"),
    [
        ({"recipe": "identty"}, "identty", "identity"),
        ({"recipe": "stems", "preset": "balancd"}, "balancd", "balanced"),
        ({"format": "flak"}, "flak", "flac"),
        ({"bit_dept": "16"}, "bit_dept", "bit_depth"),
    ],
    ids=["recipe", "preset", "format", "key"],
)
def test_a_wrong_name_in_the_configuration_gets_a_did_you_mean(desk, config, wrong, meant):
    text = stopped(desk, **config)
    assert wrong in text
    assert f"Did you mean {meant!r}?" in text


def test_a_wrong_model_in_a_recipe_of_ones_own_names_recipe_step_and_the_nearest_model(desk):
    (desk.path / "config").mkdir()
    (desk.path / "config/recipes.yaml").write_text(TINY_RECIPE)
    text = stopped(desk, recipe="own")
    assert "'own'" in text
    assert "'split'" in text
    assert "Did you mean 'htdemucs'?" in text


def test_two_songs_with_one_id_are_named_both(desk):
    write(desk.songs / "the song.wav", noise(0.1))
    write(desk.songs / "the_song.flac", noise(0.1))
    text = stopped(desk)
    assert "songs/the song.wav" in text
    assert "songs/the_song.flac" in text


def test_an_unknown_column_of_a_table_gets_a_did_you_mean(desk):
    (desk.path / "songs.tsv").write_text("song\tpath\tstrat\na\tsongs/a.wav\t0\n")
    text = stopped(desk, songs="songs.tsv")
    assert "'strat'" in text
    assert "Did you mean 'start'?" in text


def test_a_wrong_song_in_a_target_says_which_target(desk):
    assert f"results{os.sep}b{os.sep}copy.wav" in stopped(desk, "results/b/copy.wav")
