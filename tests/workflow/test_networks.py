"""Recipes and models of a user's own: adding a step or changing a preset makes only what was never made before.

The network is an untrained one, made here: what it computes is of no interest, only when it is asked.
"""

import json
import shutil
import sys
from collections import Counter
from pathlib import Path

import pytest

from flow import HOME, Desk, noise, small_files_only, write

sys.path.insert(0, str(HOME / "tests" / "unit"))
import tiny_networks

MODEL = """\
tiny-2.0:
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
        - file: {checkpoint}
"""
ONE_STEP = """\
mine-2:
  steps:
    same: {model: identity, input: mix}
  stems:
    copy: same.copy
"""
TWO_STEPS = """\
mine-2:
  steps:
    same: {model: identity, input: mix}
    split: {model: tiny-2.0, input: same.copy}
  stems:
    copy: same.copy
    vocals: split.vocals
    rest: mix - split.vocals
"""


ON_THE_MIX = """\
mine-2:
  steps:
    split: {model: tiny-2.0, input: mix}
  stems:
    vocals: split.vocals
"""


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    write(desk.songs / "a.wav", noise(1.5))
    config = desk.path / "config"
    config.mkdir()
    checkpoint = tiny_networks.checkpoint(desk.path / "tiny.th")
    (config / "models.yaml").write_text(MODEL.format(checkpoint=checkpoint))
    return desk


def test_an_added_step_and_a_preset_switched_to_and_fro_separate_only_what_is_new(desk):
    recipes = desk.path / "config/recipes.yaml"
    recipes.write_text(ONE_STEP)
    mine: dict[str, object] = {"recipe": "mine-2", "device": "cpu", "preset": "fast"}
    assert desk.good(**mine).ran["merge_identity"] == 1

    recipes.write_text(TWO_STEPS)
    added = desk.good(**mine).ran
    assert added == Counter(
        model=1, convert=1, segment=1, separate=1, report=1, **{"merge_tiny-2.0": 1, "deliver_mine-2": 1}
    )
    fast = desk.audio()
    assert set(fast) == {"a/copy.wav", "a/vocals.wav", "a/rest.wav"}

    other = desk.good(**{**mine, "preset": "balanced"}).ran
    assert other == Counter(convert=1, segment=1, separate=1, report=1, **{"merge_tiny-2.0": 1, "deliver_mine-2": 1})
    assert desk.audio()["a/vocals.wav"] != fast["a/vocals.wav"]
    assert desk.audio()["a/copy.wav"] == fast["a/copy.wav"]

    back = desk.good(**mine).ran
    assert back == Counter(convert=1, report=1, **{"deliver_mine-2": 1})
    assert desk.audio() == fast
    assert desk.good(**mine).idle


def test_a_song_that_outgrows_a_limit_on_the_size_of_files_fails_alone_with_a_remedy(desk):
    (desk.path / "config/recipes.yaml").write_text(ON_THE_MIX)
    write(desk.songs / "low.wav", noise(20, rate=8000, channels=1), rate=8000)  # 7 MB in the network's format
    run = desk.run(recipe="mine-2", device="cpu", options={"preexec_fn": small_files_only})
    assert run.code == 1
    (message,) = run.paragraphs("low")
    assert "stage segment: " in message
    assert "ulimit -f" in message
    assert "Traceback" not in run.text
    assert desk.partials() == []
    assert set(desk.audio()) == {"a/vocals.wav"}


def test_the_number_of_cores_changes_no_bit(desk):
    (desk.path / "config/recipes.yaml").write_text(ON_THE_MIX)
    mine: dict[str, object] = {"recipe": "mine-2", "device": "cpu"}
    desk.good("--cores", "1", **mine)
    one = desk.audio()
    (manifest,) = desk.path.glob("store/stems/*/manifest.json")
    assert json.loads(manifest.read_text())["threads"] == [2]
    shutil.rmtree(desk.path / "store")
    shutil.rmtree(desk.path / "results")
    desk.good("--cores", "2", **mine)
    assert desk.audio() == one
    assert set(one) == {"a/vocals.wav"}


def test_another_device_or_scratch_folder_redoes_no_finished_segment(desk):
    (desk.path / "config/recipes.yaml").write_text(ON_THE_MIX)
    mine: dict[str, object] = {"recipe": "mine-2", "segment_seconds": 0.5}
    desk.good("--until", "separate", "--notemp", **mine, device="cpu")
    assert len(list(desk.path.glob("work/separated/*/*.wav"))) == 3
    again = desk.good("--notemp", **mine, device="auto", temp_dir=desk.path / "scratch" / "deep")
    assert again.ran["separate"] == 0
    assert again.ran["merge_tiny-2.0"] == 1
