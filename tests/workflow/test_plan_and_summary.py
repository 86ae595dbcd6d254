"""The plan before a run, and the summary after it: what they say is what happens."""

import csv
import json

from flow import Desk, noise, write


def furnish(path, **lengths):
    desk = Desk(path)
    for seed, (name, seconds) in enumerate(lengths.items()):
        write(desk.songs / f"{name}.wav", noise(seconds, seed=seed))
    return desk


def table(desk, name):
    with open(desk.path / "results" / name, encoding="utf-8", newline="") as file:
        lines = [line for line in file if not line.startswith("#")]
    return {row["song"]: row for row in csv.DictReader(lines, delimiter="\t")}


def notes(desk):
    files = list((desk.path / "store/speeds").iterdir()) if (desk.path / "store/speeds").is_dir() else []
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def test_the_plan_tells_what_a_run_will_do_and_the_summary_what_it_did(tmp_path):
    desk = furnish(tmp_path, a=2, b=1)
    asked = desk.good("plan", "-n")
    assert not (desk.path / "results").exists()
    assert asked.planned == {"plan": 1}
    told = desk.good("plan").text
    assert "2 songs" in told
    assert "2 cores" in told
    planned = table(desk, "plan.tsv")
    assert [(row["state"], row["stored"], row["segments"]) for row in planned.values()] == [("to run", "0/1", "1")] * 2
    assert planned["a"]["bytes"] == str(2 * 44100 * 2 * (4 + 4))
    assert not (desk.path / "work").exists()
    assert notes(desk) == []

    desk.good("results/a/copy.wav", "results/a/qc.json")
    assert list(table(desk, "summary.tsv")) == ["a"]
    assert {"convert", "segment", "separate", "merge", "deliver", "report", "run"} <= {
        line["stage"] for line in notes(desk)
    }
    desk.good("plan")
    planned = table(desk, "plan.tsv")
    assert [row["state"] for row in planned.values()] == ["delivered", "to run"]
    assert (planned["a"]["seconds"], planned["a"]["bytes"]) == ("0.0", "0")
    assert float(planned["b"]["seconds"]) > 0

    (desk.songs / "c.wav").write_text("no audio")
    run = desk.run()
    assert run.code == 1
    done = table(desk, "summary.tsv")
    assert {song: row["status"] for song, row in done.items()} == {"b": "ok", "c": "failed"}
    assert float(done["b"]["wall_seconds"]) > 0
    assert done["b"]["estimated_seconds"] == planned["b"]["seconds"]
    assert "stage convert: " in done["c"]["reason"]
    assert "1 ok, 1 failed" in run.text
    assert "Failed: c: stage convert: " in run.text
    assert "failed" in desk.good("summary").text
    assert list(table(desk, "summary.tsv")) == ["b", "c"]

    before = desk.files("results", "store/speeds")
    assert desk.good("results/a/copy.wav").idle
    desk.good("results/c/qc.json", "-n")
    assert desk.files("results", "store/speeds") == before


def test_plan_and_run_agree_on_what_there_is_to_do(tmp_path):
    desk = furnish(tmp_path, a=0.2, b=0.2)

    def states(**config):
        desk.good("plan", **config)
        to_do = desk.good("-n", **config)
        assert ("Nothing to be done" in to_do.text) == (
            {row["state"] for row in table(desk, "plan.tsv").values()} == {"delivered"}
        )
        return [row["state"] for row in table(desk, "plan.tsv").values()]

    desk.good()
    assert states() == ["delivered"] * 2
    assert states(bit_depth="24") == states(format="flac") == ["cached"] * 2
    desk.good(format="flac")
    assert states() == ["cached"] * 2  # their reports are of the flac files
    assert states(format="flac") == ["delivered"] * 2
    desk.good("cache_clear", yes="true")
    assert states(format="flac") == ["delivered"] * 2


def test_a_row_that_is_wrong_is_told_with_its_reason_and_fetches_no_model(tmp_path):
    desk = furnish(tmp_path, a=0.2)
    (desk.path / "songs.tsv").write_text("song\tpath\trecipe\na\tsongs/a.wav\t\nb\tsongs/a.wav\tidentty\n")
    asked = {"songs": "songs.tsv", "recipe": "stems"}
    told = desk.good("plan", **asked).text
    assert "Unreadable: b: " in told
    (desk.path / "songs.tsv").write_text("song\tpath\trecipe\nb\tsongs/a.wav\tidentty\n")
    told = desk.good("plan", **asked).text
    assert "To be fetched" not in told
    assert "model" not in desk.good("-n", **asked).planned
