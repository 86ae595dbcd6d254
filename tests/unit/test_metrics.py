"""Metrics against museval on the same signals, and against their definitions."""

import importlib
import sys
import types

import numpy as np
import pytest

from unbraid.audio.metrics import Scores

RATE = 4000


@pytest.fixture(scope="module")
def museval():
    # museval's package reads datasets too, for which it asks for an ffmpeg program when it is imported; metrics need none.
    sys.modules.setdefault("musdb", types.ModuleType("musdb"))
    return importlib.import_module("museval.metrics")


def noise(seed, seconds, level=0.2):
    return np.random.default_rng(seed).uniform(-level, level, (round(seconds * RATE), 2)).astype(np.float32)


def scored(true, estimated, block=1000):
    scores = Scores(RATE, list(true))
    frames = len(next(iter(true.values())))
    for at in range(0, frames, block):
        scores.add(
            {stem: audio[at : at + block] for stem, audio in true.items()},
            {stem: audio[at : at + block] for stem, audio in estimated.items()},
        )
    return scores.result()


def pair(seconds=5.3):
    true = {"vocals": noise(0, seconds), "drums": noise(1, seconds)}
    fade = np.linspace(0.02, 0.5, len(true["vocals"]), dtype=np.float32)[:, None]
    return true, {
        "vocals": true["vocals"] + fade * true["drums"],
        "drums": true["drums"] * 0.7 + noise(2, seconds, 0.01),
    }


def of_museval(museval, true, estimated):
    stacked = (np.stack([*signals.values()]).astype(float) for signals in (true, estimated))
    sdr, *_ = museval.bss_eval(*stacked, window=RATE, hop=RATE, compute_permutation=False, filters_len=16)
    return dict(zip(true, np.nanmedian(sdr, axis=1), strict=True))


def test_sdr_is_that_of_museval(museval):
    true, estimated = pair()
    expected = of_museval(museval, true, estimated)
    for stem, score in scored(true, estimated).items():
        assert score["sdr"] == pytest.approx(expected[stem], abs=0.001)


def test_a_window_in_which_any_stem_is_silent_counts_for_none_as_in_museval(museval):
    true, estimated = pair()
    true["drums"][RATE : 2 * RATE] = 0
    estimated["vocals"][3 * RATE : 4 * RATE] = 0
    expected = of_museval(museval, true, estimated)
    for stem, score in scored(true, estimated).items():
        assert score["sdr"] == pytest.approx(expected[stem], abs=0.001)


def test_a_song_of_less_than_a_second_is_one_window_as_in_museval(museval):
    true, estimated = pair(0.6)
    expected = of_museval(museval, true, estimated)
    for stem, score in scored(true, estimated).items():
        assert score["sdr"] == pytest.approx(expected[stem], abs=0.001)
        assert score["sdr"] == pytest.approx(score["sdr_global"], abs=0.001)


def test_the_cuts_of_the_blocks_change_nothing():
    true, estimated = pair()
    assert scored(true, estimated, 333) == scored(true, estimated, 100_000)


def test_global_sdr_is_the_ratio_of_the_energies_of_the_whole_song():
    true, estimated = pair()
    s, e = true["vocals"].astype(float), estimated["vocals"].astype(float)
    expected = 10 * np.log10((s**2).sum() / ((s - e) ** 2).sum())
    assert scored(true, estimated)["vocals"]["sdr_global"] == pytest.approx(expected, abs=0.001)


def test_si_sdr_is_that_of_its_definition_and_does_not_change_with_the_level():
    true, estimated = pair()
    s, e = true["drums"].astype(float), estimated["drums"].astype(float)
    target = (s * e).sum() / (s * s).sum() * s
    expected = 10 * np.log10((target**2).sum() / ((e - target) ** 2).sum())
    assert scored(true, estimated)["drums"]["si_sdr"] == pytest.approx(expected, abs=0.001)
    softer = {**estimated, "drums": estimated["drums"] * np.float32(0.25)}
    assert scored(true, softer)["drums"]["si_sdr"] == pytest.approx(expected, abs=0.001)
    assert scored(true, softer)["drums"]["sdr_global"] < scored(true, estimated)["drums"]["sdr_global"]


def test_what_has_no_number_has_none():
    true, estimated = pair(2)
    silent = {**true, "drums": np.zeros_like(true["drums"])}
    assert scored(silent, estimated)["drums"] == {"sdr": None, "sdr_global": None, "si_sdr": None}
    same = scored(true, {**estimated, "vocals": true["vocals"]})
    assert same["vocals"]["sdr"] is None
    assert same["vocals"]["sdr_global"] is None
    assert same["drums"]["sdr"] is not None
