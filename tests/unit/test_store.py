"""The store as a cache: what is listed, noted, found damaged and taken out."""

import json
import os
from datetime import UTC, datetime, timedelta

import pytest

from unbraid import cache, run_note, store
from unbraid.files import read_json, sha256, write_json
from unbraid.leases import Lease
from unbraid.publish import publish

LONG_AGO = datetime(2020, 1, 2, 3, 4, tzinfo=UTC)


def keep(place, key, sizes=None, model="htdemucs", created=LONG_AGO, finished=True):
    """A key with files of these sizes, made at `created`."""
    folder = place / "stems" / key
    folder.mkdir(parents=True)
    for name, size in (sizes or {"vocals.wav": 10}).items():
        (folder / name).write_bytes(b"x" * size)
    files = {path.name: {"bytes": path.stat().st_size, "sha256": sha256(path)} for path in folder.iterdir()}
    manifest = {"stage": "merge", "model": model, "created": created.isoformat(), "files": files}
    if finished:
        write_json(folder / store.MANIFEST, manifest)
    for path in (folder, *folder.glob(store.MANIFEST)):
        os.utime(path, (created.timestamp(), created.timestamp()))
    return folder


def test_a_key_is_complete_once_its_manifest_and_all_its_stems_are_there(tmp_path):
    complete = store.complete_in(tmp_path)
    (tmp_path / "stems" / "k").mkdir(parents=True)
    (tmp_path / "stems" / "k" / "vocals.wav").touch()
    assert not complete("k", ("vocals",))
    (tmp_path / "stems" / "k" / store.MANIFEST).write_text("{")
    assert not complete("k", ("vocals",))
    write_json(tmp_path / "stems" / "k" / store.MANIFEST, {"stage": "merge"})
    assert complete("k", ("vocals",))
    assert not complete("k", ("vocals", "drums"))


def test_a_store_that_is_not_there_holds_nothing(tmp_path):
    assert store.entries(tmp_path / "none") == []
    assert "holds nothing" in cache.listing(tmp_path / "none")
    assert cache.verify(tmp_path).endswith("0 key(s) in " + str(tmp_path) + ", 0 damaged.")


def test_an_entry_tells_what_a_key_is_and_takes(tmp_path):
    folder = keep(tmp_path, "htdemucs-1", {"vocals.wav": 1000, "drums.wav": 2000})
    (entry,) = store.entries(tmp_path)
    assert (entry.key, entry.stage, entry.model, entry.song, entry.hits) == ("htdemucs-1", "merge", "htdemucs", "", 0)
    assert entry.size == 3000 + (folder / store.MANIFEST).stat().st_size
    assert entry.created == entry.used == LONG_AGO


@pytest.mark.parametrize("created", ["long ago", 7, None])
def test_a_manifest_that_tells_no_time_is_listed_and_damaged(tmp_path, created):
    folder = keep(tmp_path, "a")
    write_json(folder / store.MANIFEST, {**read_json(folder / store.MANIFEST), "created": created})
    (entry,) = store.entries(tmp_path)
    assert entry.created.year >= 2026
    assert "cannot be read" in store.damage(tmp_path, "a")


def test_uses_are_noted_with_their_song_and_hits_are_counted(tmp_path):
    keep(tmp_path, "a")
    store.record(tmp_path, [("a", "first", False)])
    store.record(tmp_path, [("a", "album/second", True)])
    store.record(tmp_path, [("a", "Ünï ✓", True)])
    (entry,) = store.entries(tmp_path)
    assert (entry.hits, entry.song) == (2, "Ünï ✓")
    assert entry.created == LONG_AGO
    assert timedelta(0) <= datetime.now(UTC) - entry.used < timedelta(minutes=1)


def test_without_notes_the_time_of_the_files_serves(tmp_path):
    folder = keep(tmp_path, "a")
    later = LONG_AGO + timedelta(days=40)
    os.utime(folder / store.MANIFEST, (later.timestamp(), later.timestamp()))
    assert store.entries(tmp_path)[0].used == later


def test_the_least_recently_used_comes_first(tmp_path):
    for day, key in enumerate("abc"):
        keep(tmp_path, key, created=LONG_AGO + timedelta(days=day))
    store.record(tmp_path, [("a", "song", True)])
    assert [entry.key for entry in store.entries(tmp_path)] == ["b", "c", "a"]


