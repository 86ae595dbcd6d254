"""The demucs session beside the network: memory that runs out, devices, batches. A CPU stands in for the GPU here."""

import gc
import sys
import weakref
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
import torch
from demucs.hdemucs import HDemucs
from demucs.htdemucs import HTDemucs

from real_weights import fetched
from stages_by_hand import REFERENCE, begun, separated
from test_upstream_parity import tiny_model
from unbraid.backends import device
from unbraid.backends import torch_session as backend
from unbraid.backends.session import Statistics, load
from unbraid.errors import UnbraidError
from unbraid.files import read_json
from unbraid.setup import demo_path

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))
from half_precision import Rounded

STATISTICS = Statistics(frames=44100, rate=44100, channels=2, mean=0.0, std=1.0, peak=1.0)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("tiny"), HTDemucs)


FULL = torch.OutOfMemoryError("CUDA out of memory.")


class Memory:
    """A GPU that has room for `fits` chunks (for `later`, once it was given some), those in flight counted, and fails as a
    full one does. `sizes`: of what it and the CPU were given. `order`: of what was begun and what was waited for."""

    def __init__(self, monkeypatch, fits, error=FULL, kind="mps", later=None, batch=4):
        self.sizes, self.order = [], []
        self.fits, self.flying = fits, 0
        real = backend.TorchSession._begin

        def begin(session, index, chunks):
            count, gpu = len(chunks), session.device == kind
            self.sizes.append((session.device, count))
            if gpu and self.flying + count > self.fits:
                raise error
            where, session.device = session.device, "cpu"
            try:
                wait = real(session, index, chunks)
            finally:
                session.device = where
            self.fits = self.fits if later is None else later
            self.flying += count
            self.order.append(("begun", count))

            def ended():
                self.flying -= count
                self.order.append(("waited for", count))
                return wait()

            return ended

        monkeypatch.setattr(backend.TorchSession, "_begin", begin)
        monkeypatch.setattr(backend, "resolve", lambda name: (kind, []))
        monkeypatch.setattr(backend.torch.mps, "empty_cache", lambda: None)
        monkeypatch.setattr(backend.torch.cuda, "mem_get_info", lambda device: (80 * 2**30, 80 * 2**30))
        monkeypatch.setattr(backend, "BATCH", {kind: batch})


def noise(frames):
    return np.random.default_rng(1).standard_normal((frames, 2)).astype(np.float32) * 0.1


def test_batches_give_the_stems_of_single_chunks(tiny, tmp_path, monkeypatch):
    made, folder, _ = tiny
    single = separated(tmp_path / "1", noise(200_000), made, folder)
    memory = Memory(monkeypatch, fits=4)
    batched = separated(tmp_path / "4", noise(200_000), made, folder)
    assert memory.sizes == [("mps", 4), ("mps", 3)]
    assert apart(batched, single) <= -100


def apart(found, true):
    """The level of what differs, in dB."""
    rest, whole = (np.square(audio, dtype=np.float64).sum() for audio in (found - true, true))
    return 10 * np.log10(rest / whole + 1e-30)


@pytest.fixture(scope="module")
def single(tiny, tmp_path_factory):
    """The stems of four chunks, each evaluated alone."""
    return separated(tmp_path_factory.mktemp("single"), noise(100_000), *tiny[:2])


def test_cuda_has_its_next_batch_before_the_last_one_is_waited_for(tiny, single, tmp_path, monkeypatch):
    memory = Memory(monkeypatch, fits=100, kind="cuda", batch=1)
    batched = separated(tmp_path, noise(100_000), *tiny[:2])
    begun, ended = ("begun", 1), ("waited for", 1)
    assert memory.order == [begun, begun, ended, begun, ended, begun, ended, ended]
    assert apart(batched, single) <= -100


TWO, ONE = [("cuda", 2)], [("cuda", 1)]


