"""A run and the store: leased before it begins, told when it cannot be, noted and kept to its limits in the end."""

import os
from types import SimpleNamespace

import pytest

from test_store import keep
from unbraid import config, run, run_note, store
from unbraid.errors import UnbraidError
from unbraid.files import write_json
from unbraid.leases import leased
from unbraid.run import Run


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run.lock, "hold", lambda path: None)  # of one process: this test's runs are one
    monkeypatch.setenv(run_note.RUN, "")  # so that it is as before in the end


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
    assert run_note.reused() is None
    one.begin(["new"], ["song"])
    assert leased(tmp_path / "store") == {"old", "new"}
    assert run_note.reused() == {"old"}
    (entry,) = store.entries(tmp_path / "store")
    assert (entry.song, entry.hits) == ("song", 1)  # however the run may end
    keep(tmp_path / "store", "new")
    one.end(["song"])
    assert leased(tmp_path / "store") == set()
    assert {one.key: one.hits for one in store.entries(tmp_path / "store")} == {"old": 1, "new": 0}


def test_what_dead_runs_left_is_tidied_up_by_the_next(tmp_path):
    keep(tmp_path / "store", "old")
    left = tmp_path / "store/runs/left.json"
    write_json(left, {"machine": "gone", "user": 0, "owner": "1:1.0", "keys": ["old"]})
    os.utime(left, (0, 0))
    for name, lease in (("dead", "left.json"), ("alive", "other.json")):
        write_json(tmp_path / "store/notes" / name / "run.json", {"lease": lease})
    write_json(tmp_path / "store/runs/other.json", {"machine": "elsewhere", "user": 0, "owner": "1:1.0", "keys": []})
    (tmp_path / "store/notes/beginning").mkdir()
    made(tmp_path).begin(["new"], ["song"])
    assert not left.exists()
    assert {place.name for place in (tmp_path / "store/notes").iterdir()} == {"alive", "beginning"}


def test_a_job_that_a_killed_run_has_left_does_nothing_once_another_run_has_begun(tmp_path, monkeypatch):
    run_note.check()  # a job of a workflow that imports this one
    keep(tmp_path / "store", "old")
    made(tmp_path).begin(["new"], ["song"])
    first = os.environ[run_note.RUN]
    run_note.check()
    made(tmp_path).begin(["new"], ["song"])
    run_note.check()
    monkeypatch.setenv(run_note.RUN, first)
    with pytest.raises(UnbraidError, match="was killed, and there has been another one since"):
        run_note.check()
    (tmp_path / "work/run.json").unlink()  # the other one has ended too
    with pytest.raises(UnbraidError, match="was killed"):
        run_note.check()


def test_a_use_that_cannot_be_noted_is_a_warning_and_the_lease_ends_all_the_same(tmp_path, monkeypatch):
    keep(tmp_path / "store", "old", {"vocals.wav": 10**6})
    said = []
    one = made(tmp_path, said=said, store_limit="1kB")
    monkeypatch.setattr(store, "record", refuse)
    one.begin(["new"], ["song"])
    one.end(["song"])
    assert "Some uses cannot be noted" in said[0]
    assert "umask 002" in said[0]
    assert leased(tmp_path / "store") == set()
    assert "1 of them this very run had used: the limit is too small for it." in said[-1]


def test_a_key_that_went_while_the_run_was_planned_is_an_error_before_it_begins(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "PATIENCE", 0.2)
    with pytest.raises(UnbraidError, match=r"removed from the store .* Run again"):
        made(tmp_path).begin(["new"], ["song"])
    assert leased(tmp_path / "store") == set()


def test_a_key_that_its_remover_puts_back_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(run.time, "sleep", lambda seconds: keep(tmp_path / "store", "old"))
    made(tmp_path).begin(["new"], ["song"])


def test_what_a_killed_run_left_of_finished_keys_is_deleted(tmp_path):
    keep(tmp_path / "store", "old")
    left = [tmp_path / "work" / path for path in ("stems/old", "separated/work-old", "segments/segments-old")]
    needed = [tmp_path / "work" / path for path in ("stems/new", "separated/work-new", "segments/segments-new")]
    for path in (*left, *needed):
        path.mkdir(parents=True)
    made(tmp_path).begin(["new"], ["song"])
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in needed)


def refuse(*given, **named):
    raise PermissionError(13, "Permission denied")


def test_a_store_that_cannot_be_written_serves_a_run_that_puts_nothing_there(tmp_path, monkeypatch):
    keep(tmp_path / "store", "old")
    monkeypatch.setattr(run, "Lease", refuse)
    said = []
    one = made(tmp_path, said=said)
    one.begin([], ["song"])
    one.end(["song"])
    assert "no use and no speed is noted there, and no limit kept" in said[0]
    assert not one.notes
    with pytest.raises(
        UnbraidError, match=r"cannot be written \(Permission denied\), and 1 key\(s\) that this run needs"
    ):
        made(tmp_path).begin(["new"], ["song"])


def test_a_store_that_fails_in_the_end_is_a_warning(tmp_path, monkeypatch):
    keep(tmp_path / "store", "old")
    said = []
    one = made(tmp_path, said=said)
    one.begin(["new"], ["song"])
    monkeypatch.setattr("unbraid.cleaning.bounds", refuse)
    one.end(["song"])
    assert "could not be kept in order" in said[0]
    assert leased(tmp_path / "store") == set()
    again = made(tmp_path, said=said)
    again.begin(["new"], ["song"])
    monkeypatch.setattr("unbraid.leases.Lease.end", refuse)
    again.end(["song"])
    assert "could not be kept in order" in said[-1]


def test_limits_are_kept_in_the_end(tmp_path):
    keep(tmp_path / "store", "old", {"vocals.wav": 10**6})
    said = []
    one = made(tmp_path, said=said, store_limit="1kB")
    one.begin(["new"], ["song"])
    one.end([])
    assert said == []
    one.end(["song"])
    assert "1 key(s)" in said[0]
    assert store.entries(tmp_path / "store") == []


def test_what_a_run_tells_jobs_that_do_not_share_its_folder_is_in_the_store_until_it_ends(tmp_path, monkeypatch):
    monkeypatch.delenv(run_note.PLACE, raising=False)
    run_note.share("store")
    place = run_note.folder()
    assert place.is_absolute()
    assert place.parent == tmp_path / "store/notes"
    keep(tmp_path / "store", "old")
    one = made(tmp_path)
    one.begin(["new"], ["song"])
    assert not (tmp_path / "work").exists()
    # A job, which is given the variable and has another folder.
    (tmp_path / "pod").mkdir()
    monkeypatch.chdir(tmp_path / "pod")
    assert run_note.reused() == {"old"}
    monkeypatch.chdir(tmp_path)
    one.end(["song"])
    assert not place.exists()
