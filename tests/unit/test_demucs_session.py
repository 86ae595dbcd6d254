"""The demucs session beside the network: memory that runs out, devices, batches. A CPU stands in for the GPU here."""

import logging
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from demucs.htdemucs import HTDemucs

from stages_by_hand import REFERENCE, separated
from test_upstream_parity import tiny_model
from unbraid.backends import device
from unbraid.backends import torch_session as backend
from unbraid.backends.session import Statistics, load
from unbraid.errors import UnbraidError
from unbraid.files import read_json

STATISTICS = Statistics(frames=44100, rate=44100, channels=2, mean=0.0, std=1.0, peak=1.0)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("tiny"), HTDemucs)


FULL = torch.OutOfMemoryError("CUDA out of memory.")


class Memory:
    """Makes every evaluation of more than `fits` chunks fail as a full GPU does, while the session is on that GPU."""

    def __init__(self, monkeypatch, fits, error=FULL):
        self.sizes = []
        real = backend.TorchSession._evaluate

        def evaluate(session, index, chunks):
            self.sizes.append((session.device, len(chunks)))
            if session.device == "mps" and len(chunks) > fits:
                raise error
            where, session.device = session.device, "cpu"
            try:
                return real(session, index, chunks)
            finally:
                session.device = where

        monkeypatch.setattr(backend.TorchSession, "_evaluate", evaluate)
        monkeypatch.setattr(backend, "resolve", lambda name: ("mps", []))
        monkeypatch.setattr(backend.torch.mps, "empty_cache", lambda: None)
        monkeypatch.setattr(backend, "BATCH", {"mps": 4})


def noise(frames):
    return np.random.default_rng(1).standard_normal((frames, 2)).astype(np.float32) * 0.1


def test_batches_give_the_stems_of_single_chunks(tiny, tmp_path, monkeypatch):
    made, folder, _ = tiny
    single = separated(tmp_path / "1", noise(200_000), made, folder)
    memory = Memory(monkeypatch, fits=4)
    batched = separated(tmp_path / "4", noise(200_000), made, folder)
    assert memory.sizes == [("mps", 4), ("mps", 3)]
    error = np.square(batched - single, dtype=np.float64).sum() / np.square(single, dtype=np.float64).sum()
    assert 10 * np.log10(error + 1e-30) <= -100


def test_when_memory_runs_out_the_batch_is_halved_and_it_is_said(tiny, tmp_path, monkeypatch, caplog):
    logging.getLogger("unbraid").propagate = True
    made, folder, _ = tiny
    memory = Memory(monkeypatch, fits=2)
    stems = separated(tmp_path, noise(200_000), made, folder)
    assert np.isfinite(stems).all()
    assert memory.sizes == [("mps", 4), ("mps", 2), ("mps", 2), ("mps", 2), ("mps", 1)]
    report = read_json(tmp_path / "0.json")
    assert report["device"] == "mps"
    assert report["notices"] == ["The memory of mps ran out; going on with 2 chunk(s) at a time."]
    assert report["notices"][0] in caplog.text


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("MPS backend out of memory")]
)
def test_when_even_one_chunk_does_not_fit_the_cpu_goes_on_in_the_same_class(tiny, tmp_path, monkeypatch, error):
    made, folder, _ = tiny
    expected = separated(tmp_path / "cpu", noise(100_000), made, folder)
    Memory(monkeypatch, fits=0, error=error)
    found = separated(tmp_path / "gpu", noise(100_000), made, folder)
    level = np.square(found - expected, dtype=np.float64).sum() / np.square(expected, dtype=np.float64).sum()
    assert 10 * np.log10(level + 1e-30) <= -100
    report = read_json(tmp_path / "gpu" / "0.json")
    assert report["device"] == "cpu"
    assert "even for one chunk; going on with the CPU at the same precision" in report["notices"][-1]