@pytest.mark.parametrize(
    ("later", "sizes", "notices", "device"),
    [(2, [*TWO, *TWO, *TWO], 0, "cuda"),  # there is room again as soon as the first batch is fetched
     (1, [*TWO, *TWO, *TWO, *ONE, *ONE], 1, "cuda"),
     (0, [*TWO, *TWO, *TWO, *ONE, ("cpu", 1), ("cpu", 1)], 2, "cpu")],
)  # fmt: skip
def test_memory_that_runs_out_with_a_batch_in_flight_loses_nothing(
    tiny, single, tmp_path, monkeypatch, later, sizes, notices, device
):
    memory = Memory(monkeypatch, fits=2, kind="cuda", later=later, batch=2)
    assert apart(separated(tmp_path, noise(100_000), *tiny[:2]), single) <= -100
    assert memory.sizes == sizes
    report = read_json(tmp_path / "0.json")
    assert (len(report["notices"]), report["device"], report["arithmetic"]) == (notices, device, "float32")
    assert memory.flying == 0


@pytest.mark.parametrize(("free", "batch"), [(80, 8), (15, 4), (5, 2), (3, 1), (1, 1)])
def test_a_batch_is_what_the_free_memory_holds(monkeypatch, free, batch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free * 2**30, 80 * 2**30))
    assert backend._batch("cuda:1") == batch


def test_a_gpu_without_room_for_cuda_itself_is_tried_with_one_chunk_and_other_errors_are_errors(monkeypatch):
    def refuse(error, device):
        raise error

    monkeypatch.setattr(torch.cuda, "mem_get_info", partial(refuse, FULL))
    assert backend._batch("cuda") == 1
    monkeypatch.setattr(torch.cuda, "mem_get_info", partial(refuse, RuntimeError("unspecified launch failure")))
    with pytest.raises(RuntimeError, match="launch failure"):
        backend._batch("cuda")


FAST = {**REFERENCE, "precision": "fast", "engine": "torch"}


def test_fast_is_in_half_precision_on_cuda_and_exact_is_not(tiny, single, tmp_path, monkeypatch):
    made, folder, _ = tiny
    Memory(monkeypatch, fits=4, kind="cuda")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 6))
    exact = separated(tmp_path / "exact", noise(100_000), made, folder)
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32
    fast = separated(tmp_path / "fast", noise(100_000), made, folder, settings=FAST)
    assert not torch.backends.cudnn.allow_tf32  # what bfloat16 leaves out is float32
    assert [read_json(tmp_path / name / "0.json")["arithmetic"] for name in ("exact", "fast")] == [
        "float32",
        "bfloat16",
    ]
    assert apart(exact, single) <= -100
    assert -80 <= apart(fast, single) <= -30


@pytest.mark.parametrize(
    ("where", "capability", "klass", "taken"),
    [("cuda", (9, 0), HTDemucs, "bfloat16"), ("cuda:1", (7, 5), HTDemucs, "float32"), ("cuda", (8, 0), HDemucs, "tf32"),
     ("mps", None, HTDemucs, "float32"), ("cpu", None, HTDemucs, "float32")],
)  # fmt: skip
def test_half_precision_is_for_networks_and_gpus_that_were_measured(
    tmp_path, monkeypatch, where, capability, klass, taken
):
    made, folder, _ = tiny_model(tmp_path, klass, segment=1)
    monkeypatch.setattr(backend, "resolve", lambda name: (where, []))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2**33, 2**33))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    for settings, arithmetic in ((FAST, taken), (REFERENCE, "float32")):
        assert begun(made, folder, STATISTICS, settings).arithmetic == arithmetic
        assert torch.backends.cudnn.allow_tf32 is torch.backends.cuda.matmul.allow_tf32 is (arithmetic == "tf32")


