"""What there is to do for songs, how much it is, and the files that it makes."""

import pytest

from planned_songs import plan_of
from unbraid import workload
from unbraid.files import write_json


@pytest.fixture
def songs(tmp_path):
    return plan_of(tmp_path, {"a": 10, "b": 20}, recipe="stems")


def test_a_song_with_one_step_is_seven_jobs_and_a_delivered_one_none(songs):
    _, plan, wanted = songs
    assert [stage for stage, _ in workload.planned(plan, wanted, {"a"})] == [
        *("convert", "segment", "separate", "merge", "deliver", "report", "page"),
    ]
    assert len(workload.planned(plan, wanted, ())) == 14


def test_a_song_without_a_page_is_six_jobs(tmp_path):
    _, plan, wanted = plan_of(tmp_path, {"a": 1}, recipe="identity", pages=False)
    assert [stage for stage, _ in workload.planned(plan, wanted, ())] == [
        *("convert", "segment", "separate", "merge", "deliver", "report"),
    ]


def test_what_the_store_holds_is_not_done_again(tmp_path):
    _, plan, _ = plan_of(tmp_path, {"a": 1}, recipe="identity")
    (key,) = plan.songs["a"].kept
    folder = tmp_path / "store/stems" / key
    folder.mkdir(parents=True)
    write_json(folder / "manifest.json", {"stage": "merge"})
    (folder / "copy.wav").touch()
    _, plan, wanted = plan_of(tmp_path, {"a": 1}, recipe="identity")
    assert [stage for stage, _ in workload.planned(plan, wanted, ())] == ["convert", "deliver", "report", "page"]
    # Nor is what fails for others a failure of this song.
    assert {stage for stage, _ in workload.needed(plan, wanted)} == {
        *("convert", "deliver", "report", "page", "passed", "preview", "stem"),
    }


def test_songs_of_one_content_share_their_jobs_and_the_first_one_has_them(tmp_path):
    _, plan, wanted = plan_of(tmp_path, {"a": 1})
    (tmp_path / "songs/again.wav").write_bytes((tmp_path / "songs/a.wav").read_bytes())
    _, plan, wanted = plan_of(tmp_path, {"a": 1})
    users = workload.needed(plan, wanted)
    (key,) = plan.songs["a"].kept
    assert users["merge", key] == ["a", "again"]
    assert users["deliver", "again"] == ["again"]


def test_the_store_takes_all_stems_as_floats_at_the_songs_own_rate(songs):
    _, plan, _ = songs
    (key,) = plan.songs["a"].kept
    assert workload.stored(plan, ("merge", key)) == 10 * 8000 * 1 * 4 * 4
    assert workload.stored(plan, ("deliver", "a")) == 0


def test_work_takes_the_mix_what_the_network_sees_and_what_it_gives(songs):
    _, plan, _ = songs
    (made,) = plan.songs["a"].separations.values()
    shown = 10 * 44100 * 2 * 4
    assert workload.passing(plan, ("convert", plan.songs["a"].mix.key)) == 10 * 8000 * 4
    assert workload.passing(plan, ("segment", made.segments.key)) == shown
    assert workload.passing(plan, ("separate", made.work)) == 4 * shown


def test_a_song_in_the_models_format_is_linked_and_takes_nothing(tmp_path):
    _, plan, _ = plan_of(tmp_path, {"a": 1}, recipe="identity")
    (made,) = plan.songs["a"].separations.values()
    assert workload.passing(plan, ("segment", made.segments.key)) == 0
    assert workload.size(plan, ("segment", made.segments.key))[0] == "as it is"


@pytest.mark.parametrize(("depth", "size"), [("16", 2), ("24", 3), ("float", 4)])
def test_results_take_their_depth(songs, depth, size):
    _, plan, _ = songs
    assert workload.delivered(plan, ("deliver", "a"), depth) == 10 * 8000 * 5 * size
    assert workload.delivered(plan, ("report", "a"), depth) == 0
    assert workload.delivered(plan, ("page", "a"), depth) == 10 * workload.PAGE + workload.PICTURES


def test_work_goes_with_the_samples_and_files_of_a_song(songs):
    _, plan, _ = songs
    (made,) = plan.songs["a"].separations.values()
    assert workload.size(plan, ("convert", plan.songs["a"].mix.key)) == ("", 0.08)
    assert workload.size(plan, ("merge", made.key)) == ("resampled", 0.08 * 4)
    assert workload.size(plan, ("deliver", "a")) == ("wav", 0.08 * 5)
    assert workload.size(plan, ("report", "b")) == ("", 0.16 * 6)
    assert workload.size(plan, ("model", "htdemucs")) == ("", 0.0)
