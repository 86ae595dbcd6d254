from pathlib import Path

import pytest

from unbraid import presets
from unbraid.config import Config
from unbraid.errors import UnbraidError

SHIPPED = presets.load([Path(__file__).parents[2] / "config/presets.yaml"])


def test_the_shipped_presets_are_as_the_readme_says():
    assert {name: tuple(preset.model_dump().values()) for name, preset in SHIPPED.items()} == {
        "fast": (0, 0.1, "fast"),
        "balanced": (0, 0.25, "fast"),
        "quality": (10, 0.5, "exact"),
        "reference": (0, 0.25, "exact"),
    }


def test_a_preset_with_overrides_is_reported_as_custom():
    assert presets.choose(SHIPPED, "fast", Config()) == ("fast", SHIPPED["fast"])
    name, preset = presets.choose(SHIPPED, "fast", Config(overlap=0.3, shifts=2))
    assert (name, preset.overlap, preset.shifts, preset.precision) == ("custom", 0.3, 2, "fast")


def test_an_override_that_changes_nothing_keeps_the_name():
    assert presets.choose(SHIPPED, "balanced", Config(overlap=0.25))[0] == "balanced"


def test_an_unknown_preset_gets_a_suggestion():
    with pytest.raises(UnbraidError, match="Did you mean 'balanced'"):
        presets.choose(SHIPPED, "balance", Config())


def test_a_preset_that_is_no_table_is_an_error_that_names_it(tmp_path):
    (tmp_path / "p.yaml").write_text("mine: 3")
    with pytest.raises(UnbraidError, match=r"preset 'mine' .* entry"):
        presets.load([tmp_path / "p.yaml"])


def test_a_wrong_preset_is_an_error_that_names_it(tmp_path):
    (tmp_path / "p.yaml").write_text("mine: {shifts: -1, overlap: 0.1, precision: fast}")
    with pytest.raises(UnbraidError, match=r"preset 'mine' .* shifts"):
        presets.load([tmp_path / "p.yaml"])