@pytest.mark.parametrize(
    "line", [b"\xff\xfe", b"{", b"[]", b'{"time": "soon", "song": "s", "hit": true}', b'{"time": 3}', b"null"]
)
def test_a_note_that_is_spoilt_costs_itself_only(tmp_path, line):
    keep(tmp_path, "a")
    store.record(tmp_path, [("a", "song", True)])
    with open(tmp_path / "used/a", "ab") as file:
        file.write(line + b"\n")
    store.record(tmp_path, [("a", "next", True)])
    (entry,) = store.entries(tmp_path)
    assert (entry.song, entry.hits) == ("next", 2)


def test_what_is_not_finished_is_listed_as_such_and_never_called_damaged(tmp_path):
    keep(tmp_path, "a", finished=False)
    (entry,) = store.entries(tmp_path)
    assert (entry.stage, entry.model) == ("", "")
    assert "(unfinished)" in cache.listing(tmp_path)
    assert store.damage(tmp_path, "a") == ""
    cache.verify(tmp_path)
    assert len(store.entries(tmp_path)) == 1


def flip(folder):
    content = bytearray((folder / "vocals.wav").read_bytes())
    content[3] ^= 1
    (folder / "vocals.wav").write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (flip, "vocals.wav has changed"),
        (lambda folder: (folder / "vocals.wav").write_bytes(b"short"), "vocals.wav has another size"),
        (lambda folder: (folder / "vocals.wav").unlink(), "vocals.wav is missing"),
        (lambda folder: (folder / store.MANIFEST).write_text("{"), "manifest.json cannot be read"),
        (lambda folder: (folder / store.MANIFEST).write_text(json.dumps({"files": 3})), "manifest.json cannot be read"),
    ],
)
def test_a_damaged_key_is_found_told_and_taken_out_whole(tmp_path, spoil, problem):
    keep(tmp_path, "good")
    folder = keep(tmp_path, "bad")
    store.record(tmp_path, [("bad", "song", True)])
    assert store.damage(tmp_path, "bad") == ""
    spoil(folder)
    assert store.damage(tmp_path, "bad") == problem
    text = cache.verify(tmp_path)
    assert f"bad: {problem}" in text
    assert text.endswith("2 key(s) in " + str(tmp_path) + ", 1 damaged.")
    assert [entry.key for entry in store.entries(tmp_path)] == ["good"]
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [store.MANIFEST, "vocals.wav"]


def test_a_key_that_is_taken_out_is_never_seen_in_part(tmp_path, monkeypatch):
    keep(tmp_path, "a")

    def fail(path, ignore_errors):
        assert store.entries(tmp_path) == []
        raise OSError("the power went")

    monkeypatch.setattr(store.shutil, "rmtree", fail)
    with pytest.raises(OSError, match="power"):
        store.remove(tmp_path, "a")
    assert store.entries(tmp_path) == []


def test_a_key_that_goes_while_the_store_is_listed_is_passed_over(tmp_path, monkeypatch):
    folders = store._folders(tmp_path)
    keep(tmp_path, "a")
    monkeypatch.setattr(store, "_folders", lambda place: [*folders, place / "stems/gone", place / "stems/a"])
    assert [entry.key for entry in store.entries(tmp_path)] == ["a"]


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0.00 B"), (999, "999 B"), (1_234_567, "1.23 MB"), (5 * 10**9, "5.00 GB")]
)
def test_sizes_are_for_people(count, text):
    assert cache.size(count) == text


def making(folder, text="x", manifest=True):
    """The files of a key that a job has made."""
    folder.mkdir(parents=True)
    (folder / "vocals.wav").write_text(text)
    if manifest:
        write_json(folder / store.MANIFEST, {"text": text})
    return sorted(folder.iterdir())


def published(place, key):
    return (place / "stems" / key / "vocals.wav").read_text()


@pytest.mark.parametrize("links", [True, False], ids=["one file system", "two"])
def test_a_key_is_published_whole_and_its_files_are_the_jobs_own_no_longer(tmp_path, monkeypatch, links):
    if not links:
        monkeypatch.setattr(
            store.os, "link", lambda *given: (_ for _ in ()).throw(OSError(18, "Invalid cross-device link"))
        )
    files = making(tmp_path / "work")
    store.publish(tmp_path / "store", "a", files)
    for path in files:
        path.unlink()  # as Snakemake does
    assert store.complete_in(tmp_path / "store")("a", ("vocals",))
    assert published(tmp_path / "store", "a") == "x"
    assert list((tmp_path / "store/incoming").iterdir()) == []


