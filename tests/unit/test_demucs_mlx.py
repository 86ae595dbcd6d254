"""Demucs on MLX: when it is chosen, and the adapter on a double of `demucs_mlx` whose networks are torch's underneath."""

import sys
from types import ModuleType

import mlx.core as mx
import numpy as np
import pytest
import torch

from stages_by_hand import REFERENCE, begun
from test_upstream_parity import CHUNK, HTDemucs, decibels, noise, tiny_model
from unbraid.backends import demucs_engine
from unbraid.backends.demucs import DemucsSession
from unbraid.backends.session import Statistics
from unbraid.errors import UnbraidError

STATISTICS = Statistics(frames=CHUNK, rate=44100, channels=2, mean=0.0, std=1.0, peak=1.0)


class Attention:
    compute_dtype = mx.float16

    def set_compute_dtype(self, kind):
        self.compute_dtype = kind


class Converted:
    def __init__(self, network):
        self.network, self.attention = network, Attention()
        self.state = {name: mx.array(value.numpy()) for name, value in network.state_dict().items()}

    def state_dict(self):
        return self.state

    def named_modules(self):
        return [("a", self.attention), ("b", object())]

    def eval(self):
        self.evaluated = True

    def __call__(self, audio):
        assert self.evaluated
        with torch.inference_mode():
            return mx.array(self.network(torch.from_numpy(np.array(audio))).numpy())


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("tiny"), HTDemucs)[:2]


@pytest.fixture
def package(monkeypatch):
    names = ("demucs_mlx", "demucs_mlx.mlx_convert", "demucs_mlx.mlx_transformer")
    modules = [ModuleType(name) for name in names]
    for name, module in zip(names, modules, strict=True):
        monkeypatch.setitem(sys.modules, name, module)
    modules[1].convert_single_model = Converted
    modules[1].convert_state_dict = lambda state, flatten, torch_model: Converted(torch_model).state
    modules[2].FastMultiHeadAttention = Attention
    machine(monkeypatch)
    return modules[1]


def machine(monkeypatch, apple=True, installed=True):
    monkeypatch.setattr(demucs_engine, "find_spec", lambda name: installed or None)
    monkeypatch.setattr(demucs_engine, "system", lambda: "Darwin" if apple else "Linux")
    monkeypatch.setattr(demucs_engine, "machine", lambda: "arm64" if apple else "x86_64")


def test_it_gives_the_stems_of_the_network(package, tiny):
    audio = noise(CHUNK).T[None]
    found = begun(*tiny, STATISTICS, REFERENCE, "auto")
    assert (found.engine, found.device, found.batch) == ("mlx", "mlx", 4)
    expected = DemucsSession(*tiny, REFERENCE, "cpu", 1)
    expected.begin(STATISTICS)
    chunks = found.passes[0].grid.touching(CHUNK, 0, CHUNK)[:1]
    theirs = expected.separate(expected.passes[0], audio, chunks)
    assert decibels(found.separate(found.passes[0], audio, chunks), theirs) <= -100
    found.close()
    assert found._converted == found.networks == []


@pytest.mark.parametrize(("precision", "kind"), [("exact", mx.float32), ("fast", mx.float16)])
def test_exact_attention_is_in_float32(package, tiny, precision, kind):
    found = begun(*tiny, STATISTICS, {**REFERENCE, "precision": precision}, "mlx")
    assert found._converted[0].attention.compute_dtype == kind
    assert f"mlx.core.{found.arithmetic}" == str(kind)


@pytest.mark.parametrize("change", [{"more": np.ones(3)}, {"encoder.0.conv.weight": np.full((8, 4, 8, 1), 7.0)}])
def test_weights_that_do_not_all_arrive_are_an_error(package, tiny, change):
    def convert(network):
        made = Converted(network)
        made.state |= {name: mx.array(value) for name, value in change.items()}
        return made

    package.convert_single_model = convert
    with pytest.raises(UnbraidError, match="did not take over all weights of a HTDemucs"):
        begun(*tiny, STATISTICS, REFERENCE, "auto")


@pytest.mark.parametrize(
    ("apple", "installed", "device", "engine", "chosen"),
    [(True, True, "auto", None, True), (True, True, "mlx", "auto", True), (True, True, "auto", "mlx", True),
     (True, True, "cpu", "auto", False), (True, True, "auto", "torch", False), (True, True, "mps", None, False),
     (True, False, "auto", None, False), (False, True, "auto", None, False), (False, False, "cuda", None, False)],
)  # fmt: skip
def test_mlx_is_chosen_on_apple_silicon_where_it_is_installed(monkeypatch, apple, installed, device, engine, chosen):
    machine(monkeypatch, apple, installed)
    assert demucs_engine.mlx_wanted(device, engine) is chosen


@pytest.mark.parametrize(
    ("apple", "installed", "device", "engine", "message"),
    [(True, True, "mlx", "torch", "engine=torch cannot run on device=mlx"),
     (True, True, "cpu", "mlx", "engine=mlx cannot run on device=cpu"),
     (False, True, "mlx", None, "needs Apple silicon"),
     (True, False, "auto", "mlx", "needs the Python package demucs-mlx")],
)  # fmt: skip
def test_mlx_that_cannot_be_had_is_an_error_with_a_remedy(monkeypatch, apple, installed, device, engine, message):
    machine(monkeypatch, apple, installed)
    with pytest.raises(UnbraidError, match=message) as caught:
        demucs_engine.mlx_wanted(device, engine)
    assert caught.value.remedy
