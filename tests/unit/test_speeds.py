"""What is known of a machine's speed: lines in the store, by whoever wrote them and however broken."""

import json
import multiprocessing
from pathlib import Path

import pytest

from planned_songs import plan_of
from unbraid import speeds, workload
from unbraid.speeds import Speeds

HOME = Path(__file__).parents[2]


def line(stage="convert", what="", units=10.0, seconds=1.0, **more):
    return {"stage": stage, "what": what, "units": units, "seconds": seconds, **more}


def network(units=2, seconds=6.0, **changes):
    made = {
        "settings": {"precision": "fast"},
        "gpu": False,
        "device": "cpu",
        "engine": "openvino",
        "threads": 2,
        "passes": 1,
        "chunk_seconds": 7.8,
    }
    return line("separate", "net", units, seconds, **{**made, **changes})


def test_what_is_noted_is_read_again_in_its_order(tmp_path):
    file = speeds.place(tmp_path)
    speeds.note(file, [line(seconds=1.0), network()])
    speeds.note(file, [line(seconds=2.0)])
    assert speeds.read(file) == [line(seconds=1.0), network(), line(seconds=2.0)]
    assert file.parent == tmp_path / "speeds"


def test_a_machine_without_notes_knows_nothing(tmp_path):
    assert speeds.read(tmp_path / "none") == []
    assert Speeds([], []).cost("convert") is None
    assert Speeds([], []).network("net", {}, gpu=False) is None
    assert Speeds([], []).least("load", "net") is None


@pytest.mark.parametrize(
    "broken",
    [b"# a comment", b"\xff\xfe", b"{", b"[]", b"3", b'{"stage": "convert"}', b'{"stage": [], "what": "", "units": 1}'],
)
def test_a_broken_line_costs_itself_only(tmp_path, broken):
    file = tmp_path / "speeds"
    speeds.note(file, [line()])
    with open(file, "ab") as opened:
        opened.write(broken + b"\n")
    speeds.note(file, [line(seconds=2.0)])
    assert [one["seconds"] for one in speeds.read(file)] == [1.0, 2.0]


@pytest.mark.parametrize(
    "spoilt", [line(units=-1), line(seconds=float("nan")), line(seconds=float("inf")), network(chunk_seconds=0)]
)
def test_impossible_numbers_are_passed_over(tmp_path, spoilt):
    speeds.note(tmp_path / "speeds", [spoilt])
    assert speeds.read(tmp_path / "speeds") == []


def note_many(file, number):
    for index in range(200):
        speeds.note(file, [line(what=f"{number}.{index}")])


def test_several_runs_may_note_at_once(tmp_path):
    file = tmp_path / "speeds"
    with multiprocessing.get_context("fork").Pool(4) as pool:
        pool.starmap(note_many, [(file, number) for number in range(4)])
    assert len({one["what"] for one in speeds.read(file)}) == 800


def test_a_long_history_is_read_from_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(speeds, "READ", 1000)
    speeds.note(tmp_path / "speeds", [line(seconds=float(index)) for index in range(1000)])
    found = speeds.read(tmp_path / "speeds")
    assert 5 < len(found) < 20
    assert found[-1]["seconds"] == 999


def test_this_machine_comes_before_what_ships_and_what_ships_is_told():
    known = Speeds([line(units=1, seconds=1.0)], [line(units=1, seconds=9.0), line("merge", units=1, seconds=3.0)])
    assert known.cost("convert").of(1) == pytest.approx(1)
    assert not known.borrowed
    assert known.cost("merge").of(1) == pytest.approx(3)
    assert known.borrowed


def test_while_songs_are_of_one_length_what_ships_tells_how_much_longer_songs_take():
    shipped = [line(units=1, seconds=1.1), line(units=11, seconds=2.1)]
    known = Speeds([line(units=0.5, seconds=0.65)], shipped)
    assert known.cost("convert").of(10) == pytest.approx(0.6 + 10 * 0.1)
    assert not known.borrowed


def test_an_unknown_kind_of_a_stage_is_taken_to_be_like_another_and_no_stage_like_another_stage():
    known = Speeds([line("deliver", "wav", 1, 1.0)], [line("merge", "", 1, 2.0)])
    assert known.cost("deliver", "flac").of(1) == pytest.approx(1)
    assert known.cost("merge", "resampled").of(1) == pytest.approx(2)
    assert known.cost("report") is None


def test_a_network_is_known_by_model_device_and_settings_that_matter_for_speed():
    known = Speeds([network()], [])
    assert known.network("net", {"precision": "fast", "overlap": 0.5, "shifts": 3, "seed": 0}, gpu=False)
    assert known.network("net", {"precision": "exact"}, gpu=False) is None
    assert known.network("net", {"precision": "fast"}, gpu=True) is None
    assert known.network("other", {"precision": "fast"}, gpu=False) is None


def test_the_engine_and_threads_of_the_latest_measurement_count():
    torch = {"engine": "torch", "threads": 2}
    known = Speeds([network(1, 9.0, engine="torch", threads=8), network(1, 3.0, **torch), network(2, 6.0, **torch)], [])
    found = known.network("net", {"precision": "fast"}, gpu=False)
    assert (found.cost.of(10), found.aside) == (pytest.approx(30), False)
    assert Speeds([network()], []).network("net", {"precision": "fast"}, gpu=False).aside


def test_loading_is_the_least_ever_because_the_first_may_have_compiled():
    loads = [line("load", "net", 1, 40.0), line("load", "net", 1, 5.0), line("load", "net", 1, 6.0)]
    assert Speeds(loads, []).least("load", "net") == 5
    assert Speeds(loads[:1], loads[2:]).least("load", "net") == 6


def test_what_ships_is_whole():
    written = (HOME / "config" / speeds.SHIPPED).read_text().splitlines()
    found = speeds.read(HOME / "config" / speeds.SHIPPED)
    assert found == [json.loads(text) for text in written if not text.startswith("#")]
    assert {"convert", "segment", "separate", "merge", "deliver", "report", "load", "run"} <= {
        one["stage"] for one in found
    }


def test_the_shipped_speeds_know_every_stage_of_the_default_recipe_so_that_a_first_plan_has_an_estimate(tmp_path):
    _, plan, wanted = plan_of(tmp_path, {"a": 1}, recipe="stems")
    known = {one["stage"] for one in speeds.read(HOME / "config" / speeds.SHIPPED)}
    assert {stage for stage, _ in workload.planned(plan, wanted, ())} <= known
