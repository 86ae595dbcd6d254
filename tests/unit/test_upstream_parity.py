"""Our overlap-add against upstream's own `demucs.apply.apply_model` and `demucs.api`, sample for sample."""

import dataclasses
import random

import demucs.api
import demucs.apply
import numpy as np
import pytest
import torch
from demucs.apply import BagOfModels, apply_model
from demucs.demucs import Demucs
from demucs.hdemucs import HDemucs
from demucs.htdemucs import HTDemucs

from real_weights import fetched
from stages_by_hand import REFERENCE, separated
from tiny_networks import model, network
from unbraid.backends import demucs_weights
from unbraid.catalogue import Source, Weights
from unbraid.fetch import fetch

CHUNK = 44100  # of the tiny networks
STRIDE = 33075


def noise(frames: int, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal((frames, 2)) * 0.1).astype(np.float32)


def decibels(found: np.ndarray, true: np.ndarray) -> float:
    rest, whole = np.square(found - true, dtype=np.float64).sum(), np.square(true, dtype=np.float64).sum()
    return float(10 * np.log10(rest / whole + 1e-30))


def tiny_model(folder, *klasses, mixing=None, segment=None):
    """A model of untrained networks, its folder, and upstream's bag of the same networks."""
    entries = []
    for index, klass in enumerate(klasses):
        checkpoint = folder / f"download{index}.th"
        built = network(klass, seed=index)
        torch.save(
            {"klass": klass, "args": (), "kwargs": built._init_args_kwargs[1], "state": built.state_dict()}, checkpoint
        )
        entries.append(Weights(f"n{index}", (Source("file", str(checkpoint)),)))
    made = dataclasses.replace(model(weights=tuple(entries)), mixing=mixing, segment=segment)
    fetch(made, folder / "model", log=lambda text: None)
    networks = [demucs_weights.load(folder / "model" / f"n{index}.safetensors") for index in range(len(klasses))]
    weights = [list(row) for row in mixing] if mixing else None
    return made, folder / "model", BagOfModels(networks, weights, segment)


def upstream(bag, audio, shifts=0, overlap=0.25, seed=0, monkeypatch=None):
    """As `demucs.api.Separator.separate_tensor` does it."""
    wav = torch.from_numpy(np.ascontiguousarray(audio.T))
    ref = wav.mean(0)
    mean, std = ref.mean(), ref.std() + 1e-8
    if monkeypatch:  # the networks draw from the global generator too, so upstream's shifts need one of their own
        monkeypatch.setattr(demucs.apply, "random", random.Random(seed))
    out = apply_model(bag, ((wav - mean) / std)[None], shifts=shifts, overlap=overlap)[0]
    return (out * std + mean).numpy()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("tiny"), HTDemucs)


