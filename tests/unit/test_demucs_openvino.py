"""HTDemucs on OpenVINO: the same stems as torch's, whatever the threads and segments, and what is compiled is kept."""

import dataclasses
import inspect
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from itertools import chain

import numpy as np
import openvino
import pytest
import torch
from demucs.hdemucs import HDemucs
from demucs.htdemucs import HTDemucs

from real_weights import fetched
from stages_by_hand import REFERENCE, separated
from test_upstream_parity import CHUNK, decibels, noise, tiny_model
from tiny_networks import checkpoint, network
from unbraid.backends import demucs_engine, demucs_openvino, demucs_spectrum, demucs_weights, openvino_models
from unbraid.backends.demucs import DemucsSession
from unbraid.backends.demucs_openvino_core import Core
from unbraid.backends.joint import Joint
from unbraid.backends.session import Statistics, load
from unbraid.errors import UnbraidError
from unbraid.files import read_json
from unbraid.grid import Chunk

FAST = {**REFERENCE, "precision": "fast"}
F32 = {**REFERENCE, "engine": "openvino"}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("tiny"), HTDemucs)[:2]


@pytest.fixture(scope="module")
def audio():
    return noise(3 * CHUNK + 777)


@pytest.fixture(scope="module")
def whole(tiny, audio, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    made = separated(folder, audio, *tiny, settings=F32)
    report = read_json(folder / "0.json")
    assert (report["engine"], report["arithmetic"]) == ("openvino", "float32")
    return made


def test_the_stems_are_torchs_to_minus_80_db(tiny, audio, whole, tmp_path):
    true = separated(tmp_path, audio, *tiny)
    for ours, theirs in zip(whole, true, strict=True):
        assert decibels(ours, theirs) <= -80


@pytest.mark.parametrize("threads", [1, 3])
def test_the_bits_depend_on_no_number_of_threads(tiny, audio, whole, tmp_path, threads):
    assert np.array_equal(separated(tmp_path, audio, *tiny, settings=F32, threads=threads), whole)


@pytest.mark.parametrize("segments", [2, 5])
def test_the_bits_depend_on_no_number_of_segments(tiny, audio, whole, tmp_path, segments):
    assert np.array_equal(separated(tmp_path, audio, *tiny, settings=F32, segments=segments), whole)


def test_a_song_shorter_than_a_chunk_is_shown_as_upstream_shows_it(tiny, tmp_path):
    short = noise(CHUNK // 3)
    ours, theirs = (separated(tmp_path / name, short, *tiny, settings=how) for name, how in (("a", F32), ("b", None)))
    assert decibels(ours, theirs) <= -80


def test_songs_that_share_a_session_get_the_bits_that_each_gets_alone(tiny):
    session = load(*tiny, F32, "cpu", 2)
    joint = Joint(session)
    statistics = Statistics(frames=20 * CHUNK, rate=44100, channels=2, mean=0.0, std=0.1, peak=1.0)

    def song(seed, count, guest, slowly=0.0):
        guest.begin(statistics)
        (one,) = guest.passes
        draw = np.random.default_rng(seed)
        for at in range(count):
            chunk = Chunk(at * one.grid.stride, one.grid.chunk)
            yield chunk, draw.standard_normal((2, guest.valid_length(one, one.grid.chunk)), dtype=np.float32)
            time.sleep(slowly)

    def made(seed, count, slowly=0.0):
        guest = joint.guest()
        shown = song(seed, count, guest, slowly)
        first = next(shown)  # begins the song
        return [output for _, output in guest.stream(guest.passes[0], chain([first], shown))]

    alone = [made(seed, count) for seed, count in ((1, 7), (2, 3))]
    with ThreadPoolExecutor(2) as pool:
        both = [
            pool.submit(made, 1, 7),
            pool.submit(made, 2, 3, 0.2),
        ]  # the second one keeps the first waiting for nothing
        together = [one.result() for one in both]
    joint.close()
    for ours, theirs in zip(together, alone, strict=True):
        assert len(ours) == len(theirs)
        assert all(np.array_equal(one, other) for one, other in zip(ours, theirs, strict=True))


def test_a_network_is_compiled_once_for_a_machine(tiny, audio, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(demucs_openvino, "_converted", lambda path: pytest.fail("compiled again"))
    assert np.array_equal(separated(tmp_path, audio, *tiny, settings=F32), whole)


def test_what_was_compiled_and_is_damaged_is_compiled_again(tiny, audio, whole, tmp_path):
    (kept,) = (tiny[1] / "openvino").glob("*.blob")
    content = bytearray(kept.read_bytes())
    content[len(content) // 2] ^= 255
    kept.write_bytes(content)
    assert openvino_models._read(kept) is None
    assert np.array_equal(separated(tmp_path, audio, *tiny, settings=F32), whole)
    assert openvino_models._read(kept) is not None


def test_a_models_folder_that_cannot_be_written_is_no_obstacle(tiny, audio, whole, tmp_path, monkeypatch, caplog):

    def refuse(**where):
        raise PermissionError("read-only")

    monkeypatch.setattr(openvino_models, "_read", lambda path: None)
    monkeypatch.setattr(openvino_models.tempfile, "mkstemp", refuse)
    assert np.array_equal(separated(tmp_path, audio, *tiny, settings=F32), whole)
    assert "cannot be kept" in caplog.text


def test_nothing_is_told_to_anyone_about_a_conversion(tmp_path):
    """Its maker's reports need a file of consent in the home folder, which is written with the first."""
    code = """
import sys
import torch
import unbraid.backends
from unbraid.backends.demucs_openvino_core import converted
converted(torch.nn.ReLU(), [torch.zeros(1, 2)])
assert not [name for name in sys.modules if name.startswith("openvino_telemetry.")]
"""
    home = {**os.environ, "HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=home, check=True)
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_breaks_off_leaves_nothing(tmp_path, monkeypatch):
    def full(*names):
        raise OSError("disk full")

    monkeypatch.setattr(openvino_models.os, "replace", full)
    openvino_models._keep(b"blob", tmp_path / "kept" / "a.blob")
    assert list((tmp_path / "kept").iterdir()) == []


@pytest.mark.parametrize(
    ("able", "exact", "taken"), [(["FP32", "BF16"], False, "bf16"), (["FP32", "BF16"], True, "f32"), (["FP32"], False, "f32")]
)  # fmt: skip
def test_half_precision_is_taken_where_it_is_allowed_and_the_processor_has_it(able, exact, taken):
    class Machine:
        def get_property(self, device, name):
            return able

    assert openvino_models.precision(Machine(), exact=exact) == taken


def opened(tiny, device="cpu", **settings):
    session = load(*tiny, {**REFERENCE, **settings}, device, 1)
    session.close()
    return session


def test_a_cpu_takes_it_for_fast_and_torch_for_exact(tiny):
    assert opened(tiny, precision="fast").engine == "openvino"
    assert opened(tiny, precision="fast", device="auto").engine == "openvino"
    assert opened(tiny, precision="exact").engine == "torch"
    assert opened(tiny, precision="fast", engine="torch").engine == "torch"
    assert opened(tiny, precision="exact", engine="openvino").engine == "openvino"


def test_a_gpu_keeps_torch(tiny, monkeypatch):
    monkeypatch.setattr(demucs_engine, "resolve", lambda device: ("cuda", []))
    assert not demucs_engine.openvino_wanted("auto", FAST)
    assert not demucs_engine.openvino_wanted("cuda:1", FAST)


def test_without_the_package_torch_computes_and_it_is_said(tiny, monkeypatch):
    monkeypatch.setattr(demucs_engine, "find_spec", lambda name: None)
    session = opened(tiny, precision="fast")
    assert session.engine == "torch"
    assert session.notices == [demucs_engine.NO_OPENVINO]


@pytest.mark.parametrize(
    ("device", "installed", "message"),
    [("cuda", True, "cannot run on device=cuda"), ("cpu", False, "needs the Python package openvino")],
)
def test_it_is_an_error_with_a_remedy_to_ask_for_what_cannot_be_had(tiny, monkeypatch, device, installed, message):
    monkeypatch.setattr(demucs_engine, "find_spec", lambda name: installed or None)
    with pytest.raises(UnbraidError, match=message) as caught:
        opened(tiny, device=device, engine="openvino")
    assert caught.value.remedy


def test_a_model_with_another_network_is_torchs_altogether(tmp_path):
    for name, klasses in (("bag", (HTDemucs, HDemucs)), ("alone", (HDemucs,))):
        (tmp_path / name).mkdir()
        made, folder, _ = tiny_model(tmp_path / name, *klasses, segment=1)
        session = load(made, folder, FAST, "cpu", 1)
        assert isinstance(session, DemucsSession)
        assert session.engine == "torch"
        with pytest.raises(UnbraidError, match="runs HTDemucs only"):
            load(made, folder, F32, "cpu", 1)


def test_a_bag_of_its_networks_gives_torchs_stems(tmp_path):
    audio = noise(CHUNK + 5)
    made, folder, _ = tiny_model(tmp_path, HTDemucs, HTDemucs, mixing=((1, 0, 1, 1), (0, 1, 1, 1)))
    ours, theirs = (
        separated(tmp_path / name, audio, made, folder, settings=how) for name, how in (("a", F32), ("b", None))
    )
    assert decibels(ours, theirs) <= -80


OTHERS = {
    "plain": {"bottom_channels": 0, "t_layers": 0, "freq_emb": 0, "dconv_mode": 0},
    "residuals on both sides": {"dconv_mode": 3, "dconv_depth": 3, "context_enc": 1, "sources": ["a", "b", "c"]},
    "transformer as wide as the layers": {"bottom_channels": 0, "t_norm_out": False},
    "normalised in groups": {"t_norm_out": 2, "audio_channels": 1},
    "a chunk not in fours": {"segment": Fraction(44099, 44100), "depth": 1},
}


@pytest.mark.parametrize("changes", OTHERS.values(), ids=OTHERS)
def test_networks_of_other_shapes_give_upstreams_stems_too(tmp_path, changes):
    built = network(HTDemucs, **changes)
    path = tmp_path / "n.safetensors"
    demucs_weights.save(path, demucs_weights.load_checkpoint(checkpoint(tmp_path / "n.th", built, half=False)))
    form = demucs_openvino.form(path)
    audio = noise(form.chunk)[:, : built.audio_channels].T.copy()
    shown = torch.from_numpy(audio)[None], torch.from_numpy(demucs_spectrum.analyse(audio, form.nfft))[None]
    with torch.inference_mode():
        theirs = built(shown[0])[0].numpy()
        made = [output.contiguous().numpy() for output in Core(demucs_weights.load(path))(*shown)]
    assert decibels(demucs_openvino._stems(*made, form), theirs) <= -100


@pytest.mark.parametrize(
    "changes",
    [{"cac": False}, {"use_train_segment": False}, {"norm_starts": 1}, {"depth": 4}, {"rewrite": False}, {"multi_freqs": [0.5]}],
    ids=str,
)  # fmt: skip
def test_a_network_that_its_layers_do_not_know_is_torchs(tmp_path, changes):
    path = tmp_path / "n.safetensors"
    stored = demucs_weights.load_checkpoint(checkpoint(tmp_path / "n.th", network(HTDemucs, **changes)))
    demucs_weights.save(path, stored)
    assert demucs_openvino.form(path) is None


def test_what_a_file_does_not_say_is_what_upstream_takes():
    known = inspect.signature(HTDemucs).parameters
    for unsaid in (demucs_openvino.UNSAID, demucs_openvino.ASSUMED):
        assert {name: known[name].default for name in unsaid} == unsaid


def test_the_transforms_are_upstreams(tiny):
    built = demucs_weights.load(tiny[1] / "n0.safetensors")
    audio = noise(CHUNK).T
    with torch.inference_mode():
        mixed = built._spec(torch.from_numpy(audio.copy())[None])
        shown = built._magnitude(mixed)
        spectra = torch.stack([shown[0], shown[0] * 2])[None]
        theirs = built._ispec(built._mask(mixed, spectra), CHUNK)[0].numpy()
    ours = demucs_spectrum.analyse(audio, built.nfft)
    assert ours.dtype == np.float32
    assert decibels(ours, shown[0].numpy()) <= -120
    stems, parts, bins, frames = spectra[0].shape
    apart = (
        spectra[0].reshape(stems, parts // 2, 2, bins // 4, 4, frames).permute(3, 5, 0, 4, 1, 2).contiguous().numpy()
    )
    assert decibels(demucs_spectrum.synthesise(apart, built.nfft, CHUNK), theirs) <= -120


def test_a_song_that_was_broken_off_does_not_disturb_the_next(tiny, audio):
    session = load(*tiny, F32, "cpu", 2)
    session.begin(Statistics(len(audio), 44100, 2, mean=0.0, std=1.0, peak=1.0))
    one = session.passes[0]
    chunks = one.grid.touching(len(audio), 0, len(audio))[:3]
    shown = [audio[chunk.position : chunk.position + CHUNK].T for chunk in chunks]
    whole = session.separate(one, np.stack(shown), chunks)
    for stopped in range(3):
        broken = session.stream(one, zip(chunks, shown, strict=True))
        for _ in range(stopped):
            next(broken)
        del broken
        assert np.array_equal(session.separate(one, np.stack(shown), chunks), whole)
    session.close()


def test_neither_torch_nor_upstream_is_imported_once_the_network_is_compiled(tiny, whole, tmp_path):
    made, folder = tiny
    code = f"""
import sys
from pathlib import Path
from pydantic import TypeAdapter
from unbraid.backends.session import Statistics, load
from unbraid.catalogue import Model
model = TypeAdapter(Model).validate_json({json.dumps(dataclasses.asdict(made), default=str)!r})
session = load(model, Path({str(folder)!r}), {FAST!r}, "cpu", 1)
session._ready(0)
assert session.engine == "openvino"
assert not {{"torch", "demucs"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """Real audio, the real network and its folder, and torch's stems."""
    from unbraid.audio.decode import Decoder
    from unbraid.setup import demo_path

    audio = np.concatenate(list(Decoder(demo_path())))[: 9 * 44100]
    made, folder = fetched("htdemucs")
    return audio, made, folder, separated(tmp_path_factory.mktemp("real"), audio, made, folder)


@pytest.mark.weights
def test_the_real_weights_give_torchs_stems_to_minus_80_db(real, tmp_path):
    audio, made, folder, theirs = real
    for stem, true in zip(separated(tmp_path, audio, made, folder, settings=F32), theirs, strict=True):
        assert decibels(stem, true) <= -80


@pytest.mark.weights
@pytest.mark.skipif(
    "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"),
    reason="this processor has no bfloat16",
)
def test_in_half_precision_the_real_weights_give_torchs_stems_to_minus_30_db(real, tmp_path):
    audio, made, folder, theirs = real
    for stem, true in zip(separated(tmp_path, audio, made, folder, settings=FAST), theirs, strict=True):
        assert decibels(stem, true) <= -30
    assert read_json(tmp_path / "0.json")["arithmetic"] == "bfloat16"
