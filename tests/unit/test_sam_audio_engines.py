"""Which engine runs SAM-Audio on which machine, and the torch engine against a double of upstream's package.

The double has upstream's API as it was read in its repository; upstream itself cannot be installed where the tests run.
"""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import tiny_sam_audio as tiny
from test_sam_audio import SETTINGS, noise, run, session
from tiny_sam_audio import CHUNK, HOP
from unbraid.backends import device as device_of_torch
from unbraid.backends import sam_audio
from unbraid.errors import UnbraidError


class Config:
    def __init__(
        self, audio_codec, text_encoder, span_predictor="pe-a-frame-large", visual_ranker="a", text_ranker="b", **rest
    ):
        sizes = {"sample_rate": 48000, "codebook_dim": 128}
        self.audio_codec = SimpleNamespace(**{**sizes, **audio_codec})
        self.text_encoder = SimpleNamespace(**text_encoder)
        self.fetched = [part for part in (span_predictor, visual_ranker, text_ranker) if part is not None]


class Batch:
    def __init__(self, audios, descriptions, anchors):
        self.audios, self.descriptions, self.anchors = audios, descriptions, anchors

    def to(self, device):
        self.device = device
        return self


class Processor:
    def __init__(self, audio_hop_length, audio_sampling_rate):
        assert (audio_hop_length, audio_sampling_rate) == (HOP, 48000)

    def __call__(self, descriptions, audios, anchors=None, masked_videos=None):
        assert len(descriptions) == len(audios) == len(anchors)
        assert audios[0].shape[0] == 1
        return Batch(torch.stack(audios), descriptions, anchors)


class TextEncoder(torch.nn.Module):
    calls = 0

    def __init__(self, config):
        super().__init__()
        self.files = {path.name for path in tiny.Path(config.name).iterdir()}
        assert {"config.json", "model.safetensors", "tokenizer.json"} == self.files
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, texts):
        TextEncoder.calls += 1
        values = torch.tensor([[[float(ord(letter))] for letter in text] for text in texts])
        return values, torch.ones(values.shape[:2], dtype=torch.bool)


