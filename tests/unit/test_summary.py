"""What became of the songs of a run."""

import os
from pathlib import Path

import pytest

from planned_songs import plan_of
from unbraid import summary, workload
from unbraid.errors import UnbraidError
from unbraid.files import write_json
from unbraid.forecast import Expected
from unbraid.measured import Ran

RESULTS = Path("results")
LIMITS = {"residual": -10.0, "clipped": 0, "silence": 0.99, "lag": 0}


@pytest.fixture
def songs(tmp_path):
    _, plan, wanted = plan_of(tmp_path, {"a": 10, "b": 20, "c": 30}, recipe="identity", pages=False)
    return plan, {song: Expected(1.0, 2.0) for song in wanted}, workload.planned(plan, wanted, ())


def of(plan, song):
    """The jobs of a song, in their order."""
    return workload.planned(plan, [song], ())


def test_each_song_is_ok_failed_with_its_reason_or_skipped(songs):
    plan, expected, jobs = songs
    ran = [Ran(job, 0.0, 0.5) for job in [*of(plan, "a"), *of(plan, "b")[:2]]]
    ran[0] = Ran(ran[0].job, 0.0, 0.0)  # --drop-metadata
    failed = {of(plan, "b")[2]: "stage separate: It broke. Mend it."}
    found = {one.song: one for one in summary.outcomes(plan, expected, jobs, ran, failed, RESULTS, LIMITS)}
    assert [(one.status, one.wall) for one in found.values()] == [("ok", 2.5), ("failed", 1.0), ("skipped", 0.0)]
    assert found["b"].reason == "stage separate: It broke. Mend it."
    assert "ended before" in found["c"].reason
    assert (found["a"].audio, found["a"].cached, found["a"].estimated) == (10.0, 0.0, 3.0)


def test_what_fails_for_several_songs_is_told_of_each(songs):
    plan, expected, jobs = songs
    (model,) = plan.models
    found = summary.outcomes(plan, expected, jobs, [], {("model", model): "no network"}, RESULTS, LIMITS)
    assert [(one.status, one.reason) for one in found] == [("failed", "no network")] * 3


def test_a_job_that_songs_share_counts_once(tmp_path):
    _, plan, wanted = plan_of(tmp_path, {"a": 1}, recipe="identity", pages=False)
    (tmp_path / "songs/same.wav").write_bytes((tmp_path / "songs/a.wav").read_bytes())
    _, plan, wanted = plan_of(tmp_path, {"a": 1}, recipe="identity", pages=False)
    jobs = workload.planned(plan, wanted, ())
    expected = {song: Expected() for song in wanted}
    found = summary.outcomes(plan, expected, jobs, [Ran(job, 0.0, 1.0) for job in jobs], {}, RESULTS, LIMITS)
    assert [(one.song, one.status, one.wall) for one in found] == [("a", "ok", 6.0), ("same", "ok", 2.0)]


def test_the_reason_is_the_last_error_of_the_log_and_a_killed_job_has_one_too(tmp_path):
    log = tmp_path / "job.log"
    log.write_text(
        "2026 INFO 5%\n2026 ERROR old\n2026 ERROR song 'x/y', stage convert: It is empty.\n Copy it again.\n"
    )
    assert summary.reason(log) == "stage convert: It is empty. Copy it again."
    log.write_text("2026 INFO 5%\n")
    assert "may have been killed" in summary.reason(log)
    assert str(log) in summary.reason(log)
    assert "left no log" in summary.reason(tmp_path / "none.log")


def test_the_file_is_a_table_and_the_terminal_gets_totals_and_reasons(tmp_path, songs):
    plan, expected, jobs = songs
    expected["b"] = Expected(None)
    ran = [Ran(job, 0.0, 0.5) for job in of(plan, "a")]
    found = summary.outcomes(plan, expected, jobs, ran, {of(plan, "b")[0]: "It broke."}, RESULTS, LIMITS)
    file = tmp_path / "results/summary.tsv"
    summary.write(file, found)
    assert [line.split("\t") for line in file.read_text().splitlines()] == [
        list(summary.COLUMNS),
        ["a", "ok", "10.0", "3.0", "3.33", "0.00", "3.0", "", "", ""],
        ["b", "failed", "20.0", "0.0", "", "0.00", "?", "", "", "It broke."],
        ["c", "skipped", "30.0", "0.0", "", "0.00", "3.0", "", "", "The run ended before it was done."],
    ]
    assert summary.told(found, 75.0, 60.0, file) == [
        f"Songs: 1 ok, 1 failed, 1 skipped; took 1:15 min (estimated 1:00 min). See {file}.",
        "Failed: b: It broke.",
    ]
    assert "no estimate" in summary.told(found, 75.0, None, file)[0]
    assert summary.shown(file).splitlines()[1].split() == ["a", "ok", "10.0", "3.0", "3.33", "0.00", "3.0"]


