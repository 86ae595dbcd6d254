"""Chains and ensembles through the whole workflow, on untrained networks made here."""

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from flow import HOME, Desk, noise, write

sys.path.insert(0, str(HOME / "tests" / "unit"))
import tiny_networks

MODEL = """\
{name}:
  backend: demucs
  architecture: HTDemucs
  description: untrained
  stems: [drums, bass, other, vocals]
  rate: 44100
  channels: 2
  licence: CC0, made for a test
  weights:
    - name: one
      sources:
        - file: {name}.th
"""
RECIPES = """\
blended:
  steps:
    a: {model: first, input: mix}
    b: {model: second, input: mix}
    c: {model: second, input: a.residual}
    v: {ensemble: [a.vocals, b.vocals, c.vocals], method: METHOD}
  stems:
    vocals: v
    rest: mix - v
    a: a.vocals
    b: b.vocals
    c: c.vocals
    left: c.residual
"""
MINE: dict[str, object] = {"recipe": "blended", "device": "cpu"}
SEPARATIONS = Counter({"merge_first": 1, "merge_second": 2})


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    write(desk.songs / "a.wav", noise(1.5), subtype="FLOAT")
    (desk.path / "config").mkdir()
    for seed, name in enumerate(("first", "second")):
        tiny_networks.checkpoint(desk.path / f"{name}.th", tiny_networks.network(seed=seed))
    models = "".join(MODEL.format(name=name) for name in ("first", "second"))
    (desk.path / "config/models.yaml").write_text(models)
    (desk.path / "config/recipes.yaml").write_text(RECIPES.replace("METHOD", "median"))
    return desk


def merges(run) -> Counter[str]:
    return Counter({rule: count for rule, count in run.ran.items() if rule.startswith("merge")})


def test_a_chain_and_an_ensemble_are_the_same_bytes_in_any_order_of_jobs_and_a_new_method_separates_nothing(desk):
    first = desk.good("--cores", "1", **MINE)
    assert merges(first) == SEPARATIONS
    assert first.ran["ensemble"] == 1
    whole = desk.audio()
    stems = {
        stem: soundfile.read(desk.path / f"results/a/{stem}.wav", dtype="float32")[0]
        for stem in ("vocals", "rest", "a", "b", "c", "left")
    }
    assert np.array_equal(stems["vocals"], np.median([stems["a"], stems["b"], stems["c"]], axis=0))
    mix = noise(1.5)
    assert np.array_equal(stems["rest"], mix - stems["vocals"])
    assert desk.good(**MINE).idle

    other = Desk(desk.path / "again")
    (other.songs / "a.wav").symlink_to(desk.songs / "a.wav")
    (other.path / "config").symlink_to(desk.path / "config")
    for name in ("first", "second"):
        (other.path / f"{name}.th").symlink_to(desk.path / f"{name}.th")
    # What the plan has last comes first here, and two jobs run at once.
    other.good("--until", "merge_second", **MINE)
    other.good("--prioritize", "merge_second", "--resources", "gpu=2", **MINE)
    assert other.audio() == whole

    (desk.path / "config/recipes.yaml").write_text(RECIPES.replace("METHOD", "max"))
    again = desk.good(**MINE)
    assert merges(again) == Counter()
    assert again.ran["ensemble"] == 1
    changed = desk.audio()
    assert {name for name in whole if changed[name] != whole[name]} == {"a/vocals.wav", "a/rest.wav"}

    assert Desk(desk.path).run(**{**MINE, "recipe": "blendet"}).text.count("Did you mean 'blended'?") == 1


def test_the_list_of_models_is_printed_and_searched(desk):
    listed = desk.good("models_list", recipe=None, filter="licence:cc0 vocals").text
    assert "first" in listed
    assert "second" in listed
    assert "htdemucs" not in listed
    wrong = desk.run("models_list", recipe=None, filter="licence:cc0 vocls")
    assert wrong.code == 1
    assert "Did you mean 'vocals'?" in wrong.text
