"""The plan as people see it, and the warnings when a run does not fit the machine."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from planned_songs import plan_of
from unbraid import plan_table, room
from unbraid.files import write_json
from unbraid.forecast import Expected, Machine

HERE = Machine(cores=4, here=True, device="cpu")


@pytest.fixture
def songs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return plan_of(tmp_path, {"a": 10, "b": 20, "bad": None}, recipe="identity")


def deliver(plan, song, **changes):
    sources = {
        stem: [[one.coefficient, one.key, one.stem] for one in terms] for stem, terms in plan.songs[song].stems.items()
    }
    folder = Path("results") / song
    made = plan.songs[song]
    told = {
        "recipe": made.recipe.name, "preset": made.preset, "delivery": made.delivery, "stems": sources, "references": {},
    }  # fmt: skip
    write_json(folder / "provenance.json", {**told, **changes})
    for name in ("qc.json", "index.html", "copy.wav"):
        (folder / name).touch()


def keep(plan, song):
    for key in plan.songs[song].kept:
        folder = Path("store/stems") / key
        folder.mkdir(parents=True)
        write_json(folder / "manifest.json", {"stage": "merge"})
        (folder / "copy.wav").touch()


def test_a_row_tells_what_a_song_is_and_what_it_takes(songs):
    _, plan, _ = songs
    expected = {"a": Expected(1.0, 2.5, 1.0, 1000, 500, 250), "b": Expected(None, 1.0), "bad": Expected()}
    assert plan_table.rows(plan, expected, set()) == [
        ("a", "10.0", "1", "1", "0/1", "to run", "3.5", "1250"),
        ("b", "20.0", "1", "1", "0/1", "to run", "?", "0"),
        ("bad", "0.0", "1", "1", "0/1", "unreadable", "0.0", "0"),
    ]


def test_a_song_is_delivered_when_its_files_are_made_of_the_keys_of_the_plan(songs, tmp_path):
    _, plan, wanted = songs
    keep(plan, "a")
    deliver(plan, "a")
    _, plan, _ = plan_of(tmp_path, {}, recipe="identity")
    assert plan_table.delivered(plan, wanted) == {"a"}
    deliver(plan, "b")  # whose key the store has lost, which is no reason to make it again
    assert plan_table.delivered(plan, wanted) == {"a", "b"}
    for other in ({"format": "flac"}, {"bit_depth": "24"}, {"clip": "clip"}, {"preset": "fast"}):
        _, changed, _ = plan_of(tmp_path, {}, **{"recipe": "identity", **other})
        assert plan_table.delivered(changed, wanted) == set()
    assert [row[5] for row in plan_table.rows(plan, {"a": Expected(), "b": Expected()}, {"a"})] == [
        "delivered",
        "to run",
    ]
    deliver(plan, "a", stems={"copy": [[1, "another", "copy"]]})
    assert plan_table.delivered(plan, ["a"]) == set()
    assert plan_table.rows(plan, {"a": Expected()}, set())[0][4:6] == ("1/1", "cached")
    Path("results/a/provenance.json").write_text("[")
    assert plan_table.delivered(plan, ["a"]) == set()


def test_the_notes_tell_totals_device_and_what_is_missing():
    needed = {Path("store"): 2e9, Path("work"): 0.0}
    told = plan_table.notes(
        {"a": Expected()}, 125.0, needed, HERE, audio=60, done=0, fetched=["net"], borrowed=True, warnings=["Beware."]
    )
    text = "\n".join(told)
    for words in ("1 songs (1:00 min", "Time: 2:05 min, on the CPU of this machine", "4 cores", "store 2.00 GB", "net"):
        assert words in text
    assert "what is in work goes with the run" in text
    assert text.endswith("Warning: Beware.")
    reasons = {f"s{number}": "It is empty." for number in range(plan_table.TOLD + 1)}
    more = plan_table.notes({}, 1.0, needed, HERE, audio=60, done=0, unreadable=reasons, kept=True)
    assert "what is in work stays (keep: all)" in more[2]
    assert "Unreadable: s0: It is empty." in more
    assert more[-1] == "… and 1 more unreadable songs"
    assert plan_table.BORROWED in told
    unknown = plan_table.notes({"a": Expected()}, None, needed, HERE, audio=60, done=0, borrowed=True)
    assert unknown[1].startswith("Time: ? ")
    assert plan_table.BORROWED not in unknown


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59, "59 s"), (60, "1:00 min"), (754.6, "12:35 min"), (7500, "2:05:00 h")]
)
def test_durations_are_for_people(seconds, text):
    assert plan_table.duration(seconds) == text


def test_the_file_has_every_song_and_the_terminal_the_first_ones(tmp_path):
    table = [(f"s{index}", "1.0", "1", "1", "0/1", "to run", "2.0", "3000") for index in range(1000)]
    plan_table.write(tmp_path / "plan.tsv", table, ["All of it."])
    lines = (tmp_path / "plan.tsv").read_text().splitlines()
    assert lines[:2] == ["# All of it.", "\t".join(plan_table.COLUMNS)]
    assert [tuple(line.split("\t")) for line in lines[2:]] == table
    shown = plan_table.shown(table, ["All of it."]).splitlines()
    assert len(shown) == 1 + plan_table.SHOWN + 3
    assert "950 more songs" in shown[-3]
    assert shown[1].endswith("3.00 kB")
    assert "more songs" not in plan_table.shown(table[:2], [])


def test_what_lies_on_one_disk_is_summed_before_it_is_compared(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10_000))
    store = tmp_path / "not/yet/there"
    expected = [Expected(stored=2000, passing=1000, delivered=1000), Expected(stored=2000, passing=2000)]
    needed = room.needs(expected, store)
    assert needed == {store: 4000, Path("work"): 3000, Path("results"): 1000}
    assert room.disk_warnings(needed) == []
    (warning,) = room.disk_warnings({**needed, Path("results"): 4000})
    for words in ("11.0 kB", "10.0 kB are free", "work 3.00 kB", "results 4.00 kB", "store="):
        assert words in warning


def test_a_machine_with_too_little_memory_is_told_of(monkeypatch):
    network = SimpleNamespace(model=SimpleNamespace(name="net", weights=("w",)))
    none = SimpleNamespace(model=SimpleNamespace(name="identity", weights=()))
    monkeypatch.setattr(room.shares, "memory_here", lambda: 4000)
    (warning,) = room.memory_warnings([network, none])
    assert "6000 MB (net)" in warning
    assert "4000 MB" in warning
    assert room.memory_warnings([none]) == []
    monkeypatch.setattr(room.shares, "memory_here", lambda: 8000)
    assert room.memory_warnings([network]) == []


def test_where_a_run_computes_is_told():
    assert "the CPU of this machine (device=cpu), 4 cores" in str(HERE)
    assert "the GPU of this machine" in str(Machine(4, True, "cuda"))
    assert "sent to" in str(Machine(4, False, "auto"))