@pytest.mark.weights
def test_the_real_weights_lose_no_more_than_a_twentieth_of_a_decibel_in_half_precision():
    made, folder = fetched("htdemucs")
    session = begun(made, folder, STATISTICS, {**FAST, "overlap": 0}, threads=2)
    one = session.passes[0]
    mix, *true = (stream.T[:, : one.grid.chunk] for stream in streams(demo_path()))
    shown = np.zeros((1, 2, one.grid.chunk), dtype=np.float32)
    shown[0, :, : mix.shape[1]] = (mix - mix.mean()) / mix.std()
    whole = session.separate(one, shown, [])
    rounded = Rounded(made, folder, {**FAST, "overlap": 0}, "cpu", 2)
    rounded.begin(STATISTICS)
    assert rounded.arithmetic == "bfloat16"
    half = rounded.separate(rounded.passes[0], shown, [])
    for exact, rounded, stem in zip(whole[0], half[0], true, strict=True):
        rest = [apart(found[:, : mix.shape[1]] * mix.std() + mix.mean(), stem) for found in (exact, rounded)]
        assert 0 < abs(rest[1] - rest[0]) <= 0.05


def streams(path):
    """Of stempeg's example, [frames, channels]: the mix, drums, bass, other and vocals."""
    for index in range(5):
        with av.open(path) as container:
            parts = [frame.to_ndarray() for frame in container.decode(container.streams.audio[index])]
        yield np.concatenate(parts, axis=1).T[:268_288]


def test_when_memory_runs_out_the_batch_is_halved_and_it_is_said(tiny, tmp_path, monkeypatch, caplog):
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
def test_when_even_one_chunk_does_not_fit_the_cpu_goes_on_in_the_same_class(tiny, single, tmp_path, monkeypatch, error):
    Memory(monkeypatch, fits=0, error=error)
    assert apart(separated(tmp_path, noise(100_000), *tiny[:2]), single) <= -100
    report = read_json(tmp_path / "0.json")
    assert report["device"] == "cpu"
    assert "even for one chunk; going on with the CPU in float32" in report["notices"][-1]


def test_a_model_of_long_chunks_is_told_of_a_smaller_one(tmp_path, monkeypatch):
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


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_a_session_frees_its_networks(tiny, monkeypatch, kind):
    made, folder, _ = tiny
    Memory(monkeypatch, fits=4, kind=kind)
    session = load(made, folder, REFERENCE, kind, 1)
    freed = weakref.ref(session.networks[0])
    gc.disable()
    try:
        session.close()
    finally:
        gc.enable()
    assert session.networks == []
    assert freed() is None


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
    device.may_have_gpu.cache_clear()
    assert device.may_have_gpu() is worth
    monkeypatch.setattr(device, "system", lambda: "Darwin")
    device.may_have_gpu.cache_clear()
    assert device.may_have_gpu()
    device.may_have_gpu.cache_clear()


@pytest.mark.parametrize(
    ("asked", "cuda", "message"),
    [("cuda", 0, "sees no CUDA GPU"), ("cuda:2", 2, "sees 2 CUDA GPU"), ("mps", 0, "no Apple GPU"), ("mlx", 0, "no engine for device=mlx")],
)  # fmt: skip
def test_a_device_that_is_not_there_is_an_error_with_a_remedy(monkeypatch, asked, cuda, message):
    seen(monkeypatch, cuda)
    with pytest.raises(UnbraidError, match=message) as caught:
        device.resolve(asked)
    assert caught.value.remedy


def test_a_gpu_always_sees_one_shape_so_that_a_chunks_bits_depend_on_no_others(tiny, monkeypatch):
    session = begun(
        *tiny[:2], Statistics(frames=200_000, rate=44100, channels=2, mean=0.0, std=1.0, peak=1.0), REFERENCE
    )
    audio = noise(6 * 44100).T.reshape(2, 6, -1).transpose(1, 0, 2).copy()
    one = session.passes[0]
    alone = session.separate(one, audio, [])
    shapes, real = [], session.evaluate
    monkeypatch.setattr(session, "evaluate", lambda index, shown: shapes.append(len(shown)) or real(index, shown))
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, *where, **how: tensor)
    monkeypatch.setattr(torch.nn.Module, "to", lambda module, *where: module)
    session.device, session.batch = "mps", 4
    together = session.separate(one, audio, [])
    assert shapes == [4, 4]
    assert together.shape == alone.shape
    np.testing.assert_allclose(together, alone, atol=1e-6)
