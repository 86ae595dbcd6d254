"""What is there is never made again: second runs, new formats, renamed songs, lost files, added steps, presets.

Each test takes a copy of a finished working directory, so that none depends on another.
"""

import shutil
from collections import Counter
from pathlib import Path

import pytest

from flow import Desk, noise, write

DELIVERING = ("convert", "deliver_identity", "report")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Two songs, one of them in a sub-folder, in two segments each."""
    desk = Desk(tmp_path_factory.mktemp("finished"))
    write(desk.songs / "a.wav", noise(1, seed=1))
    write(desk.songs / "album/b.flac", noise(1, seed=2))
    run = desk.good(segment_seconds=0.6)
    assert run.ran == Counter(convert=2, segment=2, separate=4, merge_identity=2, deliver_identity=2, report=2)
    return desk


@pytest.fixture
def desk(finished: Desk, tmp_path: Path) -> Desk:
    shutil.copytree(finished.path, tmp_path, dirs_exist_ok=True, symlinks=True)
    return Desk(tmp_path)


def counted(*rules: str, songs: int) -> Counter[str]:
    return Counter(dict.fromkeys(rules, songs))


def test_a_second_run_does_nothing_and_changes_no_file(desk):
    desk.good(segment_seconds=0.6)  # the copy's songs are probed here, as they lie in another place
    before = desk.files(".")
    run = desk.good(segment_seconds=0.6)
    assert run.idle
    after = desk.files(".")
    own = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert {name for name in own if not name.startswith(".snakemake/")} == set()


def test_other_segments_are_no_reason_to_do_anything_again(desk):
    assert desk.good(segment_seconds=0.2).idle


def test_a_touched_song_is_no_reason_to_do_anything_again(desk):
    for song in desk.songs.rglob("*.*"):
        song.touch()
    assert desk.good().idle


@pytest.mark.parametrize("change", [{"format": "flac"}, {"bit_depth": "24"}], ids=str)
def test_a_new_format_or_depth_only_delivers_again_and_dry_run_says_so(desk, change):
    expected = counted(*DELIVERING, songs=2)
    assert desk.good("-n", **change).planned == expected
    assert desk.good(**change).ran == expected
    assert desk.good(**change).idle


def test_a_renamed_copy_of_a_song_is_not_separated(desk):
    shutil.copy(desk.songs / "a.wav", desk.songs / "another name.wav")
    before = desk.files("store/stems")
    # The song that it is a copy of shares its temporary mix, and is therefore delivered again with it.
    assert desk.good().ran == Counter(convert=1, deliver_identity=2, report=2)
    assert desk.files("store/stems") == before
    audio = desk.audio()
    assert audio["another_name/copy.wav"] == audio["a/copy.wav"]


def test_two_songs_with_the_same_bytes_are_separated_once(tmp_path):
    desk = Desk(tmp_path)
    song = write(desk.songs / "one.wav", noise(0.2))
    shutil.copy(song, desk.songs / "two.wav")
    ran = desk.good().ran
    assert ran == Counter(convert=1, segment=1, separate=1, merge_identity=1, deliver_identity=2, report=2)


def test_results_that_were_deleted_are_delivered_again_without_separating(desk):
    before = desk.audio()
    shutil.rmtree(desk.path / "results")
    assert desk.good().ran == counted(*DELIVERING, songs=2)
    assert desk.audio() == before


def test_one_deleted_file_delivers_that_song_again_and_no_other(desk):
    before = desk.files("results")
    (desk.path / "results/album/b/copy.wav").unlink()
    assert desk.good().ran == counted(*DELIVERING, songs=1)
    after = desk.files("results")
    assert after.keys() == before.keys()
    assert {name for name in before if before[name] != after[name]} == {
        "results/summary.tsv",  # of each run that does something
        *(f"results/album/b/{name}" for name in ("copy.wav", "qc.json", "provenance.json")),
    }


def test_a_deleted_work_folder_is_no_reason_to_do_anything_again(desk):
    shutil.rmtree(desk.path / "work", ignore_errors=True)
    assert desk.good().idle


def test_reuse_false_computes_afresh_and_a_plain_run_after_it_does_nothing(desk):
    audio, before = desk.audio(), desk.files("store/stems")
    expected = Counter(convert=2, segment=2, separate=2, merge_identity=2, deliver_identity=2, report=2)
    assert desk.good("-n", reuse="false").planned == expected
    assert desk.good(reuse="false").ran == expected
    after = desk.files("store/stems")
    assert after.keys() == before.keys()
    assert not [name for name in before if before[name] == after[name]]
    assert desk.audio() == audio
    assert desk.good().idle


def test_a_second_working_directory_on_the_same_store_separates_nothing(desk, tmp_path_factory):
    other = Desk(tmp_path_factory.mktemp("other"))
    shutil.copy(desk.songs / "a.wav", other.songs / "my own name.wav")
    store = desk.path / "store"
    before = desk.files("store/stems")
    assert other.good(store=store).ran == counted(*DELIVERING, songs=1)
    assert other.audio()["my_own_name/copy.wav"] == desk.audio()["a/copy.wav"]
    assert desk.files("store/stems") == before
    assert not (other.path / "store").exists()


@pytest.mark.parametrize("state", ["fresh", "half done", "other format"])
def test_a_dry_run_lists_exactly_the_jobs_that_then_run(desk, tmp_path_factory, state):
    config: dict[str, object] = {"segment_seconds": 0.6}
    if state == "fresh":
        shutil.rmtree(desk.path / "store")
        shutil.rmtree(desk.path / "results")
    elif state == "half done":
        shutil.rmtree(desk.path / "results")
        key = min((desk.path / "store/stems").iterdir())
        shutil.rmtree(key)
    else:
        config["format"] = "flac"
    before = desk.files("songs", "results", "work", "logs", "store/stems")
    dry = desk.good("-n", **config)
    assert desk.files("songs", "results", "work", "logs", "store/stems") == before
    assert dry.planned == desk.good(**config).ran
    assert dry.planned
