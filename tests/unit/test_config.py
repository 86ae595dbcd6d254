from pathlib import Path

import pytest
import yaml

from unbraid import config
from unbraid.errors import UnbraidError

HOME = Path(__file__).parents[2]


def test_the_shipped_file_holds_every_key_with_its_default():
    written = yaml.safe_load((HOME / "config/config.yaml").read_text())
    assert written == config.Config().model_dump()
    assert (HOME / "config/config.yaml").read_text() == config.default_yaml()


def test_the_table_in_the_readme_is_the_schema():
    assert config.markdown_table() in (HOME / "config/README.md").read_text()


def test_every_key_has_a_description_and_at_least_two_characters():
    for name, field in config.Config.model_fields.items():
        assert len(name) > 1
        assert field.description


def test_numbers_may_come_as_text_as_the_command_line_gives_them():
    loaded = config.load(
        {"shifts": "3", "overlap": "0.5", "segment_seconds": "12.5", "bit_depth": 16, "reuse": "false"}
    )
    assert (loaded.shifts, loaded.overlap, loaded.segment_seconds, loaded.bit_depth, loaded.reuse) == (
        3, 0.5, 12.5, "16", False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"devise": "cpu"}, "unknown key 'devise' (Did you mean 'device'?)"),
        ({"format": "flak"}, "format='flak' is not allowed: format of the files that `all` delivers: wav, flac, "),
        ({"format": "flak"}, "or same as the song's. Did you mean 'flac'?"),
        ({"device": "gpu"}, "device='gpu' is not allowed"),
        ({"overlap": 1.0}, "overlap=1.0 is not allowed"),
        ({"segment_seconds": -1}, "segment_seconds=-1 is not allowed"),
        ({"segment_min": 100, "segment_max": 50}, "segment_min (100) is above segment_max (50)"),
        ({"store": ""}, "store='' is not allowed"),
        ({"format": "flac", "bit_depth": "float"}, "FLAC cannot hold float"),
        ({"preset": 7, "clip": "scael"}, "Did you mean 'scale'?"),
    ],
)  # fmt: skip
def test_a_wrong_key_or_value_is_an_error_that_says_what_to_type(raw, message):
    with pytest.raises(UnbraidError) as caught:
        config.load(raw)
    assert message in str(caught.value)


def test_folders_are_spelled_one_way(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    loaded = config.load({"store": "~/st/", "temp_dir": "/tmp//x/", "songs": 2024})
    assert (loaded.store, loaded.temp_dir, loaded.songs) == ("/home/me/st", "/tmp/x", "2024")


def test_environment_variables_are_filled_in(monkeypatch):
    monkeypatch.setenv("SCRATCH", "/fast/disk")
    assert config.load({"store": "${SCRATCH}/store"}).store == "/fast/disk/store"


def test_an_unset_environment_variable_is_an_error_that_names_key_and_variable(monkeypatch):
    monkeypatch.delenv("SCRATCH", raising=False)
    with pytest.raises(UnbraidError, match=r"'store' uses \$\{SCRATCH\}"):
        config.load({"store": "${SCRATCH}/store"})


def test_off_in_yaml_is_false_and_means_off():
    assert config.load(yaml.safe_load("qc: off")).qc == "off"
    assert config.load({"qc": "off"}).limits is None
    with pytest.raises(UnbraidError, match="qc"):
        config.load({"qc": True})


def test_a_limit_is_a_number():
    with pytest.raises(UnbraidError, match="qc_residual"):
        config.load({"qc_residual": "nan"})