def test_a_thousand_failures_do_not_fill_the_terminal(songs):
    plan, expected, jobs = songs
    one = summary.outcomes(plan, expected, jobs, [], {of(plan, "b")[0]: "It broke."}, RESULTS, LIMITS)[1]
    lines = summary.told([one] * 1000, 1.0, 1.0, "summary.tsv")
    assert len(lines) == summary.TOLD + 2
    assert "980 more" in lines[-1]


def test_before_the_first_run_there_is_no_summary(tmp_path):
    with pytest.raises(UnbraidError, match="at the end of a run"):
        summary.shown(tmp_path / "summary.tsv")


def test_what_was_measured_against_true_stems_and_what_is_beyond_its_limits_is_told(tmp_path, songs, monkeypatch):
    plan, expected, jobs = songs
    monkeypatch.chdir(tmp_path)
    stem = {"nonfinite_samples": 0, "frames": 1, "expected_frames": 1, "clipped_by_delivery": 0, "silent_share": 1.0}
    quality = {
        "metrics": {"v": {"sdr": 8.534}, "w": {"sdr": None}}, "residuals": [], "mix": {"silent_share": 0.0}, "stems": {"v": stem},
    }  # fmt: skip
    for song in ("a", "b", "c"):
        write_json(RESULTS / f"{song}/qc.json", quality)
    words = "v: 100.0% of it is silent (qc_silence=0.99)."
    ran = [Ran(job, 0.0, 0.5) for job in [*of(plan, "a"), *of(plan, "c")]]
    failed = {of(plan, "b")[0]: "It broke.", ("passed", "c"): f"Not as it should be. {words}"}
    found = summary.outcomes(plan, expected, jobs, ran, failed, RESULTS, LIMITS)
    summary.write(Path("summary.tsv"), found)
    head, *rows = (line.split("\t") for line in Path("summary.tsv").read_text().splitlines())
    a, b, c = (dict(zip(head, row, strict=True)) for row in rows)
    assert (a["status"], a["sdr"], a["warnings"]) == ("ok", "v=8.53 w=?", words)
    assert (b["status"], b["sdr"], b["warnings"]) == ("failed", "", "")  # what lies there is of an earlier run
    assert (c["status"], c["sdr"], c["warnings"]) == ("failed", "v=8.53 w=?", words)
    assert summary.told(found, 1.0, None, Path("t"))[1:] == [
        "Failed: b: It broke.",
        f"Failed: c: Not as it should be. {words}",
        f"Warning: a: {words}",
    ]


def test_only_the_first_of_many_are_told_on_the_terminal(songs):
    bad = [summary.Outcome(str(n), "failed", 1.0, 0.0, 0.0, None, False, {}, [], "why") for n in range(23)]
    assert summary.told(bad, 1.0, None, Path("t"))[-2:] == ["Failed: 19: why", "… and 3 more failed songs"]


def test_of_jobs_that_failed_together_those_are_told_of_that_say_why(tmp_path):
    logs = {}
    for number, (stage, text) in enumerate(
        [("convert", ""), ("segment", "x ERROR It is empty.\n"), ("merge", "x INFO\n")]
    ):
        logs[(stage, "key")] = tmp_path / f"{stage}.log"
        logs[(stage, "key")].write_text(text)
        os.utime(logs[(stage, "key")], (number, number))
    logs[("report", "song")] = tmp_path / "none.log"
    assert summary.reasons(logs, 0) == {("segment", "key"): "It is empty."}
    del logs[("segment", "key")]
    assert set(summary.reasons(logs, 0)) == set(logs)
    assert all("may have been killed" in reason for reason in summary.reasons(logs, 0).values())


def test_a_log_of_an_earlier_run_is_no_reason(tmp_path):
    log = tmp_path / "old.log"
    log.write_text("x ERROR It was broken.\n")
    os.utime(log, (10, 10))
    (reason,) = summary.reasons({("merge", "key"): log}, 11).values()
    assert "broken" not in reason
    assert "left no log" in reason


def test_of_several_errors_of_a_song_the_latest_comes_last(tmp_path):
    logs = {(stage, "key"): tmp_path / f"{stage}.log" for stage in ("merge", "convert")}
    for time, (stage, log) in enumerate(logs.items()):
        log.write_text(f"x ERROR of {stage[0]}\n")
        os.utime(log, (10 - time, 10 - time))
    assert list(summary.reasons(logs, 0).values()) == ["of convert", "of merge"]
