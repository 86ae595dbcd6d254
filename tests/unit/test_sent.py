"""Jobs on other machines plan their own songs as the run did, whatever has become of the files."""

import os
import shutil

import pytest

from planned_songs import HOME, plan_of
from unbraid import sent
from unbraid.setup import set_up

SONGS = {"one": 1, "two": 2, "bad": None}


@pytest.fixture
def plan(tmp_path, monkeypatch):
    """Of three songs; the run has told its jobs, and then the songs are gone."""
    monkeypatch.chdir(tmp_path)
    _, made, _ = plan_of(tmp_path, SONGS)
    (tmp_path / "work").mkdir()
    sent.tell(made)
    shutil.rmtree("songs")
    return made


def planned(monkeypatch, *jobs):
    monkeypatch.setattr("sys.argv", ["snakemake", "--target-jobs", *jobs, "--allowed-rules", "report"])
    return set_up({"device": "cpu"}, HOME, look=False, warn=print)


@pytest.mark.parametrize("name", SONGS)
def test_a_job_plans_its_song_as_the_run_did_although_the_file_is_gone(plan, monkeypatch, name):
    _, made, songs = planned(monkeypatch, f"report:song={name}")
    assert songs == [name]
    assert set(made.songs) == {name}
    assert made.songs[name] == plan.songs[name]


@pytest.mark.parametrize("kind", ["mixes", "segments", "works", "separations"])
def test_a_song_is_found_by_any_key_of_its_jobs(plan, monkeypatch, kind):
    key = next(key for key, one in getattr(plan, kind).items() if "two" in (getattr(one, "song", ""), song_of(one)))
    _, _, songs = planned(monkeypatch, f"convert:key={key},part=0")
    assert songs == ["two"]


def song_of(made):
    return made.segments.song if hasattr(made, "segments") else made.song


def test_given_stems_are_those_that_the_run_found_whatever_comes_beside_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan_of(tmp_path, {"one": 1})
    (tmp_path / "given").mkdir()
    shutil.copy("songs/one.wav", "given/vocals.wav")
    (tmp_path / "songs.tsv").write_text("song\tpath\thave\none\tsongs/one.wav\tgiven\n")
    _, made, _ = set_up({"device": "cpu", "songs": "songs.tsv"}, HOME, look=True, warn=print)
    (tmp_path / "work").mkdir()
    sent.tell(made)
    shutil.copy("songs/one.wav", "given/drums.wav")
    again, first = planned(monkeypatch, "report:song=one")[1].songs["one"], made.songs["one"]
    assert set(first.haves) == {"vocals"}
    assert again.haves == first.haves
    assert (again.separations, again.stems) == (first.separations, first.stems)


def test_a_name_that_is_no_text_can_be_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan_of(tmp_path, {"one": 1})
    name = os.fsdecode(b"songs/\xff.wav")
    os.rename("songs/one.wav", name)
    _, made, (song,) = set_up({"device": "cpu"}, HOME, look=True, warn=print)
    (tmp_path / "work").mkdir()
    sent.tell(made)
    assert planned(monkeypatch, f"report:song={song}")[1].songs == {song: made.songs[song]}


def test_an_allocation_of_several_songs_plans_each_of_them_once(plan, monkeypatch):
    jobs = ["report:song=one", f"convert:key={plan.songs['two'].mix.key}", "page:song=two"]
    _, _, songs = planned(monkeypatch, *jobs)
    assert songs == ["one", "two"]


def test_a_job_of_no_song_and_a_run_that_told_nothing_leave_all_songs(plan, monkeypatch):
    assert sent.told(["--target-jobs", "other:thing=1"]) is None
    assert sent.told([]) is None
    sent.forget()
    assert sent.told(["--target-jobs", "report:song=one"]) is None