class Network(torch.nn.Module):
    config_cls = Config
    seen: list

    def __init__(self, config):
        super().__init__()
        if config.fetched != []:
            raise OSError(f"cannot fetch {config.fetched} offline")
        self.transformer = torch.nn.Linear(1, 1)
        self.text_encoder = TextEncoder(config.text_encoder)

    def load_state_dict(self, state_dict, strict=True):
        raise AssertionError("upstream's own method hides what is missing")

    def separate(self, batch, noise=None, ode_opt=None, reranking_candidates=1, predict_spans=False):
        features, mask = self.text_encoder(batch.descriptions)
        assert mask.all()
        assert noise.shape == (reranking_candidates, batch.audios.shape[-1] // HOP, 16)
        self.seen.append((batch, ode_opt))
        drawn = torch.randn(1) + noise.mean() + features.mean() / 1000
        return SimpleNamespace(target=[batch.audios[0, 0] * 0.5 + drawn * 0.001], residual=[], noise=noise)


@pytest.fixture
def upstream(monkeypatch):
    """Upstream's package, and no MLX."""
    modules = {name: ModuleType(name) for name in ("sam_audio", "sam_audio.model", "sam_audio.model.text_encoder")}
    for name, module in modules.items():
        module.__spec__ = ModuleSpec(name, None, is_package=True)
        monkeypatch.setitem(sys.modules, name, module)
    modules["sam_audio"].SAMAudio, modules["sam_audio"].SAMAudioProcessor = Network, Processor
    modules["sam_audio.model.text_encoder"].T5TextEncoder = TextEncoder
    monkeypatch.delitem(sys.modules, "unbraid.backends.sam_audio_torch", raising=False)
    monkeypatch.setattr(Network, "seen", [], raising=False)
    monkeypatch.setattr(TextEncoder, "calls", 0)
    yield modules
    sys.modules.pop("unbraid.backends.sam_audio_torch", None)


@pytest.fixture
def made(tmp_path):
    path = tmp_path / "network.safetensors"
    save_file({"transformer.weight": torch.ones(1, 1), "transformer.bias": torch.ones(1)}, path)
    return tiny.fetched(tmp_path, network=path)


def test_the_torch_engine_gives_the_same_bits_in_any_number_of_segments(upstream, made, tmp_path):
    audio = noise(3 * CHUNK + 77, channels=2)
    options = {"engine": "torch", "anchors": [["+", 0, 0.01]]}
    whole = run(made, tmp_path / "1", audio, **options)
    assert whole.shape == (1, 2, len(audio))
    torch.manual_seed(99)
    assert np.array_equal(run(made, tmp_path / "3", audio, segments=3, **options), whole)
    assert not np.array_equal(run(made, tmp_path / "s", audio, seed=5, **options), whole)
    assert not np.array_equal(run(made, tmp_path / "p", audio, prompt="voice", **options), whole)


def test_the_torch_engine_is_asked_as_upstream_documents(upstream, made, tmp_path):
    run(made, tmp_path, noise(CHUNK, channels=2), engine="torch", anchors=[["+", 0, 0.01]], ode_steps=8)
    batch, ode = Network.seen[0]
    assert batch.descriptions == ["bass guitar"]
    assert batch.anchors == [[["+", 0, 0.01]]]
    assert batch.device == "cpu"
    assert ode == {"method": "euler", "options": {"step_size": 0.125}}
    assert len(Network.seen) == 2 * 2  # channels and chunks
    assert TextEncoder.calls == 1


def test_an_encoded_prompt_serves_the_torch_engine_too(upstream, made, tmp_path):
    file = tmp_path / "prompt.safetensors"
    sam_audio.encode_prompt(*made, file, {**SETTINGS, "engine": "torch"}, "cpu")
    assert sam_audio.read_prompt(file, "bass guitar").shape == (len("bass guitar"), 1)
    run(made, tmp_path, noise(CHUNK), prompt_file=file, engine="torch")
    assert TextEncoder.calls == 1


def test_candidates_need_rankers_and_their_absence_is_an_error(upstream, made, monkeypatch):
    with pytest.raises(UnbraidError, match=r"rankers that choose among 3 candidates .*cannot fetch \['b'\]"):
        session(made, engine="torch", candidates=3)
    monkeypatch.setattr(
        Network, "__init__", lambda self, config: (setattr(config, "fetched", []), NETWORK(self, config))[1]
    )
    found = session(made, engine="torch", candidates=3)
    assert found.separate(found.passes[0], noise(CHUNK).T[None], found.passes[0].grid.touching(CHUNK, 0, 1)).any()


NETWORK = Network.__init__


@pytest.mark.parametrize(
    ("tensors", "message"),
    [({"transformer.weight": (1, 1)}, "lack 1 tensors"),
     ({"transformer.weight": (1, 1), "transformer.bias": (1,), "transformer.more": (1,)}, "also hold 1 tensors"),
     ({"transformer.weight": (2, 2), "transformer.bias": (1,)}, "size mismatch")],
)  # fmt: skip
def test_weights_that_do_not_fit_the_torch_network_are_an_error(upstream, tmp_path, tensors, message):
    path = tmp_path / "n.safetensors"
    save_file({name: torch.ones(shape) for name, shape in tensors.items()}, path)
    with pytest.raises(UnbraidError, match=message):
        session(tiny.fetched(tmp_path, network=path), engine="torch")


def test_files_that_upstream_cannot_read_are_told(upstream, made, monkeypatch):
    monkeypatch.setattr(Config, "__init__", lambda self, **given: int("x"))
    with pytest.raises(UnbraidError, match=r"sam-config.json is damaged"):
        session(made, engine="torch")


def test_a_network_or_an_encoder_that_upstream_cannot_build_is_told(upstream, made, monkeypatch, tmp_path):
    monkeypatch.setattr(Network, "__init__", lambda self, config: int("x"))
    with pytest.raises(UnbraidError, match=r"sam-config.json is damaged"):
        session(made, engine="torch")
    monkeypatch.setattr(TextEncoder, "__init__", lambda self, config: int("x"))
    with pytest.raises(UnbraidError, match=r"t5-model.safetensors is damaged"):
        sam_audio.encode_prompt(*made, tmp_path / "p", {**SETTINGS, "engine": "torch"}, "cpu")


def test_a_gpu_that_is_too_small_is_an_error_with_a_remedy(upstream, made, monkeypatch):
    def full(self, *given, **rest):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    found = session(made, engine="torch")
    monkeypatch.setattr(Network, "separate", full)
    with pytest.raises(UnbraidError, match="sam-audio-small"):
        found.separate(found.passes[0], noise(CHUNK).T[None], found.passes[0].grid.touching(CHUNK, 0, 1))
    freed = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: freed.append(1))
    found._engine.device = "cuda:1"
    found.close()
    assert freed == [1]
    assert not hasattr(found._engine, "_network")


