"""Prompted separation through the whole workflow: SAM-Audio's real code for MLX, on a small untrained network made here."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from flow import HOME, Desk, noise, write

sys.path.insert(0, str(HOME / "tests" / "unit"))
import tiny_sam_audio

RECIPES = """\
chain:
  steps:
    first: {model: tiny-sam, input: mix, prompt: "singing voice", ode_steps: 2}
    second: {model: tiny-sam, input: first.residual, prompt: "bass guitar", ode_steps: 2}
  stems:
    first: first.target
    second: second.target
    rest: second.residual
"""
MINE: dict[str, object] = {"recipe": "chain", "engine": "mlx"}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    write(desk.songs / "a.wav", noise(0.2, rate=44100), 44100, "FLOAT")
    files = tiny_sam_audio.files(desk.path / "checkpoint")
    entry = {
        "backend": "sam_audio",
        "architecture": "SAM-Audio",
        "description": "untrained",
        "stems": ["target"],
        "licence": "CC0, made for a test",
        "rate": tiny_sam_audio.RATE,
        "segment": tiny_sam_audio.CHUNK / tiny_sam_audio.RATE,
        "weights": [{"name": name, "sources": [{"file": str(path)}]} for name, path in files.items()],
    }
    (desk.path / "config").mkdir()
    (desk.path / "config/models.yaml").write_text(json.dumps({"tiny-sam": entry}))
    (desk.path / "config/recipes.yaml").write_text(RECIPES)
    return desk


def stems(desk: Desk, song: str = "a") -> dict[str, np.ndarray]:
    folder = desk.path / "results" / song
    return {path.stem: soundfile.read(path, dtype="float32")[0] for path in folder.glob("*.wav")}


def test_prompts_are_chained_encoded_once_heard_early_and_the_same_in_any_number_of_segments(desk):
    whole = desk.good(**MINE)
    assert whole.ran["prompt"] == 2
    assert whole.ran["preview_tiny-sam"] == 0
    one = stems(desk)
    mix = noise(0.2)
    assert np.abs(one["first"] + one["second"] + one["rest"] - mix).max() < 1e-6
    assert one["first"].any()
    assert not np.array_equal(one["first"], one["second"])

    cut = desk.run(**MINE, segment_seconds=0.08, reuse=False)
    assert cut.code == 0, cut.text
    assert (cut.ran["prompt"], cut.ran["separate"], cut.ran["preview_tiny-sam"]) == (2, 6, 6)
    for stem, audio in stems(desk).items():
        assert np.array_equal(audio, one[stem])
    heard = sorted(path.name for path in (desk.path / "results/a/preview").iterdir())
    assert heard == [f"{step}.{part}.target.flac" for step in ("first", "second") for part in range(3)]
    frames = [soundfile.info(desk.path / f"results/a/preview/first.{part}.target.flac").frames for part in range(3)]
    assert sum(frames) == round(0.2 * tiny_sam_audio.RATE)
    # The first thing to hear is there before the song is done.
    order = [line for line in cut.text.splitlines() if line.startswith("Finished jobid")]
    first = next(index for index, line in enumerate(order) if "preview" in line)
    assert first < next(index for index, line in enumerate(order) if "merge" in line)


def test_prompts_of_a_table_reach_their_song_and_an_unknown_option_is_told_with_recipe_and_step(desk):
    rows = ["song\tpath\tprompts", "a\tsongs/a.wav\t", "b\tsongs/a.wav\tbass guitar; voice"]
    (desk.path / "songs.tsv").write_text("\n".join(rows) + "\n")
    desk.good(**MINE, songs="songs.tsv")
    assert not np.array_equal(stems(desk, "a")["first"], stems(desk, "b")["first"])
    origin = json.loads((desk.path / "results/b/provenance.json").read_text())
    assert origin["separations"]["second"]["content"]["settings"]["prompt"] == "voice"

    (desk.path / "config/recipes.yaml").write_text(RECIPES.replace("ode_steps: 2", "ode_stps: 2"))
    told = desk.run(**MINE)
    assert told.code == 1
    assert "'chain'" in told.text
    assert "'first'" in told.text
    assert "Did you mean 'ode_steps'?" in told.text
