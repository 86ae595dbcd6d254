"""A user's own checkpoint, named by its path in a recipe: offline, with what lies beside it."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from flow import HOME, Desk, noise, write

sys.path.insert(0, str(HOME / "tests" / "unit"))
import tiny_uvr

RECIPE = """\
mine:
  steps:
    split: {{model: {checkpoint}, input: mix}}
  stems:
    vocals: split.vocals
    rest: split.instrumental
"""


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    write(desk.songs / "a.wav", noise(1.0), subtype="FLOAT")
    (desk.path / "config").mkdir()
    return desk


def test_a_checkpoint_is_used_by_its_path_and_other_bytes_in_it_are_another_model(desk):
    (desk.path / "nets").mkdir()
    tiny_uvr.configured(desk.path / "nets", "BS-RoFormer")
    (checkpoint,) = (desk.path / "nets").glob("*.ckpt")
    (desk.path / "config/recipes.yaml").write_text(RECIPE.format(checkpoint=checkpoint.relative_to(desk.path)))
    desk.good(recipe="mine", device="cpu")
    read = {
        stem: soundfile.read(desk.path / f"results/a/{stem}.wav", dtype="float32")[0] for stem in ("vocals", "rest")
    }
    assert np.abs(read["vocals"] + read["rest"] - noise(1.0)).max() < 1e-6
    assert desk.good(recipe="mine", device="cpu").idle

    tiny_uvr.configured(desk.path / "nets", "BS-RoFormer", seed=1)
    stale = desk.run(recipe="mine", device="cpu")
    assert stale.code == 1
    (folder,) = (desk.path / "models").iterdir()
    assert f"Delete {folder.relative_to(desk.path)} and run again." in stale.text
    shutil.rmtree(folder)
    again = desk.good(recipe="mine", device="cpu")
    assert again.ran["separate"] == 1
    other = soundfile.read(desk.path / "results/a/vocals.wav", dtype="float32")[0]
    assert not np.array_equal(other, read["vocals"])


def test_a_checkpoint_that_is_not_there_or_has_nothing_beside_it_is_told(desk):
    (desk.path / "config/recipes.yaml").write_text(RECIPE.format(checkpoint="nets/absent.ckpt"))
    missing = desk.run(recipe="mine")
    assert missing.code == 1
    assert "There is no checkpoint nets/absent.ckpt" in missing.text
    (desk.path / "nets").mkdir()
    (desk.path / "nets/absent.ckpt").write_bytes(b"x")
    alone = desk.run(recipe="mine")
    assert "absent.yaml" in alone.text
    assert "Traceback" not in alone.text