def machine(monkeypatch, installed, apple=False, cuda=0):
    monkeypatch.setattr(sam_audio, "find_spec", lambda package: package in installed or None)
    monkeypatch.setattr(sam_audio, "system", lambda: "Darwin" if apple else "Linux")
    monkeypatch.setattr(sam_audio, "machine", lambda: "arm64" if apple else "x86_64")
    monkeypatch.setattr(device_of_torch, "may_have_gpu", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.backends, "mps", SimpleNamespace(is_available=lambda: apple))


BOTH = ("mlx_audio", "sam_audio")


@pytest.mark.parametrize(
    ("installed", "apple", "cuda", "device", "engine", "chosen", "on"),
    [
        (BOTH, True, 0, "auto", "auto", "mlx", "auto"),
        (BOTH, True, 0, "cpu", None, "mlx", "cpu"),
        (BOTH, False, 1, "auto", "auto", "torch", "cuda"),
        (BOTH, False, 2, "cuda:1", "auto", "torch", "cuda:1"),
        (BOTH, False, 0, "auto", "auto", "torch", "cpu"),
        (BOTH, False, 1, "cpu", "auto", "torch", "cpu"),
        (BOTH, False, 1, "auto", "mlx", "mlx", "auto"),
        (BOTH, False, 0, "cpu", "torch", "torch", "cpu"),
        (BOTH, False, 1, "mlx", "auto", "mlx", "mlx"),
        (("mlx_audio",), False, 1, "auto", "auto", "mlx", "auto"),
        (("sam_audio",), False, 0, "auto", "auto", "torch", "cpu"),
        (("sam_audio",), True, 0, "mps", "auto", "torch", "mps"),
    ],
)
def test_the_best_engine_of_a_machine_is_chosen(monkeypatch, installed, apple, cuda, device, engine, chosen, on):
    machine(monkeypatch, installed, apple, cuda)
    assert sam_audio.choose(device, engine)[:2] == (chosen, on)


def test_a_slow_choice_says_why(monkeypatch):
    machine(monkeypatch, ("mlx_audio",))
    assert "minutes for each second" in sam_audio.choose("auto", "auto")[2][0]
    machine(monkeypatch, ("sam_audio",))
    assert "no GPU" in sam_audio.choose("auto", "auto")[2][0]
    machine(monkeypatch, BOTH, apple=True)
    assert sam_audio.choose("auto", "auto")[2] == []
    assert sam_audio.choose("cpu", "auto")[2] != []


@pytest.mark.parametrize(
    ("installed", "device", "engine", "message", "remedy"),
    [
        ((), "auto", "auto", "neither is installed", "pip install"),
        (("sam_audio",), "auto", "mlx", "engine=mlx needs the Python package mlx_audio", "mlx-audio"),
        (("mlx_audio",), "auto", "torch", "engine=torch needs the Python package sam_audio", "github"),
        (("mlx_audio",), "cuda", "auto", "device=cuda needs the Python package sam_audio", "github"),
        (BOTH, "cuda", "mlx", "engine=mlx cannot run on device=cuda", "engine=torch"),
        (BOTH, "mlx", "torch", "engine=torch cannot run on device=mlx", "engine=mlx"),
        (BOTH, "cuda", "auto", "sees no CUDA GPU", "driver"),
        (BOTH, "auto", "openvino", "does not run on the engine 'openvino'", "mlx, torch or auto"),
    ],
)
def test_what_cannot_run_is_an_error_that_says_what_to_install(monkeypatch, installed, device, engine, message, remedy):
    machine(monkeypatch, installed)
    with pytest.raises(UnbraidError, match=message) as caught:
        sam_audio.choose(device, engine)
    assert remedy in caught.value.remedy


def test_an_engine_that_does_not_import_is_an_error_with_the_install_command(monkeypatch):
    def fail(name):
        raise ImportError("libmlx.so: cannot open shared object file")

    monkeypatch.setattr(sam_audio, "import_module", fail)
    with pytest.raises(UnbraidError, match=r"libmlx\.so"):
        sam_audio._module("mlx")
