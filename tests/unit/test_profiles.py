"""Profiles hold runtime settings and nothing else; each line of them has its reason."""

import re
from pathlib import Path

import pytest
import yaml

from unbraid.config import Config

HOME = Path(__file__).parents[2]
PROFILES = sorted(path.parent for path in (HOME / "profiles").glob("*/config.yaml"))
COMMON = ("rerun-incomplete", "nolock", "keep-going", "show-failed-logs", "scheduler", "rerun-triggers")


def settings(profile):
    return yaml.safe_load((profile / "config.yaml").read_text())


@pytest.fixture(params=PROFILES, ids=lambda path: path.name)
def profile(request):
    return request.param


def test_each_profile_keeps_what_every_run_needs(profile):
    default = settings(HOME / "profiles/default")
    assert {name: settings(profile)[name] for name in COMMON} == {name: default[name] for name in COMMON}


def test_each_setting_has_a_reason_above_it(profile):
    text = (profile / "config.yaml").read_text()
    for block in re.split(r"\n\s*\n", text.strip()):
        lines = block.split("\n")
        assert lines[0].startswith("#"), block


def test_each_says_when_to_use_it(profile):
    if profile.name != "default":  # it is taken by itself
        assert (profile / "README.md").read_text().startswith(f"# profiles/{profile.name}\n")


def test_no_profile_sets_what_the_configuration_is_for(profile):
    assert "config" not in settings(profile)
    assert not settings(profile).keys() & Config.model_fields.keys() - {"scheduler"}
