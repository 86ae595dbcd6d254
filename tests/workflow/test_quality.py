"""True stems to measure against, and quality gates, through the whole workflow; no network is needed for either."""

import csv
import json

import numpy as np
import pytest

from flow import Desk, noise, write

SONG, TRUE = noise(2.5, seed=1), noise(2.5, seed=1, level=0.2)
WINDOW = slice(round(0.5 * 44100), 2 * 44100)


@pytest.fixture
def desk(tmp_path) -> Desk:
    desk = Desk(tmp_path)
    write(desk.songs / "a.wav", SONG, subtype="FLOAT")
    write(desk.path / "true/copy.wav", TRUE, subtype="FLOAT")
    write(desk.path / "true/mixture.wav", SONG)
    return desk


def table(desk: Desk, *rows: str) -> None:
    (desk.path / "songs.tsv").write_text("\n".join(["song\tpath\tstart\tend\thave\treferences", *rows]) + "\n")


def quality(desk: Desk, song: str) -> dict:
    return json.loads((desk.path / f"results/{song}/qc.json").read_text())


def summary(desk: Desk) -> dict[str, dict[str, str]]:
    with open(desk.path / "results/summary.tsv", newline="") as file:
        return {row["song"]: row for row in csv.DictReader(file, delimiter="\t")}


def sdr(true: np.ndarray, estimate: np.ndarray) -> float:
    return 10 * np.log10((true.astype(float) ** 2).sum() / ((true - estimate).astype(float) ** 2).sum())


def test_stems_are_measured_against_true_ones_also_of_a_window_and_wrong_ones_stop_no_other_song(desk):
    write(desk.path / "short/copy.wav", TRUE[:5000])
    rows = {
        "a": "\t\t\ttrue",
        "part": "0.5\t2\t\ttrue/copy.wav",
        "short": "\t\t\tshort",
        "gone": "\t\t\tnowhere",
        "plain": "\t\t\t",
    }
    table(desk, *(f"{song}\tsongs/a.wav\t{row}" for song, row in rows.items()))
    run = desk.run(songs="songs.tsv")
    assert run.code == 1
    assert any("take it out of the column `references`" in told for told in run.paragraphs("short"))
    assert any("nowhere is not there" in told for told in run.paragraphs("gone"))
    for song, cut in {"a": slice(None), "part": WINDOW}.items():
        (score,) = quality(desk, song)["metrics"].values()
        assert score["sdr_global"] == pytest.approx(sdr(TRUE[cut], SONG[cut]), abs=0.01)
        assert score["mix"] == {name: score[name] for name in score if name != "mix"}  # of which the stem is a copy
    assert quality(desk, "plain")["metrics"] == {}
    assert all((desk.path / f"results/{song}/copy.wav").is_file() for song in rows)  # wrong references cost no stem
    told = summary(desk)
    assert told["a"]["sdr"] == f"copy={quality(desk, 'a')['metrics']['copy']['sdr']:.2f}"
    assert {song: row["status"] for song, row in told.items()} == {
        "a": "ok", "part": "ok", "plain": "ok", "short": "failed", "gone": "failed",
    }  # fmt: skip

    # References that are given later are measured then, and the plan knows.
    table(desk, "plain\tsongs/a.wav\t\t\t\ttrue")
    assert {"have", "report"} <= desk.good("-n", songs="songs.tsv").planned.keys()
    desk.good("plan", songs="songs.tsv")
    assert "cached" in (desk.path / "results/plan.tsv").read_text()


def test_a_gate_that_fires_is_told_and_fails_only_its_song_where_that_is_asked_for(desk):
    write(desk.path / "silent/copy.wav", SONG * 0, subtype="FLOAT")
    table(desk, "bad\tsongs/a.wav\t\t\tsilent\t", "good\tsongs/a.wav\t\t\t\t")
    run = desk.good(songs="songs.tsv")
    words = "copy: 100.0% of it is silent (qc_silence=0.99)."
    assert f"bad: {words}" in run.text
    assert {song: row["warnings"] for song, row in summary(desk).items()} == {"bad": words, "good": ""}

    strict = desk.run(songs="songs.tsv", qc="fail")
    assert strict.code == 1
    assert strict.ran == {"passed": 1}  # nothing is delivered or measured anew
    (told,) = strict.paragraphs("bad")
    assert words in told
    assert "Traceback" not in strict.text
    assert {song: row["status"] for song, row in summary(desk).items()} == {"bad": "failed", "good": "ok"}
    assert summary(desk)["bad"]["warnings"] == words
    assert (desk.path / "results/bad/copy.wav").is_file()
    assert quality(desk, "bad")["stems"]["copy"]["silent_share"] == 1.0
    desk.good(songs="songs.tsv", qc="fail", qc_silence=1, qc_residual=0)
