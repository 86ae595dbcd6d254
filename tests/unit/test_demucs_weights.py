import os
import pickle
import sys
import types
import zipfile
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from demucs.demucs import Demucs
from demucs.hdemucs import HDemucs
from demucs.hf import load_safetensors_model
from demucs.htdemucs import HTDemucs
from safetensors.torch import save_file

import tiny_networks
from unbraid.backends import demucs_weights as weights
from unbraid.backends.weights import verify
from unbraid.catalogue import Source
from unbraid.errors import UnbraidError
from unbraid.fetch import fetch

DIGEST = "0123abcd" * 8


class Exploit:
    """An object whose unpickling creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name].float(), other[name].float()) for name in one)


def fetched(tmp_path: Path):
    """A model's folder as `fetch` leaves it."""
    source = Source("file", str(tiny_networks.checkpoint(tmp_path / "tiny.th")))
    model = tiny_networks.model(source)
    folder = tmp_path / "models/tiny"
    fetch(model, folder, log=lambda message: None)
    return model, folder


@pytest.mark.parametrize("klass", [HTDemucs, HDemucs, Demucs])
def test_a_checkpoint_of_each_class_becomes_the_same_network(tmp_path, klass):
    built = tiny_networks.network(klass)
    found = weights.load_checkpoint(tiny_networks.checkpoint(tmp_path / "a.th", built, half=False))
    weights.save(tmp_path / "a.safetensors", found)
    loaded = weights.load(tmp_path / "a.safetensors")
    mix = torch.rand(1, 2, 44100) - 0.5
    with torch.no_grad():
        assert torch.equal(loaded(mix), built(mix))
    assert not loaded.training


def test_half_precision_stays_half_in_the_file_and_is_float32_in_the_network(tmp_path):
    built = tiny_networks.network()
    found = weights.load_checkpoint(tiny_networks.checkpoint(tmp_path / "a.th", built))
    assert {tensor.dtype for tensor in found.state.values()} == {torch.float16}
    weights.save(tmp_path / "a.safetensors", found)
    assert {tensor.dtype for tensor in weights.read(tmp_path / "a.safetensors")[0].state.values()} == {torch.float16}
    state = weights.load(tmp_path / "a.safetensors").state_dict()
    assert {tensor.dtype for tensor in state.values()} == {torch.float32}
    assert same(state, {name: tensor.half() for name, tensor in built.state_dict().items()})


def test_upstreams_own_loader_reads_our_file(tmp_path):
    built = tiny_networks.network(segment=Fraction(39, 5))
    found = weights.load_checkpoint(tiny_networks.checkpoint(tmp_path / "a.th", built, half=False))
    weights.save(tmp_path / "a.safetensors", found, {"source": "a test"})
    theirs = load_safetensors_model(tmp_path / "a.safetensors")
    assert theirs.segment == Fraction(39, 5)
    assert same(theirs.state_dict(), built.state_dict())


def test_a_file_as_upstream_publishes_it_is_read(tmp_path):
    built = tiny_networks.network()
    metadata = {
        "klass": "demucs.htdemucs.HTDemucs",
        "args": "[]",
        "kwargs": '{"sources": ["drums", "bass", "other", "vocals"], "channels": 8, "nfft": 512, "depth": 2,'
        ' "t_heads": 2, "bottom_channels": 16, "t_layers": 2, "segment": {"_type": "fraction", "numerator": 39,'
        ' "denominator": 5}}',
    }
    save_file(
        {name: tensor.half() for name, tensor in built.state_dict().items()}, tmp_path / "a.safetensors", metadata
    )
    loaded = weights.load(tmp_path / "a.safetensors")
    assert loaded.segment == Fraction(39, 5)
    assert same(loaded.state_dict(), {name: tensor.half() for name, tensor in built.state_dict().items()})


def test_a_pickle_that_would_run_code_is_refused_and_runs_nothing(tmp_path):
    package = tiny_networks.package(tiny_networks.network()) | {"training_args": Exploit(tmp_path / "harm")}
    torch.save(package, tmp_path / "a.th")
    with pytest.raises(UnbraidError, match="would run code"):
        weights.load_checkpoint(tmp_path / "a.th")
    assert not (tmp_path / "harm").exists()
    torch.load(tmp_path / "a.th", weights_only=False)  # it is a real one: read without care, it does its harm
    assert (tmp_path / "harm").exists()


