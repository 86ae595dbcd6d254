"""HTDemucs on OpenVINO: the same stems as torch's, whatever the threads and segments, and what is compiled is kept."""

import logging
import os
import subprocess
import sys

import numpy as np
import pytest
from demucs.hdemucs import HDemucs
from demucs.htdemucs import HTDemucs

from real_weights import fetched
from stages_by_hand import REFERENCE, separated
from test_upstream_parity import CHUNK, decibels, noise, tiny_model
from unbraid.backends import demucs_openvino, openvino_models
from unbraid.backends.demucs import DemucsSession
from unbraid.backends.session import load
from unbraid.errors import UnbraidError
from unbraid.files import read_json

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
    assert read_json(folder / "0.json")["engine"] == "openvino"
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


def test_a_network_is_compiled_once_for_a_machine(tiny, audio, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(openvino_models, "_converted", lambda *arguments: pytest.fail("compiled again"))
    assert np.array_equal(separated(tmp_path, audio, *tiny, settings=F32), whole)


def test_what_was_compiled_and_is_damaged_is_compiled_again(tiny, audio, whole, tmp_path):
    (kept,) = (tiny[1] / "openvino").glob("*.blob")
    content = bytearray(kept.read_bytes())
    content[len(content) // 2] ^= 255
    kept.write_bytes(content)
    assert openvino_models._read(kept) is None
    assert np.array_equal(separated(tmp_path, audio, *tiny, settings=F32), whole)
    assert openvino_models._read(kept)


def test_a_models_folder_that_cannot_be_written_is_no_obstacle(tiny, audio, whole, tmp_path, monkeypatch, caplog):
    logging.getLogger("unbraid").propagate = True

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
from unbraid.backends.openvino_models import _converted
_converted(torch.nn.ReLU(), [torch.zeros(1, 2)])
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
    monkeypatch.setattr(demucs_openvino, "resolve", lambda device: ("cuda", []))
    assert not demucs_openvino.wanted("auto", FAST)
    assert not demucs_openvino.wanted("cuda:1", FAST)


def test_without_the_package_torch_computes_and_it_is_said(tiny, monkeypatch):
    monkeypatch.setattr(demucs_openvino, "find_spec", lambda name: None)
    session = opened(tiny, precision="fast")
    assert session.engine == "torch"
    assert session.notices == [demucs_openvino.MISSING]


@pytest.mark.parametrize(
    ("device", "installed", "message"),
    [("cuda", True, "cannot run on device=cuda"), ("cpu", False, "needs the Python package openvino")],
)
def test_it_is_an_error_with_a_remedy_to_ask_for_what_cannot_be_had(tiny, monkeypatch, device, installed, message):
    monkeypatch.setattr(demucs_openvino, "find_spec", lambda name: installed or None)
    with pytest.raises(UnbraidError, match=message) as caught:
        opened(tiny, device=device, engine="openvino")
    assert caught.value.remedy


def test_other_networks_stay_torchs_also_in_one_bag(tmp_path):
    audio = noise(CHUNK + 5)
    for name in ("bag", "alone"):
        (tmp_path / name).mkdir()
    made, folder, _ = tiny_model(tmp_path / "bag", HTDemucs, HDemucs, segment=1)
    true = separated(tmp_path / "torch", audio, made, folder)
    assert decibels(separated(tmp_path / "openvino", audio, made, folder, settings=FAST), true) <= -80
    assert read_json(tmp_path / "openvino/0.json")["engine"] == "openvino"

    alone, place, _ = tiny_model(tmp_path / "alone", HDemucs, segment=1)
    session = load(alone, place, FAST, "cpu", 1)
    assert isinstance(session, DemucsSession)
    assert session.engine == "torch"
    with pytest.raises(UnbraidError, match="runs HTDemucs only"):
        load(alone, place, F32, "cpu", 1)


@pytest.mark.weights
def test_the_real_weights_give_torchs_stems_to_minus_80_db(tmp_path):
    from unbraid.audio.decode import Decoder
    from unbraid.setup import demo_path

    audio = np.concatenate(list(Decoder(demo_path())))[: 9 * 44100]
    made, folder = fetched("htdemucs")
    ours, theirs = (
        separated(tmp_path / name, audio, made, folder, settings=how) for name, how in (("a", F32), ("b", None))
    )
    for stem, true in zip(ours, theirs, strict=True):
        assert decibels(stem, true) <= -80
