"""The ensemble stage against numpy on whole arrays."""

import numpy as np
import pytest

from unbraid.audio import wav
from unbraid.files import read_json, sha256, write_json
from unbraid.stages.ensemble import HOP, SIZE, ensemble, join

RATE = 44100


def noise(frames, seed, channels=2):
    return np.random.default_rng(seed).standard_normal((frames, channels)).astype(np.float32) * 0.1


def joined(members, method, weights=None, cuts=None):
    """[frames, channels] of these members, handed over in blocks of `cuts` frames."""
    together = np.stack(members)
    cuts = cuts or wav.BLOCK
    blocks = [together[:, at : at + cuts] for at in range(0, together.shape[1], cuts)]
    weights = weights or [1.0] * len(members)
    return np.concatenate(list(join(blocks, method, weights, together.shape[1])))


def test_an_average_is_weighted():
    a, b = noise(1000, 1), noise(1000, 2)
    assert np.allclose(joined([a, b], "average", [1, 2]), (a + 2 * b) / 3, atol=1e-7)
    assert joined([a, b], "average").dtype == np.float32


def test_a_median_is_that_of_each_sample():
    members = [noise(1000, seed) for seed in (1, 2, 3)]
    assert np.array_equal(joined(members, "median"), np.median(np.stack(members), axis=0))


@pytest.mark.parametrize("frames", [1, HOP, SIZE - 1, SIZE, SIZE + 1, 3 * SIZE + 17])
@pytest.mark.parametrize("method", ["min", "max"])
def test_the_magnitudes_of_equal_members_give_the_member_back_in_full_length(method, frames):
    one = noise(frames, 1)
    made = joined([one, one, one], method)
    assert made.shape == one.shape
    assert np.allclose(made, one, atol=1e-6)


def test_min_keeps_what_all_members_have_and_max_what_any_has():
    time = np.arange(2 * RATE)[:, None] / RATE
    low, high = (0.1 * np.sin(2 * np.pi * pitch * time).astype(np.float32) for pitch in (300, 3000))
    inner = slice(SIZE, -SIZE)
    assert np.abs(joined([low + high, low], "min") - low)[inner].max() < 1e-4
    assert np.abs(joined([low, high], "max") - (low + high))[inner].max() < 1e-3


@pytest.mark.parametrize("method", ["average", "median", "min", "max"])
def test_the_cuts_of_the_blocks_change_no_frame(method):
    members = [noise(20_000, seed) for seed in (1, 2, 3)]
    whole = joined(members, method)
    for cuts in (7777, 1024):
        assert np.allclose(joined(members, method, cuts=cuts), whole, atol=1e-7)


@pytest.mark.parametrize("method", ["average", "median", "min", "max"])
def test_a_gain_of_all_members_is_a_gain_of_the_result_and_silence_is_silence(method):
    members = [noise(10_000, seed) for seed in (1, 2, 3)]
    assert np.array_equal(joined([2 * one for one in members], method), 2 * joined(members, method))
    assert not joined([0 * one for one in members], method).any()


@pytest.mark.parametrize("method", ["average", "max"])
def test_the_stage_writes_the_stem_and_last_its_manifest(tmp_path, method):
    a, b = noise(5000, 1, channels=1), noise(5000, 2, channels=1)
    for name, audio in {"a": a, "b": b}.items():
        with wav.create(tmp_path / f"{name}.wav", RATE, 1) as file:
            file.write(audio)
    write_json(tmp_path / "mix.json", {"frames": 5000, "rate": RATE, "channels": 1})
    stem, manifest = tmp_path / "k/ensemble.wav", tmp_path / "k/manifest.json"
    members = [[(1, tmp_path / "a.wav"), (-1, tmp_path / "b.wav")], [(1, tmp_path / "b.wav")]]
    ensemble(
        members, tmp_path / "mix.json", stem, manifest, method=method, weights=[1, 3], key="k", content={"a": 1}
    )  # fmt: skip
    made = np.concatenate(list(wav.blocks(stem)))
    assert np.allclose(made, joined([a - b, b], method, [1, 3]), atol=1e-7)
    told = read_json(manifest)
    assert (told["stage"], told["key"], told["content"]) == ("ensemble", "k", {"a": 1})
    assert told["files"]["ensemble.wav"]["sha256"] == sha256(stem)
