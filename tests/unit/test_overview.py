"""What the list of songs says of each."""

import os
from dataclasses import replace

import pytest

from planned_songs import plan_of
from unbraid import overview
from unbraid.files import write_json
from unbraid.summary import Outcome

OK = Outcome("a b", "ok", 10.0, 1.0, 0.0, None, True, {}, [], "")
LIMITS = {"residual": -10.0, "clipped": 0, "silence": 0.99, "lag": 0}
STEM = {"nonfinite_samples": 0, "frames": 1, "expected_frames": 1, "clipped_by_delivery": 0, "silent_share": 1.0}
QUALITY = {
    "audio_seconds": 9.5,
    "models": ["htdemucs"],
    "format": "wav", "recipe": "other", "preset": "fast", "mix": {"silent_share": 0.0}, "stems": {"vocals": STEM},
    "residuals": [
        {"stems": ["a"], "residual_db": level, "exact": level is None, "lag": 0} for level in (-110.2, -30.5, None)
    ],
    "metrics": {"vocals": {"sdr": 8.53}, "drums": {"sdr": None}},
}  # fmt: skip
WARNED = ["vocals: 100.0% of it is silent (qc_silence=0.99)."]


@pytest.fixture
def songs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, plan, wanted = plan_of(tmp_path, {"a b": 10, "b": 20, "c": 30}, recipe="identity")
    return plan, wanted


def deliver(song, folder, page=True, quality=QUALITY):
    (folder / song).mkdir(exist_ok=True)
    (folder / song / "vocals.wav").touch()
    write_json(folder / song / "qc.json", quality)
    write_json(folder / song / "provenance.json", {"tags": {"title": "A", "artist": "B"}})
    if page:
        (folder / song / "index.html").touch()


def test_a_delivered_song_is_listed_with_what_its_files_say(songs, tmp_path):
    plan, wanted = songs
    deliver("a_b", tmp_path)
    row, *_ = overview.rows(plan, wanted, {"a_b": OK}, tmp_path, LIMITS)
    assert row == {
        "song": "a_b", "page": "a_b/index.html", "title": "A", "artist": "B", "status": "ok", "audio_seconds": 9.5,
        "recipe": "other", "preset": "fast", "models": ["htdemucs"], "residual_db": -30.5, "sdr": {"vocals": 8.53},
        "warnings": WARNED, "reason": "",
    }  # fmt: skip


def test_a_song_of_an_earlier_run_is_listed_and_so_is_one_without_a_page_or_without_anything(songs, tmp_path):
    plan, wanted = songs
    deliver("b", tmp_path, page=False)
    _, b, c = overview.rows(plan, wanted, {}, tmp_path, LIMITS)
    assert (b["status"], b["page"], b["audio_seconds"]) == ("ok", None, 9.5)
    assert (c["status"], c["page"], c["audio_seconds"], c["models"]) == ("", None, 30.0, ["identity"])


def test_of_a_song_that_failed_nothing_is_told_of_what_an_earlier_run_left(songs, tmp_path):
    plan, wanted = songs
    deliver("a_b", tmp_path)
    failed = replace(OK, status="failed", measured=False, reason="It broke.")
    row, *_ = overview.rows(plan, wanted, {"a_b": failed}, tmp_path, LIMITS)
    assert (row["status"], row["reason"], row["page"], row["residual_db"], row["warnings"]) == (
        "failed", "It broke.", None, None, [],
    )  # fmt: skip


def test_addresses_are_quoted(songs, tmp_path):
    plan, _ = songs
    plan.songs["Ü#?"] = plan.songs["b"]
    deliver("Ü#?", tmp_path)
    (row,) = overview.rows(plan, ["Ü#?"], {}, tmp_path, LIMITS)
    assert row["page"] == "%C3%9C%23%3F/index.html"


def test_of_a_song_that_failed_for_what_was_measured_that_and_its_page_are_shown(songs, tmp_path):
    plan, wanted = songs
    deliver("a_b", tmp_path)
    row, *_ = overview.rows(plan, wanted, {"a_b": replace(OK, status="failed", reason="Beyond.")}, tmp_path, LIMITS)
    assert (row["status"], row["page"], row["warnings"]) == ("failed", "a_b/index.html", WARNED)


def test_a_residual_of_nothing_is_exact(songs, tmp_path):
    plan, wanted = songs
    deliver("b", tmp_path, quality={**QUALITY, "residuals": QUALITY["residuals"][2:]})
    _, row, _ = overview.rows(plan, wanted, {}, tmp_path, LIMITS)
    assert row["residual_db"] == "exact"


def test_stems_that_were_delivered_later_than_measured_are_not_told_of(songs, tmp_path):
    plan, wanted = songs
    deliver("b", tmp_path)
    os.utime(tmp_path / "b/vocals.wav", ns=(2**62, 2**62))
    _, row, _ = overview.rows(plan, wanted, {}, tmp_path, LIMITS)
    assert (row["status"], row["page"], row["residual_db"]) == ("", None, None)


def test_a_song_that_cannot_be_read_has_no_length(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, plan, wanted = plan_of(tmp_path, {"bad": None}, recipe="identity")
    (row,) = overview.rows(plan, wanted, {}, tmp_path, LIMITS)
    assert row["audio_seconds"] is None
