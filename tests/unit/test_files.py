import errno
import hashlib

import pytest

from unbraid import files
from unbraid.errors import UnbraidError


def test_a_file_appears_whole_and_its_folder_is_made(tmp_path):
    target = tmp_path / "new" / "x.json"
    with files.replacing(target) as partial:
        partial.write_text("half")
        assert not target.exists()
    assert target.read_text() == "half"
    assert [path.name for path in target.parent.iterdir()] == ["x.json"]


@pytest.mark.parametrize("interruption", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path, interruption):
    target = tmp_path / "x"
    target.write_text("old")

    def write():
        with files.replacing(target) as partial:
            partial.write_text("new")
            raise interruption

    with pytest.raises(interruption):
        write()
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_what_a_kill_left_behind_is_taken_away(tmp_path):
    (tmp_path / ".x.partial").mkdir()
    (tmp_path / ".x.partial" / "1").write_text("a longer rest of an earlier run")
    with files.replacing(tmp_path / "x") as partial:
        partial.write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x").read_text() == "new"


def test_of_two_writers_at_a_time_the_first_to_end_is_whole_and_the_other_fails(tmp_path):
    """As when a node that was taken for dead goes on beside the one that took over."""
    old, new = files.replacing(tmp_path / "x"), files.replacing(tmp_path / "x")
    with open(old.__enter__(), "w") as mine, open(new.__enter__(), "w") as others:
        mine.write("a" * 60)
        others.write("b")
        mine.write("a" * 40)
    old.__exit__(None, None, None)
    assert (tmp_path / "x").read_text() == "a" * 100
    with pytest.raises(files.Overtaken, match="made by another job meanwhile") as caught:
        new.__exit__(None, None, None)
    assert caught.value.filename == str(tmp_path / "x")
    assert (tmp_path / "x").read_text() == "a" * 100
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_writer_that_fails_leaves_anothers_file_alone(tmp_path):
    def fail():
        with files.replacing(tmp_path / "x") as others:
            others.write_text("half")
            raise ValueError("half")

    with files.replacing(tmp_path / "x") as mine:
        mine.write_text("whole")
        with pytest.raises(ValueError, match="half"):
            fail()
    assert (tmp_path / "x").read_text() == "whole"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_an_error_names_the_file_that_was_to_be_there(tmp_path, monkeypatch):
    def fill():
        with files.replacing(tmp_path / "x") as partial:
            raise OSError(errno.ENOSPC, "No space left on device", str(partial))

    with pytest.raises(OSError, match="No space") as caught:
        fill()
    assert caught.value.filename == str(tmp_path / "x")

    def refuse(path, *_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", str(path.parent))

    monkeypatch.setattr(files.Path, "mkdir", refuse)
    with pytest.raises(PermissionError) as caught:
        fill()
    assert caught.value.filename == str(tmp_path / "x")


def test_json_comes_back_as_it_was_and_nan_is_refused(tmp_path):
    value = {"name": "日本語", "list": [1, 2.5, None, True]}
    files.write_json(tmp_path / "x.json", value)
    assert files.read_json(tmp_path / "x.json") == value
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "x.json", float("nan"))
    assert files.read_json(tmp_path / "x.json") == value


@pytest.mark.parametrize(
    ("text", "message"),
    [(b"a: [1", "is not valid YAML"), (b"- a", "is not a table of named entries"), (b"\xff\xfe", "is not valid YAML")],
)
def test_a_yaml_file_that_is_not_a_table_is_an_error_that_names_it(tmp_path, text, message):
    path = tmp_path / "recipes.yaml"
    path.write_bytes(text)
    with pytest.raises(UnbraidError, match=message) as caught:
        files.read_yaml(path)
    assert "recipes.yaml" in str(caught.value)


def test_an_empty_yaml_file_has_no_entries_and_a_missing_one_is_an_error(tmp_path):
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    assert files.read_yaml(tmp_path / "empty.yaml") == {}
    with pytest.raises(UnbraidError, match="cannot be read"):
        files.read_yaml(tmp_path / "missing.yaml")


def test_sha256_is_the_standard_one(tmp_path):
    (tmp_path / "x").write_bytes(b"abc" * 100_000)
    assert files.sha256(tmp_path / "x") == hashlib.sha256(b"abc" * 100_000).hexdigest()