def test_a_bare_pickle_that_would_run_code_is_refused_and_runs_nothing(tmp_path):
    (tmp_path / "a.th").write_bytes(pickle.dumps(Exploit(tmp_path / "harm"), protocol=2))
    with pytest.raises(UnbraidError, match=r"a\.th"):
        weights.load_checkpoint(tmp_path / "a.th")
    assert not (tmp_path / "harm").exists()


def test_an_allowed_class_cannot_be_used_to_reach_another(tmp_path):
    package = tiny_networks.package(tiny_networks.network()) | {"klass": Fraction}
    torch.save(package, tmp_path / "a.th")
    with pytest.raises(UnbraidError, match="not a checkpoint"):
        weights.load_checkpoint(tmp_path / "a.th")


@pytest.mark.parametrize("core", ["numpy._core", "numpy.core"])
def test_plain_numpy_numbers_in_the_training_notes_are_no_obstacle(tmp_path, core):
    package = tiny_networks.package(tiny_networks.network())
    package["training_args"] = {"lr": np.float64(3e-4), "epochs": np.int64(360), "half": np.float32(0.5)}
    torch.save(package, tmp_path / "new.th")
    with zipfile.ZipFile(tmp_path / "new.th") as new, zipfile.ZipFile(tmp_path / "a.th", "w") as old:
        for item in new.infolist():
            # numpy 1, with which upstream's files were written, had this module under another name.
            old.writestr(
                item.filename, new.read(item).replace(b"numpy._core.multiarray", f"{core}.multiarray".encode())
            )
    assert len(weights.load_checkpoint(tmp_path / "a.th").state) == len(package["state"])


@pytest.mark.parametrize(
    "package", [3, {"state": {}}, {"klass": HTDemucs, "args": (), "kwargs": {}, "state": {"a": 1}}]
)
def test_another_kind_of_checkpoint_is_an_error_that_names_the_file(tmp_path, package):
    torch.save(package, tmp_path / "a.th")
    with pytest.raises(UnbraidError, match=r"a\.th is not a checkpoint"):
        weights.load_checkpoint(tmp_path / "a.th")


def test_arguments_that_the_network_has_since_dropped_do_not_matter(tmp_path):
    package = tiny_networks.package(tiny_networks.network())
    package["kwargs"] = {**package["kwargs"], "long_gone": 1}
    torch.save(package, tmp_path / "a.th")
    assert "long_gone" not in weights.load_checkpoint(tmp_path / "a.th").kwargs


@pytest.mark.parametrize("keep", [0, 100, 0.5, 0.99])
def test_a_checkpoint_that_is_cut_short_is_an_error_that_says_to_delete_it(tmp_path, keep):
    whole = tiny_networks.checkpoint(tmp_path / "whole.th").read_bytes()
    (tmp_path / "a.th").write_bytes(whole[: int(keep * len(whole)) if isinstance(keep, float) else keep])
    with pytest.raises(UnbraidError, match=r"Delete .*a\.th"):
        weights.load_checkpoint(tmp_path / "a.th")


def quantized(tmp_path: Path, monkeypatch) -> tuple[Path, torch.nn.Module]:
    """A checkpoint as diffq packs it, and a stand-in for diffq that unpacks it: every parameter halved."""

    class DiffQuantizer:
        pass

    class UniformQuantizer:
        pass

    def restore_quantized_state(network, state):
        for parameter, packed in zip(network.parameters(), state["quantized"], strict=True):
            parameter.data[:] = packed.float() / 2

    diffq = types.ModuleType("diffq")
    for part in (DiffQuantizer, UniformQuantizer, restore_quantized_state):
        part.__module__, part.__qualname__ = "diffq", part.__name__
        setattr(diffq, part.__name__, part)
    monkeypatch.setitem(sys.modules, "diffq", diffq)
    built = tiny_networks.network()
    state = {"quantized": [2 * parameter.data for parameter in built.parameters()], "__quantized": True}
    package = tiny_networks.package(built) | {"state": {**state, "meta": {"klass": DiffQuantizer}}}
    torch.save(package, tmp_path / "q.th")
    return tmp_path / "q.th", built


