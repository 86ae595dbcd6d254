"""One bad song never stops the others, and says what is wrong with it, where, and what to do.

The good songs among the bad are checked sample by sample against soundfile's own reading of them.
"""

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from flow import Desk, Run, like_an_ordinary_user, noise, write

# song: (what happened, what to do), words of the one paragraph.
BAD = {
    "broken_flac": ("truncated or damaged", "truncated(=|: )accept"),
    "broken_mp3": ("truncated or damaged", "truncated(=|: )accept"),
    "dangling": ("link", "estore"),
    "empty": ("empty", "again"),
    "folder": ("folder", "ename"),
    "late": ("song ends", "start"),
    "nan": ("NaN", "again"),
    "private": ("not be read", "permission|right"),
    "text": ("not audio", "."),
    "turned": ("before it starts|empty or negative", "start"),
    "zero": ("no audio|zero", "."),
}
GOOD = ("a_first", "in/the/middle", "z_last", "window")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A table of good and bad songs."""
    desk = Desk(tmp_path_factory.mktemp("bad"))
    songs = desk.songs
    for number, name in enumerate(("a_first.wav", "in/the/middle.wav", "z_last.wav", "private.wav")):
        write(songs / name, noise(0.5, seed=number))
    for kind, subtype in {"flac": "PCM_16", "mp3": "MPEG_LAYER_III"}.items():
        whole = write(songs / f"broken_{kind}.{kind}", noise(8, seed=9), subtype=subtype)
        os.truncate(whole, whole.stat().st_size // 2)
    not_a_number = noise(1, seed=5)
    not_a_number[22050, 1] = np.nan
    write(songs / "nan.wav", not_a_number, subtype="FLOAT")
    write(songs / "zero.wav", np.zeros((0, 2)))
    (songs / "empty.mp3").touch()
    (songs / "text.mp3").write_text("Dear diary,\n" * 200, encoding="utf-8")
    (songs / "folder.mp3").mkdir()
    (songs / "dangling.wav").symlink_to("nowhere.wav")
    (songs / "private.wav").chmod(0)
    rows = [
        (path.relative_to(songs).with_suffix("").as_posix(), str(path.relative_to(desk.path)), "", "")
        for path in sorted(songs.rglob("*.*"))
    ]
    rows += [("turned", "songs/a_first.wav", "0.3", "0.2"), ("late", "songs/a_first.wav", "7", "")]
    rows += [("window", "songs/a_first.wav", "0.1", "0.2")]
    table = "".join("\t".join(row) + "\n" for row in [("song", "path", "start", "end"), *rows])
    (desk.path / "songs.tsv").write_text(table, encoding="utf-8")
    return desk


def run_as_ordinary_user(desk: Desk, **config: object) -> Run:
    return desk.run(songs="songs.tsv", options={"preexec_fn": like_an_ordinary_user}, **config)


@pytest.fixture(scope="module")
def run(desk: Desk) -> Run:
    return run_as_ordinary_user(desk)


@pytest.fixture(scope="module")
def accepting(desk: Desk, run: Run) -> Run:
    """A second run, that takes what is whole of damaged songs. It follows the first, whose files the tests keep."""
    shutil.copytree(desk.path / "results", desk.path / "first_results")
    shutil.copytree(desk.path / "logs", desk.path / "first_logs")
    return run_as_ordinary_user(desk, truncated="accept")


def log_of(folder: Path, song: str) -> Path:
    """The one log of a failed convert that names the song."""
    (found,) = [path for path in folder.glob("convert/*.log") if f"song {song!r}, stage convert: " in path.read_text()]
    return found


def test_every_good_song_is_delivered_and_the_run_still_ends_with_an_error(desk, run, accepting):
    assert run.code != 0
    results = desk.path / "first_results"
    assert sorted(str(path.parent.relative_to(results)) for path in results.rglob("qc.json")) == sorted(GOOD)
    for song in ("a_first", "in/the/middle", "z_last"):
        source, _ = soundfile.read(desk.songs / f"{song}.wav", dtype="int16")
        copy, _ = soundfile.read(results / song / "copy.wav", dtype="int16")
        np.testing.assert_array_equal(copy, source)
    source, rate = soundfile.read(desk.songs / "a_first.wav", dtype="int16")
    copy, _ = soundfile.read(results / "window" / "copy.wav", dtype="int16")
    np.testing.assert_array_equal(copy, source[round(0.1 * rate) : round(0.2 * rate)])


@pytest.mark.parametrize("song", BAD)
def test_a_bad_song_gets_one_paragraph_with_its_name_stage_and_remedy_on_the_terminal_and_in_its_log(
    desk, run, accepting, song
):
    what, remedy = BAD[song]
    paragraphs = run.paragraphs(song)
    assert len(paragraphs) == 1, run.text
    assert paragraphs[0].startswith(f"song {song!r}, stage convert: ")
    assert re.search(what, paragraphs[0])
    assert re.search(remedy, paragraphs[0].split(". ", 1)[1])
    lines = log_of(desk.path / "first_logs", song).read_text(encoding="utf-8").splitlines()
    assert [line.partition(" ERROR ")[2] for line in lines] == paragraphs


def test_no_traceback_is_shown_but_each_lies_beside_its_log(desk, run, accepting):
    assert "Traceback" not in run.text
    logs = desk.path / "first_logs"
    assert not [path for path in logs.rglob("*.log") if "Traceback" in path.read_text(encoding="utf-8")]
    beside = {log_of(logs, song).with_name(log_of(logs, song).name + ".traceback.txt") for song in BAD}
    assert beside == set(logs.rglob("*.traceback.txt"))
    assert all("Traceback (most recent call last)" in path.read_text(encoding="utf-8") for path in beside)


def test_nothing_half_written_is_left_of_a_bad_song(desk, run):
    assert desk.partials() == []


def test_truncated_accept_delivers_what_is_whole_of_damaged_songs_and_only_of_these(desk, accepting, tmp_path):
    assert accepting.code != 0
    results = desk.path / "results"
    delivered = {str(path.parent.relative_to(results)) for path in results.rglob("qc.json")}
    assert delivered == {*GOOD, "broken_flac", "broken_mp3"}
    # 16-bit samples from the generator itself: the flac lost its second half, not the exactness of its first.
    copy, _ = soundfile.read(results / "broken_flac" / "copy.wav", dtype="int16")
    assert 2 * 44100 < len(copy) < 6 * 44100
    whole, _ = soundfile.read(write(tmp_path / "whole.flac", noise(8, seed=9)), dtype="int16")
    np.testing.assert_array_equal(copy, whole[: len(copy)])
    assert 2 * 44100 < soundfile.info(results / "broken_mp3" / "copy.wav").frames < 6 * 44100