def test_a_model_of_long_chunks_is_told_of_a_smaller_one(tmp_path, monkeypatch):
    from demucs.hdemucs import HDemucs

    made, folder, _ = tiny_model(tmp_path, HDemucs, segment=1)
    Memory(monkeypatch, fits=0)
    separated(tmp_path / "x", noise(10_000), made, folder)
    assert "The model htdemucs works on much shorter chunks" in read_json(tmp_path / "x" / "0.json")["notices"][-1]


def test_another_runtime_error_is_not_taken_for_memory(tiny, tmp_path, monkeypatch):
    made, folder, _ = tiny
    Memory(monkeypatch, fits=0, error=RuntimeError("shape mismatch"))
    with pytest.raises(RuntimeError, match="shape mismatch"):
        separated(tmp_path, noise(1000), made, folder)
    assert list(tmp_path.glob(".*partial")) == []


def test_a_session_frees_its_networks(tiny):
    made, folder, _ = tiny
    session = load(made, folder, REFERENCE, "cpu", 1)
    session.close()
    assert session.networks == []


def test_an_unknown_backend_is_an_error_that_names_the_known_ones(tiny):
    import dataclasses

    made, folder, _ = tiny
    with pytest.raises(UnbraidError, match=r"There is no backend 'spleter'. Did you mean 'spleeter'"):
        load(dataclasses.replace(made, backend="spleter"), folder, REFERENCE, "cpu", 1)


def seen(monkeypatch, cuda=0, mps=False, build="12.8"):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.backends, "mps", SimpleNamespace(is_available=lambda: mps))
    monkeypatch.setattr(torch, "version", SimpleNamespace(cuda=build))
    monkeypatch.setattr(device, "may_have_gpu", lambda: True)


@pytest.mark.parametrize(
    ("asked", "cuda", "mps", "got"),
    [("cpu", 1, True, "cpu"), ("auto", 1, False, "cuda"), ("auto", 0, True, "mps"), ("cuda:1", 2, False, "cuda:1"),
     ("cuda", 1, False, "cuda"), ("mps", 0, True, "mps")],
)  # fmt: skip
def test_a_device_that_is_there_is_taken(monkeypatch, asked, cuda, mps, got):
    seen(monkeypatch, cuda, mps)
    assert device.resolve(asked) == (got, [])


@pytest.mark.parametrize(("build", "reason"), [(None, "no CUDA"), ("12.8", "nvidia-smi")])
def test_auto_falls_back_to_the_cpu_with_a_notice_that_says_why(monkeypatch, build, reason):
    seen(monkeypatch, build=build)
    name, notices = device.resolve("auto")
    assert name == "cpu"
    assert "Running on the CPU" in notices[0]
    assert reason in notices[0]


def test_a_machine_without_a_device_of_a_gpu_is_a_cpu_without_asking_torch(monkeypatch):
    seen(monkeypatch, cuda=1)
    monkeypatch.setattr(device, "may_have_gpu", lambda: False)
    name, notices = device.resolve("auto")
    assert (name, len(notices)) == ("cpu", 1)


@pytest.mark.parametrize(("there", "worth"), [("", False), ("nvidia0", True), ("dxg", True), ("kfd", True)])
def test_torch_is_asked_where_linux_shows_a_gpu(monkeypatch, there, worth):
    monkeypatch.setattr(device, "system", lambda: "Linux")
    monkeypatch.setattr(device.Path, "exists", lambda path: str(path) == f"/dev/{there}")
    assert device.may_have_gpu() is worth
    monkeypatch.setattr(device, "system", lambda: "Darwin")
    assert device.may_have_gpu()


@pytest.mark.parametrize(
    ("asked", "cuda", "message"),
    [("cuda", 0, "sees no CUDA GPU"), ("cuda:2", 2, "sees 2 CUDA GPU"), ("mps", 0, "no Apple GPU"), ("mlx", 0, "no engine for device=mlx")],
)  # fmt: skip
def test_a_device_that_is_not_there_is_an_error_with_a_remedy(monkeypatch, asked, cuda, message):
    seen(monkeypatch, cuda)
    with pytest.raises(UnbraidError, match=message) as caught:
        device.resolve(asked)
    assert caught.value.remedy