def test_quantized_weights_are_unpacked_by_diffq(tmp_path, monkeypatch):
    path, built = quantized(tmp_path, monkeypatch)
    assert same(weights.load_checkpoint(path).state, built.state_dict())


def test_quantized_weights_without_diffq_are_an_error_that_says_to_install_it(tmp_path, monkeypatch):
    path, _ = quantized(tmp_path, monkeypatch)
    monkeypatch.setitem(sys.modules, "diffq", None)
    with pytest.raises(UnbraidError, match="pip install diffq"):
        weights.load_checkpoint(path)


def test_a_class_named_in_a_safetensors_file_is_never_imported(tmp_path):
    (tmp_path / "evil_module.py").write_text("open('harm', 'w')\n")
    save_file(
        {"a": torch.zeros(1)}, tmp_path / "a.safetensors", {"klass": "evil_module.Net", "args": "[]", "kwargs": "{}"}
    )
    with pytest.raises(UnbraidError, match="not a checkpoint of a Demucs"):
        weights.load(tmp_path / "a.safetensors")
    assert "evil_module" not in sys.modules


def test_a_safetensors_file_that_is_cut_short_is_an_error_that_says_to_delete_it(tmp_path):
    _, folder = fetched(tmp_path)
    path = folder / "one.safetensors"
    whole = path.read_bytes()
    for size in (0, 5, 1000, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(UnbraidError, match=r"Delete .*one\.safetensors"):
            weights.load(path)


def test_tensors_of_another_network_are_an_error_that_names_the_file(tmp_path):
    found = weights.load_checkpoint(tiny_networks.checkpoint(tmp_path / "a.th"))
    name = next(iter(found.state))
    missing = found._replace(state={key: tensor for key, tensor in found.state.items() if key != name})
    for broken in (missing, found._replace(state={**found.state, name: torch.zeros(3)})):
        weights.save(tmp_path / "a.safetensors", broken)
        with pytest.raises(UnbraidError, match=r"a\.safetensors is damaged"):
            weights.load(tmp_path / "a.safetensors")


def test_what_fetch_leaves_passes_verification(tmp_path):
    model, folder = fetched(tmp_path)
    before = (folder / "one.safetensors").read_bytes()
    verify(folder, model)
    assert (folder / "one.safetensors").read_bytes() == before


def test_a_flipped_bit_is_an_error_that_says_to_delete_the_file_and_run_again(tmp_path):
    model, folder = fetched(tmp_path)
    path = folder / "one.safetensors"
    data = bytearray(path.read_bytes())
    data[-1000] ^= 1
    path.write_bytes(data)
    with pytest.raises(UnbraidError, match=r"Delete .*one\.safetensors and .*model\.json and run again"):
        verify(folder, model)


@pytest.mark.parametrize("text", [None, "", "{}", "[1]", '{"weights": {"one": {"sha256": "a"}}}'])
def test_a_missing_or_broken_record_is_an_error_that_says_to_run_again(tmp_path, text):
    model, folder = fetched(tmp_path)
    (folder / "model.json").unlink()
    if text is not None:
        (folder / "model.json").write_text(text)
    with pytest.raises(UnbraidError, match=r"Delete .*model\.json and run again"):
        verify(folder, model)


def test_a_missing_weight_file_is_an_error_that_names_it(tmp_path):
    model, folder = fetched(tmp_path)
    (folder / "one.safetensors").unlink()
    with pytest.raises(UnbraidError, match=r"one\.safetensors"):
        verify(folder, model)


def test_weights_other_than_the_catalogue_now_names_are_an_error(tmp_path):
    model, folder = fetched(tmp_path)
    pinned = replace(model, weights=(replace(model.weights[0], sha256=DIGEST),))
    elsewhere = replace(model.weights[0].sources[0], sha256=DIGEST)
    for other in (pinned, replace(model, weights=(replace(model.weights[0], sources=(elsewhere,)),))):
        with pytest.raises(UnbraidError, match="not those that the catalogue names"):
            verify(folder, other)
