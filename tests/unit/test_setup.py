"""From a raw configuration and a folder of songs to a plan, in a working directory of a user's."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tiny_networks import checkpoint
from unbraid import run_note, setup
from unbraid.errors import UnbraidError
from unbraid.files import sha256, write_json

HOME = Path(__file__).parents[2]
OWN_MODEL = """
mine:
  backend: demucs
  architecture: HTDemucs
  description: my own
  stems: [drums, bass, other, vocals]
  rate: 44100
  channels: 2
  licence: mine
  weights:
    - name: w
      sources: [{file: w.th}]
"""
OWN_RECIPE = "own: {steps: {a: {model: mine, input: mix}}, stems: {vocals: a.vocals}}"


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "songs").mkdir()
    soundfile.write(tmp_path / "songs/a.wav", np.zeros((100, 2)), 44100)
    return tmp_path


def planned(look=True, **raw):
    said = []
    config, plan, wanted = setup.set_up(raw, HOME, look=look, warn=said.append)
    return config, plan, wanted, said


def test_a_folder_of_songs_becomes_a_plan_beside_the_demo_song(desk):
    config, plan, wanted, said = planned()
    assert wanted == ["a"]
    assert set(plan.songs) == {"a", "demo"}
    assert list(plan.models) == ["htdemucs"]
    assert config.preset == "balanced"
    assert said == []


def test_the_demo_song_is_stempegs_and_a_song_of_that_name_comes_before_it(desk):
    _, plan, _, _ = planned()
    assert plan.songs["demo"].song.path.endswith(".stem.mp4")
    soundfile.write(desk / "songs/demo.wav", np.zeros((100, 2)), 44100)
    _, plan, wanted, _ = planned()
    assert wanted == ["a", "demo"]
    assert plan.songs["demo"].song.path == "songs/demo.wav"


def test_without_stempeg_the_demo_song_says_what_to_install(monkeypatch):
    monkeypatch.setattr(setup.importlib.util, "find_spec", lambda name: None)
    assert "pip install stempeg" in setup.demo_path()


def test_other_files_and_no_songs_are_said_once_and_not_in_remote_jobs(desk):
    for index in range(5):
        (desk / f"songs/{index}.jpg").touch()
    assert "Passed over 5 file(s)" in planned()[3][0]
    assert planned(look=False)[3] == []
    (desk / "empty").mkdir()
    assert "There are no songs" in planned(songs="empty")[3][0]


def test_own_models_recipes_and_presets_add_to_the_shipped_ones(desk):
    (desk / "config").mkdir()
    (desk / "config/models.yaml").write_text(OWN_MODEL)
    (desk / "config/recipes.yaml").write_text(OWN_RECIPE)
    (desk / "config/presets.yaml").write_text("slow: {shifts: 3, overlap: 0.5, precision: exact}")
    checkpoint(desk / "w.th")
    _, plan, _, _ = planned(recipe="own", preset="slow")
    separation = plan.songs["a"].separations["a"]
    assert separation.model.identity == [sha256(desk / "w.th")]
    assert separation.settings["shifts"] == 3
    checkpoint(desk / "w.th", half=False)
    assert planned(recipe="own", preset="slow")[1].songs["a"].separations["a"].key != separation.key


def test_a_local_checkpoint_that_is_missing_is_an_error_that_names_it(desk):
    (desk / "config").mkdir()
    (desk / "config/models.yaml").write_text(OWN_MODEL)
    (desk / "config/recipes.yaml").write_text(OWN_RECIPE)
    with pytest.raises(UnbraidError, match=r"w\.th"):
        planned(recipe="own")


def test_what_the_store_holds_counts_unless_it_must_not(desk, monkeypatch):
    monkeypatch.setenv(run_note.RUN, "")  # so that it is as before in the end
    key = next(iter(planned(recipe="identity")[1].songs["a"].separations.values())).key
    manifest = desk / "store/stems" / key / "manifest.json"
    write_json(manifest, {"stage": "merge"})
    manifest.with_name("copy.wav").touch()

    def complete(**options):
        return next(iter(planned(recipe="identity", **options)[1].songs["a"].separations.values())).complete

    assert complete()
    assert not complete(reuse=False)
    assert complete(look=False)  # no run has told what it found
    run_note.tell("", [])
    assert not complete(look=False)


def test_a_plan_is_the_same_with_and_without_a_look_at_the_store(desk):
    looked, not_looked = planned()[1], planned(look=False)[1]
    strip = {key: dataclasses.replace(made, complete=False) for key, made in looked.separations.items()}
    assert strip == not_looked.separations
    assert looked.mixes == not_looked.mixes


@pytest.mark.parametrize(
    ("device", "system", "expected"),
    [("cpu", "Linux", "cpu"), ("cuda:1", "Linux", "cuda"), ("auto", "Linux", "cuda"), ("auto", "Darwin", "mlx"),
     ("auto", "Windows", "cpu"), ("mps", "Darwin", "mlx"), ("mlx", "Darwin", "mlx")],
)  # fmt: skip
def test_the_stack_follows_the_device(monkeypatch, device, system, expected):
    monkeypatch.setattr(setup.platform, "system", lambda: system)
    assert setup.stack(device) == expected
    assert (HOME / f"envs/{expected}.yaml").is_file()


@pytest.mark.parametrize(("before", "after"), [("", "here"), ("there", f"here{os.pathsep}there")])
def test_jobs_find_a_library_that_lies_elsewhere_and_what_they_found_before(monkeypatch, before, after):
    monkeypatch.setenv("PYTHONPATH", before)
    setup.found_by_jobs(Path("here"))
    assert os.environ["PYTHONPATH"] == after
