"""Pages to hear and see stems on, the list of songs, and Snakemake's report, through the whole workflow."""

import json
import re

import pytest

from flow import Desk, noise, write


@pytest.fixture
def desk(tmp_path) -> Desk:
    desk = Desk(tmp_path)
    write(desk.songs / "a.wav", noise(0.5), subtype="FLOAT")
    return desk


def test_a_song_gets_a_page_and_the_list_tells_of_all_songs_also_of_those_that_failed(desk):
    (desk.songs / "b#ad.wav").write_text("no audio")
    assert desk.run(pages=True).code == 1
    page = (desk.path / "results/a/index.html").read_text()
    assert "copy" in page
    listed = (desk.path / "results/index.html").read_text()
    assert 'href="a/index.html"' in listed
    assert "b_ad" in listed
    assert "is not audio" in listed

    report = desk.good("--report", "report.html", pages=True)
    assert "Report created" in report.text
    made = (desk.path / "report.html").read_text()
    results = json.loads(re.search(r"var results = (\{.*?\});?\n", made).group(1))
    labels = [one["labels"] for one in results.values()]
    assert {"song": "a", "recipe": "identity", "preset": "balanced", "models": "identity"} in labels
    assert {label.get("table") for label in labels} >= {"the last run", "all songs"}
    assert not any(label.get("song") == "b_ad" for label in labels)


def test_pages_can_be_done_without_and_asked_for_later(desk):
    assert "page" not in desk.good(pages=False).ran
    assert list((desk.path / "results").rglob("index.html")) == []
    later = desk.good(pages=True).ran
    assert later["page"] == 1
    assert "separate" not in later
    assert desk.good(pages=True).idle

    # One that tells of earlier stems does not stay.
    desk.good(pages=False, bit_depth="16")
    assert not (desk.path / "results/a/index.html").exists()
    assert desk.good("-n", pages=True, bit_depth="16").planned["page"] == 1
