"""A session that serves song after song gives each what a session of its own would have given."""

import numpy as np
import pytest
import torch
from demucs.htdemucs import HTDemucs

from stages_by_hand import REFERENCE, begun
from test_demucs_session import Memory
from test_upstream_parity import tiny_model
from unbraid.backends.session import Statistics, load

FIRST = Statistics(frames=60_000, rate=44100, channels=2, mean=0.01, std=0.2, peak=0.9)
SECOND = Statistics(frames=60_000, rate=44100, channels=2, mean=-0.3, std=0.05, peak=0.5)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("tiny"), HTDemucs)[:2]


def outputs(session):
    audio = np.random.default_rng(3).standard_normal((1, 2, 44100)).astype(np.float32)
    return [session.separate(one, audio, one.grid.touching(60_000, 0, 44100)[:1]) for one in session.passes]


def test_a_song_gives_the_same_whatever_came_before(tiny):
    settings = {**REFERENCE, "shifts": 2, "seed": 7}
    used, fresh = begun(*tiny, FIRST, settings), begun(*tiny, SECOND, settings)
    outputs(used)
    used.rest()
    used.begin(SECOND)
    assert used.level() == fresh.level()
    assert [one.grid.origin for one in used.passes] == [one.grid.origin for one in fresh.passes]
    assert all(np.array_equal(one, other) for one, other in zip(outputs(used), outputs(fresh), strict=True))


def test_memory_that_ran_out_in_a_song_is_said_of_that_song_and_forgotten_in_the_next(tiny, monkeypatch):
    memory = Memory(monkeypatch, fits=0)
    session = load(*tiny, REFERENCE, "auto", 1)
    monkeypatch.setattr(torch.nn.Module, "to", lambda module, *given: module)
    session.begin(FIRST)
    outputs(session)
    assert session.device == "cpu"
    assert "even for one chunk" in session.notices[-1]

    session.begin(SECOND)
    assert (session.device, session.batch, session.notices) == ("mps", 4, [])
    memory.sizes.clear()
    outputs(session)
    assert memory.sizes[0] == ("mps", 1)  # on the GPU again
    assert session.notices
