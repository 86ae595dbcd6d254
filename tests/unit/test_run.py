"""A run and the store: leased before it begins, told when it cannot be, noted and kept to its limits in the end."""

from types import SimpleNamespace

import pytest

from test_store import keep
from unbraid import config, run, run_note, store
from unbraid.errors import UnbraidError
from unbraid.leases import leased
from unbraid.run import Run


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run.lock, "hold", lambda path: None)  # of one process: this test's runs are one


def separation(key, *, complete):
    return SimpleNamespace(
        key=key, work=f"work-{key}", segments=SimpleNamespace(key=f"segments-{key}"), complete=complete
    )


def made(tmp_path, complete=("old",), missing=("new",), said=None, **written):
    separations = {key: separation(key, complete=True) for key in complete}
    separations |= {key: separation(key, complete=False) for key in missing}
    kept = {key: one.complete for key, one in separations.items()}
    plan = SimpleNamespace(separations=separations, ensembles={}, songs={"song": SimpleNamespace(kept=kept)})
    said = [] if said is None else said
    settings = config.load({"store": str(tmp_path / "store"), **written})
    return Run(settings, plan, said.append, said.append)


def test_a_run_leases_what_it_needs_and_tells_its_jobs_what_was_there(tmp_path):
    keep(tmp_path / "store", "old")
    one = made(tmp_path)
    assert run_note.reused() == set()
    one.begin(["new"], songs=True)
    assert leased(tmp_path / "store") == {"old", "new"}
    assert run_note.reused() == {"old"}
    one.end(["song"])
    assert leased(tmp_path / "store") == set()
    (entry,) = store.entries(tmp_path / "store")
    assert (entry.song, entry.hits) == ("song", 1)


def test_a_run_that_does_nothing_for_songs_needs_no_key(tmp_path):
    one = made(tmp_path, complete=("gone",))
    one.begin([], songs=False)
    assert leased(tmp_path / "store") == set()
    one.end([])


def test_a_key_that_went_while_the_run_was_planned_is_an_error_before_it_begins(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "PATIENCE", 0.2)
    with pytest.raises(UnbraidError, match=r"removed from the store .* Run again"):
        made(tmp_path).begin(["new"], songs=True)
    assert leased(tmp_path / "store") == set()


def test_a_key_that_its_remover_puts_back_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(run.time, "sleep", lambda seconds: keep(tmp_path / "store", "old"))
    made(tmp_path).begin(["new"], songs=True)


def test_what_a_killed_run_left_of_finished_keys_is_deleted(tmp_path):
    keep(tmp_path / "store", "old")
    left = [tmp_path / "work" / path for path in ("stems/old", "separated/work-old", "segments/segments-old")]
    needed = [tmp_path / "work" / path for path in ("stems/new", "separated/work-new", "segments/segments-new")]
    for path in (*left, *needed):
        path.mkdir(parents=True)
    made(tmp_path).begin(["new"], songs=True)
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in needed)


def refuse(*given):
    raise PermissionError(13, "Permission denied")


def test_a_store_that_cannot_be_written_serves_a_run_that_puts_nothing_there(tmp_path, monkeypatch):
    keep(tmp_path / "store", "old")
    monkeypatch.setattr(run, "Lease", refuse)
    said = []
    one = made(tmp_path, said=said)
    one.begin([], songs=True)
    one.end(["song"])
    assert said == []
    with pytest.raises(UnbraidError, match=r"cannot be written \(Permission denied\), and 1 keys that this run needs"):
        made(tmp_path).begin(["new"], songs=True)


def test_a_store_that_fails_in_the_end_is_a_warning(tmp_path, monkeypatch):
    keep(tmp_path / "store", "old")
    said = []
    one = made(tmp_path, said=said)
    one.begin(["new"], songs=True)
    monkeypatch.setattr(store, "record", refuse)
    one.end(["song"])
    assert "could not be kept in order" in said[0]


def test_limits_are_kept_in_the_end(tmp_path):
    keep(tmp_path / "store", "old", {"vocals.wav": 10**6})
    said = []
    one = made(tmp_path, said=said, store_limit="1kB")
    one.begin(["new"], songs=True)
    one.end([])
    assert said == []
    one.end(["song"])
    assert "1 keys" in said[0]
    assert store.entries(tmp_path / "store") == []
