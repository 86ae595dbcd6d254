"""Ensembles and chains of real networks on real music, measured before and after."""

import re
import sys

import numpy as np
import pytest
import soundfile

from flow import HOME, Desk, noise, write

sys.path.insert(0, str(HOME / "tests" / "unit"))
sys.path.insert(0, str(HOME / "tests" / "bench"))

from quality import example, sdr
from real_weights import fetched

pytestmark = pytest.mark.weights

RECIPE = """\
compared:
  steps:
    demucs: {model: htdemucs, input: mix}
    spleeter: {model: spleeter-2stems, input: mix}
    average: {ensemble: [demucs.vocals, spleeter.vocals], weights: [3, 1]}
    smallest: {ensemble: [demucs.vocals, spleeter.vocals], method: min}
    clean: {model: UVR-DeNoise-Lite, input: demucs.vocals}
  stems:
    demucs: demucs.vocals
    spleeter: spleeter.vocals
    average: average
    smallest: smallest
    rest: mix - average
    clean: clean.no_noise
    noise: clean.noise
"""
LEVEL = 0.03


def hiss(shape: tuple[int, ...]) -> np.ndarray:
    """Pink noise, as tape has it: as much power in each octave; [frames, channels]."""
    white = np.fft.rfft(np.random.default_rng(0).standard_normal(shape), axis=0)
    pink = np.fft.irfft(white / np.sqrt(np.arange(1, len(white) + 1))[:, None], n=shape[0], axis=0)
    return (LEVEL * pink / pink.std()).astype(np.float32)


@pytest.fixture(scope="module")
def stems(tmp_path_factory) -> dict[str, np.ndarray]:
    """What the recipe delivers of the demo song with a hiss over it, [frames, channels]."""
    desk = Desk(tmp_path_factory.mktemp("recipes"))
    (desk.path / "models").mkdir()
    for name in ("htdemucs", "spleeter-2stems", "UVR-DeNoise-Lite"):
        (desk.path / "models" / name).symlink_to(fetched(name)[1].resolve())
    (desk.path / "config").mkdir()
    (desk.path / "config/recipes.yaml").write_text(RECIPE)
    mix, _, rate = example()
    write(desk.songs / "noisy.wav", mix + hiss(mix.shape), rate, "FLOAT")
    desk.good(recipe="compared", device="cpu")
    files = (desk.path / "results/noisy").glob("*.wav")
    return {path.stem: soundfile.read(path, dtype="float32")[0] for path in files}


@pytest.fixture(scope="module")
def scores(stems) -> dict[str, float]:
    """SDR in dB of each version of the vocals."""
    true = example()[1]["vocals"]
    made = {name: sdr(audio, true) for name, audio in stems.items() if name not in ("rest", "noise")}
    print(made)
    return made


def test_both_networks_find_the_vocals(scores):
    assert scores["demucs"] > 4
    assert scores["spleeter"] > 1


def test_an_average_that_favours_the_better_network_is_better_than_either(scores):
    assert scores["demucs"] > scores["spleeter"]
    assert scores["average"] > scores["demucs"] + 0.1


def test_the_smallest_magnitudes_hold_less_than_either(stems, scores):
    power = {name: float((audio.astype(np.float64) ** 2).sum()) for name, audio in stems.items()}
    assert power["smallest"] < min(power["demucs"], power["spleeter"])
    assert scores["smallest"] > scores["spleeter"]


def test_what_is_cleaned_and_what_is_taken_out_add_up_and_the_vocals_are_better_for_it(stems, scores):
    assert np.abs(stems["clean"] + stems["noise"] - stems["demucs"]).max() < 1e-6
    assert stems["noise"].any()
    assert scores["clean"] > scores["demucs"]


def test_the_average_and_the_rest_add_up_to_the_mix(stems):
    mix, _, _ = example()
    assert np.abs(stems["average"] + stems["rest"] - (mix + hiss(mix.shape))).max() < 1e-6


@pytest.mark.parametrize(("recipe", "together"), [("stems", 3), ("blend", 1)])
def test_songs_are_on_a_gpu_together_where_one_worker_does_them_all(tmp_path, recipe, together):
    desk = Desk(tmp_path)
    for seed in range(3):
        write(desk.songs / f"song{seed}.wav", noise(1, seed=seed))
    models = fetched("htdemucs")[1].parent
    fetched("spleeter-2stems")
    # Without a GPU each of these jobs fails, but not before it was begun beside the others.
    text = desk.run("--cores", "8", recipe=recipe, device="cuda", models=models).text
    before = re.split(r"Error in rule separate|\(Rule: separate\)", text)[0]
    assert before.count("separating segment") == together, text
