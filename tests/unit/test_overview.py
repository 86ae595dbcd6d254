"""What the list of songs says of each."""

from dataclasses import replace

import pytest

from planned_songs import plan_of
from unbraid import overview
from unbraid.files import write_json
from unbraid.summary import Outcome

OK = Outcome("a b", "ok", 10.0, 1.0, 0.0, None, {}, [], "")
QUALITY = {
    "audio_seconds": 9.5,
    "models": ["htdemucs"],
    "residuals": [{"residual_db": -110.2}, {"residual_db": -30.5}, {"residual_db": None}],
    "metrics": {"vocals": {"sdr": 8.53}, "drums": {"sdr": None}},
    "warnings": ["vocals: silent."],
}


@pytest.fixture
def songs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, plan, wanted = plan_of(tmp_path, {"a b": 10, "b": 20, "c": 30}, recipe="identity")
    return plan, wanted


def deliver(song, folder, page=True):
    write_json(folder / song / "qc.json", QUALITY)
    write_json(folder / song / "provenance.json", {"tags": {"title": "A", "artist": "B"}})
    if page:
        (folder / song / "index.html").touch()


def test_a_delivered_song_is_listed_with_what_its_files_say(songs, tmp_path):
    plan, wanted = songs
    deliver("a_b", tmp_path)
    row, *_ = overview.rows(plan, wanted, {"a_b": OK}, tmp_path)
    assert row == {
        "song": "a_b", "page": "a_b/index.html", "title": "A", "artist": "B", "status": "ok", "audio_seconds": 9.5,
        "recipe": "identity", "preset": "balanced", "models": ["htdemucs"], "residual_db": -30.5, "sdr": {"vocals": 8.53},
        "warnings": ["vocals: silent."], "reason": "",
    }  # fmt: skip


def test_a_song_of_an_earlier_run_is_listed_and_so_is_one_without_a_page_or_without_anything(songs, tmp_path):
    plan, wanted = songs
    deliver("b", tmp_path, page=False)
    _, b, c = overview.rows(plan, wanted, {}, tmp_path)
    assert (b["status"], b["page"], b["audio_seconds"]) == ("ok", None, 9.5)
    assert (c["status"], c["page"], c["audio_seconds"], c["models"]) == ("", None, 30.0, ["identity"])


def test_of_a_song_that_failed_nothing_is_told_of_what_an_earlier_run_left(songs, tmp_path):
    plan, wanted = songs
    deliver("a_b", tmp_path)
    failed = replace(OK, status="failed", reason="It broke.")
    row, *_ = overview.rows(plan, wanted, {"a_b": failed}, tmp_path)
    assert (row["status"], row["reason"], row["page"], row["residual_db"], row["warnings"]) == (
        "failed", "It broke.", None, None, [],
    )  # fmt: skip


def test_addresses_are_quoted(songs, tmp_path):
    plan, _ = songs
    plan.songs["Ü#?"] = plan.songs["b"]
    deliver("Ü#?", tmp_path)
    (row,) = overview.rows(plan, ["Ü#?"], {}, tmp_path)
    assert row["page"] == "%C3%9C%23%3F/index.html"