def test_a_key_that_is_there_already_stays_and_one_that_is_half_there_is_replaced(tmp_path):
    place = tmp_path / "store"
    store.publish(place, "a", making(tmp_path / "1", "first"))
    store.publish(place, "a", making(tmp_path / "2", "second"))
    assert published(place, "a") == "first"
    making(place / "stems" / "b", "half", manifest=False)
    store.publish(place, "b", making(tmp_path / "3", "whole"))
    assert published(place, "b") == "whole"
    for spoil in (
        lambda: (place / "stems/b/vocals.wav").unlink(),
        lambda: (place / "stems/b/manifest.json").write_text("{"),
    ):
        spoil()
        store.publish(place, "b", making(tmp_path / f"{spoil}", "again"))
        assert published(place, "b") == "again"
        assert store.complete_in(place)("b", ("vocals",))
    assert list((place / "removed").iterdir()) == list((place / "incoming").iterdir()) == []


def test_a_key_that_is_there_already_stays_also_where_the_file_system_only_says_that_it_failed(tmp_path, monkeypatch):
    place = tmp_path / "store"
    store.publish(place, "a", making(tmp_path / "1", "first"))

    def fails(*given):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(store.os, "rename", fails)
    store.publish(place, "a", making(tmp_path / "2", "second"))
    assert published(place, "a") == "first"
    with pytest.raises(PermissionError):
        store.publish(place, "b", making(tmp_path / "3"))
    assert list((place / "incoming").iterdir()) == []


def test_a_store_that_cannot_take_a_key_says_so_and_keeps_nothing_of_it(tmp_path, monkeypatch):
    (tmp_path / "store/stems").mkdir(parents=True)

    def full(*given):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store.os, "rename", full)
    with pytest.raises(OSError, match="No space"):
        store.publish(tmp_path / "store", "a", making(tmp_path / "1"))
    assert list((tmp_path / "store/incoming").iterdir()) == []


def test_what_is_computed_afresh_replaces_what_nobody_else_needs(tmp_path, monkeypatch):
    config = {"store": str(tmp_path / "store"), "reuse": False}
    mine = Lease(tmp_path / "store", ["a"])
    monkeypatch.setattr(run_note, "lease", lambda: mine.name)
    for text in ("first", "second"):
        publish(config, "a", making(tmp_path / text, text))
    assert published(tmp_path / "store", "a") == "second"
    monkeypatch.setattr(run_note, "lease", lambda: "")  # from here on it is another run's
    publish(config, "a", making(tmp_path / "third", "third"))
    assert published(tmp_path / "store", "a") == "second"
    mine.end()


def test_a_key_that_is_made_again_while_it_is_removed_is_the_new_one(tmp_path):
    place = tmp_path / "store"
    store.publish(place, "a", making(tmp_path / "1", "old"))

    def needed():
        if (place / "stems/a").exists():
            return set()
        store.publish(place, "a", making(tmp_path / "2", "new"))
        return {"a"}

    assert store.remove(place, "a", needed)
    assert published(place, "a") == "new"
    assert not store.remove(place, "b")


def test_what_was_abandoned_long_ago_is_deleted_and_nothing_else(tmp_path, monkeypatch):
    (tmp_path / "incoming/a.1").mkdir(parents=True)
    store.tidy(tmp_path)
    assert (tmp_path / "incoming/a.1").exists()
    monkeypatch.setattr(store, "ABANDONED", -1.0)
    store.tidy(tmp_path)
    assert list((tmp_path / "incoming").iterdir()) == []


def test_a_key_whose_leases_cannot_be_read_is_put_back(tmp_path):
    def needed():
        if not (tmp_path / "stems/a").exists():
            raise OSError("unreadable")
        return set()

    store.publish(tmp_path, "a", making(tmp_path / "1"))
    with pytest.raises(OSError, match="unreadable"):
        store.remove(tmp_path, "a", needed)
    assert published(tmp_path, "a") == "x"