LENGTHS = [2, CHUNK // 3, CHUNK - 1, CHUNK, CHUNK + 1, 2 * STRIDE - 1, 2 * STRIDE, 2 * STRIDE + 1, 3 * CHUNK + 777]


@pytest.mark.parametrize("frames", LENGTHS)
def test_any_length_in_any_number_of_segments_gives_upstreams_samples(tiny, tmp_path, frames):
    made, folder, bag = tiny
    audio = noise(frames)
    torch.set_num_threads(2)
    whole = separated(tmp_path / "1", audio, made, folder)
    assert decibels(whole, upstream(bag, audio)) <= -110
    for segments in (2, 3, 7):
        assert np.array_equal(separated(tmp_path / str(segments), audio, made, folder, segments=segments), whole)


def test_one_sample_gives_one_sample_that_is_not_nan(tiny, tmp_path):
    made, folder, _ = tiny
    for segments in (1, 2, 3):
        stems = separated(tmp_path / str(segments), np.full((1, 2), 0.5, np.float32), made, folder, segments=segments)
        assert stems.shape == (4, 2, 1)
        assert np.isfinite(stems).all()


def test_silence_gives_silence(tiny, tmp_path):
    made, folder, _ = tiny
    stems = separated(tmp_path, np.zeros((CHUNK + 5, 2), np.float32), made, folder, segments=2)
    assert stems.shape == (4, 2, CHUNK + 5)
    assert not stems.any()


def test_a_constant_signal_gives_finite_stems(tiny, tmp_path):
    made, folder, _ = tiny
    assert np.isfinite(separated(tmp_path, np.full((5000, 2), 0.25, np.float32), made, folder)).all()


@pytest.mark.parametrize("segments", [1, 3])
def test_seeded_shifts_are_upstreams_shifts_of_that_seed(tiny, tmp_path, monkeypatch, segments):
    made, folder, bag = tiny
    audio = noise(100_000)
    settings = {"shifts": 3, "overlap": 0.5, "precision": "exact", "seed": 7}
    ours = separated(tmp_path, audio, made, folder, segments=segments, settings=settings)
    assert decibels(ours, upstream(bag, audio, 3, 0.5, seed=7, monkeypatch=monkeypatch)) <= -110


def test_another_seed_gives_other_shifts(tiny, tmp_path):
    made, folder, _ = tiny
    audio = noise(50_000)
    first, again, other = (
        separated(tmp_path / name, audio, made, folder, settings={**REFERENCE, "shifts": 1, "seed": seed})
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("klass", [HDemucs, Demucs])
def test_the_older_networks_give_upstreams_samples_in_any_number_of_segments(tmp_path, klass):
    made, folder, bag = tiny_model(tmp_path, klass, segment=1)
    for frames in (3000, CHUNK, 2 * CHUNK + 123):
        audio = noise(frames)
        whole = separated(tmp_path / f"{frames}", audio, made, folder)
        assert decibels(whole, upstream(bag, audio)) <= -110
        assert np.array_equal(separated(tmp_path / f"{frames}s", audio, made, folder, segments=3), whole)


def test_a_bag_is_weighted_as_upstream_weights_it(tmp_path, monkeypatch):
    mixing = ((1.0, 1.0, 0.0, 0.0), (0.0, 1.0, 2.0, 1.0))
    made, folder, bag = tiny_model(tmp_path, HTDemucs, HDemucs, mixing=mixing, segment=1)
    audio = noise(80_000)
    settings = {**REFERENCE, "shifts": 2, "seed": 3}
    theirs = upstream(bag, audio, 2, seed=3, monkeypatch=monkeypatch)
    whole = separated(tmp_path / "1", audio, made, folder, settings=settings)
    assert decibels(whole, theirs) <= -110
    assert np.array_equal(separated(tmp_path / "3", audio, made, folder, segments=3, settings=settings), whole)


@pytest.fixture(scope="module")
def song() -> np.ndarray:
    """12.3 s of stempeg's example mix, end to end twice: real music, three chunks."""
    from unbraid.audio.decode import Decoder
    from unbraid.setup import demo_path

    audio = np.concatenate(list(Decoder(demo_path())))
    return np.concatenate([audio, audio])[: int(12.3 * 44100)]


@pytest.fixture(scope="module")
def real(song, tmp_path_factory):
    made, folder = fetched("htdemucs")
    return made, folder, separated(tmp_path_factory.mktemp("whole"), song, made, folder)


@pytest.mark.weights
def test_the_real_weights_give_what_demucs_api_gives(real, song, tmp_path):
    made, folder, ours = real
    (tmp_path / "htdemucs.yaml").write_text("models: ['955717e8']\n")
    checkpoint, _ = demucs_weights.read(folder / "955717e8.safetensors")
    package = {"klass": HTDemucs, "args": checkpoint.args, "kwargs": checkpoint.kwargs, "state": checkpoint.state}
    torch.save(package, tmp_path / "955717e8.th")
    separator = demucs.api.Separator("htdemucs", repo=tmp_path, device="cpu", shifts=0, overlap=0.25)
    _, stems = separator.separate_tensor(torch.from_numpy(np.ascontiguousarray(song.T)))
    for index, stem in enumerate(made.stems):
        assert decibels(ours[index], stems[stem].numpy()) <= -110


@pytest.mark.weights
@pytest.mark.parametrize("segments", [2, 3, 7])
def test_the_real_weights_give_the_same_bits_in_any_number_of_segments(real, song, tmp_path, segments):
    made, folder, whole = real
    assert np.array_equal(separated(tmp_path, song, made, folder, segments=segments), whole)


@pytest.mark.weights
def test_another_number_of_threads_stays_within_minus_100_db(real, song, tmp_path):
    made, folder, _whole = real
    short = song[: 5 * 44100]
    one = separated(tmp_path / "1", short, made, folder, threads=1)
    two = separated(tmp_path / "2", short, made, folder, threads=2)
    assert decibels(one, two) <= -100
