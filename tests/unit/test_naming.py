"""Names from tags: whatever these hold, a name that every file system takes, and only the template's own folders."""

import os
from pathlib import Path

import pytest

from unbraid import config, naming
from unbraid.errors import UnbraidError
from unbraid.files import write_json
from unbraid.stages.named import named

PLAIN = "{artist} - {title} ({stem})"
TAGS = {"artist": "A", "title": "T", "album": "Al", "track": "3/12", "disc": "1/2", "date": "2024-05-06"}


@pytest.mark.parametrize(
    ("template", "tags", "name"),
    [
        (PLAIN, TAGS, "A - T (vocals)"),
        (PLAIN, {"title": "T"}, "T (vocals)"),
        (PLAIN, {}, "song (vocals)"),
        ("{artist}/{year} {album}/{disc}-{track} {title} ({stem})", TAGS, "A/2024 Al/1-03 T (vocals)"),
        ("{artist}/{album}/{track} {title} {stem}", {"title": "T"}, "T vocals"),
        ("{song} {stem}", TAGS, "song vocals"),
        (PLAIN, {"artist": "AC/DC", "title": "../../etc"}, "AC_DC - .._.._etc (vocals)"),
        ("{artist}/{title} {stem}", {"artist": "..", "title": "a:b?"}, "a_b_ vocals"),
        ("{artist}/{title}/{stem}", {"artist": "CON", "title": "a\u202egpj"}, "CON_/a_gpj/vocals"),
        (PLAIN, {"title": "e\u0301"}, "\u00e9 (vocals)"),
        (PLAIN, {"artist": "{stem}", "title": "%s\0\n"}, "{stem} - %s__ (vocals)"),
    ],
)  # fmt: skip
def test_a_name_is_made_of_what_is_known(template, tags, name):
    assert str(naming.render(template, tags, "album/song", "vocals")) == name


@pytest.mark.parametrize("title", ["x" * 1000, "歌" * 1000, "é" * 1000])
def test_no_name_is_too_long_for_a_disk(tmp_path, title):
    path = naming.render("{title}/{stem} {title}", {"title": title}, "song", "vocals")
    assert all(len(os.fsencode(part)) <= naming.LONGEST for part in path.parts)
    assert path.name.startswith("vocals ")
    assert naming.render(PLAIN, {"title": title, "artist": title}, "song", "vocals").name.endswith(" (vocals)")
    (tmp_path / path).mkdir(parents=True)


@pytest.mark.parametrize("template", ["{title}", "{stem}", "{artist} {stem}", "{titel} {stem}", "{title!r} {stem}", "{title:>9} {stem}",
                                      "{title.__class__} {stem}", "{title", "{} {title} {stem}", ""])  # fmt: skip
def test_a_template_that_would_not_do_is_an_error(template):
    with pytest.raises(UnbraidError, match="names="):
        config.load({"names": template})


def furnish(tmp_path, **tags):
    """Songs with these tags, delivered."""
    made = {}
    for song, told in tags.items():
        folder = tmp_path / "results" / song
        write_json(folder / "provenance.json", {"tags": told})
        made[song] = {}
        for stem in ("vocals", "drums"):
            (folder / f"{stem}.mp3").write_text(f"{song} {stem}")
            made[song][stem] = str(folder / f"{stem}.mp3")
    return made


@pytest.mark.parametrize("links", [True, False])
def test_all_files_are_there_once_more_and_none_takes_anothers_place(tmp_path, monkeypatch, links):
    made = furnish(tmp_path, a=TAGS, b={**TAGS, "title": "t"}, c={})
    if not links:
        monkeypatch.setattr(os, "link", lambda *given: (_ for _ in ()).throw(OSError(18, "cross-device")))
    folder = tmp_path / "named"
    folder.mkdir()
    named(made, tmp_path / "results", folder, template=PLAIN)
    found = {path.name: path.read_text() for path in folder.iterdir()}
    assert found == {
        "A - T (vocals).mp3": "a vocals", "A - T (drums).mp3": "a drums", "A - t (vocals) 2.mp3": "b vocals",
        "A - t (drums) 2.mp3": "b drums", "c (vocals).mp3": "c vocals", "c (drums).mp3": "c drums",
    }  # fmt: skip
    assert Path(made["a"]["vocals"]).samefile(folder / "A - T (vocals).mp3") is links


def test_nothing_is_ever_written_over_a_file_that_is_there(tmp_path):
    made = furnish(tmp_path, a=TAGS)
    folder = tmp_path / "named"
    folder.mkdir()
    (folder / "A - T (vocals).mp3").write_text("there")
    with pytest.raises(FileExistsError):
        named(made, tmp_path / "results", folder, template=PLAIN)
    assert (folder / "A - T (vocals).mp3").read_text() == "there"


def test_a_name_that_would_be_a_file_and_a_folder_is_an_error(tmp_path):
    made = furnish(tmp_path, a={"title": "A"}, b={"artist": "A vocals.mp3", "title": "B"})
    folder = tmp_path / "named"
    folder.mkdir()
    with pytest.raises(UnbraidError, match=r"a file and a folder of b would have one name: A vocals\.mp3"):
        named(made, tmp_path / "results", folder, template="{artist}/{title} {stem}")
