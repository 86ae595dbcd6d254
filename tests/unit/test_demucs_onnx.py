import hashlib
import json
import struct

import numpy as np
import onnx
import pytest
import torch
from demucs.demucs import LayerScale as ConvolutionScale
from demucs.transformer import LayerScale
from onnx import helper, numpy_helper

import real_weights
import tiny_networks
from unbraid import catalogue
from unbraid.backends import demucs_onnx, demucs_weights, tensors
from unbraid.backends.weights import verify
from unbraid.errors import UnbraidError

# The sha256 that demucs.cpp's conversion of upstream's 955717e8-8726e21a.th to ggml has, as published with it.
GGML_SHA256 = "72b17c42d308982ddb5069bc3bf48b81a5aac4cb6516e4366c0fa7cef6df0064"
GGML_BYTES = 83_994_361


@pytest.fixture
def tiny(monkeypatch):
    """A small network with values as in upstream's files (half precision); `rebuild` is told to expect its shape."""
    built = tiny_networks.network(dconv_mode=3)
    for parameter in built.parameters():
        parameter.data = parameter.data.half().float()
    monkeypatch.setattr(demucs_onnx, "ARGUMENTS", dict(built._init_args_kwargs[1]))
    return built


def scope(module):
    """The module's place in the exporter's spelling: a child of a Sequential repeats its parent's name."""
    parts = []
    for part in module.split("."):
        parts.append(f"{parts[-1]}.{part}" if part.isdigit() else part)
    kept = [one for one, child in zip(parts, [*parts[1:], ""], strict=True) if not child.startswith(one + ".")]
    return "/" + "/".join(kept)


def graph(network):
    """The network's tensors as folding leaves them: [(tensor's name, values, operation or None, its scope)]."""
    entries = []
    modules = dict(network.named_modules())
    for name, tensor in network.state_dict().items():
        values = tensor.numpy()
        module, _, leaf = name.rpartition(".")
        owner = modules[module]
        if name == "freq_emb.embedding.weight":
            entries.append(("onnx::Expand_1", values.T[None, :, :, None] * np.float32(10), "Expand", "/Expand"))
        elif isinstance(owner, torch.nn.GroupNorm):
            entries.append((f"onnx::{name}", values[:, None], {"weight": "Mul", "bias": "Add"}[leaf], scope(module)))
        elif isinstance(owner, LayerScale | ConvolutionScale) and ".dconv." in name:
            entries.append((f"onnx::{name}", values[:, None], "Mul", scope(module)))
        elif isinstance(owner, torch.nn.Linear) and leaf == "weight" and ".linear" in name:
            entries.append((f"onnx::{name}", values.T, "MatMul", scope(module)))
        elif leaf == "in_proj_weight" and ".cross_attn" in name:
            query, rest = np.split(values, [len(values) // 3])
            entries += [(f"onnx::{name}_{k}", part.T, "MatMul", scope(module)) for k, part in enumerate((query, rest))]
        elif leaf == "in_proj_bias" and ".cross_attn" in name:
            query, rest = np.split(values, [len(values) // 3])
            entries += [(f"onnx::{name}_{k}", part, "Add", scope(module)) for k, part in enumerate((query, rest))]
        elif leaf == "in_proj_weight":
            entries.append((f"onnx::{name}", values.T, "MatMul", scope(module)))
        else:
            entries.append((name, values, None, ""))
    return entries


def write(path, entries):
    nodes = []
    for index, (name, _, operation, place) in enumerate(entries):
        node = place if operation == "Expand" else f"{place}/{operation}"
        inputs = ["x", name] if operation else ["x"]
        nodes.append(helper.make_node(operation or "Identity", inputs, [f"y{index}"], name=node))
    values = [numpy_helper.from_array(np.ascontiguousarray(entry[1]), entry[0]) for entry in entries]
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", [], [], values)), path)
    return path


def test_every_tensor_is_rebuilt_exactly_and_in_half_precision(tiny, tmp_path):
    entries = graph(tiny)
    assert sum(entry[2] is not None for entry in entries) > 50
    found = demucs_onnx.rebuild(write(tmp_path / "a.onnx", entries))
    expected = tiny.state_dict()
    assert list(found.state) == list(expected)
    for name, tensor in found.state.items():
        assert tensor.dtype == torch.float16
        assert torch.equal(tensor.float(), expected[name]), name
    network = demucs_weights.build(found, tmp_path)
    mix = torch.rand(1, 2, 44100) - 0.5
    with torch.no_grad():
        assert torch.equal(network(mix), tiny(mix))


def test_a_missing_tensor_is_an_error_that_names_it(tiny, tmp_path):
    entries = graph(tiny)
    folded = [index for index, entry in enumerate(entries) if entry[2]]
    for index in [0, *folded]:
        rest = entries[:index] + entries[index + 1 :]
        with pytest.raises(UnbraidError, match="is missing or not of shape"):
            demucs_onnx.rebuild(write(tmp_path / "a.onnx", rest))


@pytest.mark.parametrize(
    "entry",
    [
        ("onnx::Mul_1", np.zeros(3, np.float32), "Mul", "/nowhere"),
        ("onnx::MatMul_1", np.zeros((3, 3), np.float32), "MatMul", "/encoder.0/conv"),
    ],
)
def test_a_tensor_that_has_no_place_in_the_network_is_an_error(tiny, tmp_path, entry):
    with pytest.raises(UnbraidError, match="have no place in the network"):
        demucs_onnx.rebuild(write(tmp_path / "a.onnx", [*graph(tiny), entry]))


def test_a_tensor_of_another_shape_is_an_error_that_names_it(tiny, tmp_path):
    entries = [
        (name, values[..., :-1] if name == "encoder.0.conv.weight" else values, *rest)
        for name, values, *rest in graph(tiny)
    ]
    with pytest.raises(UnbraidError, match=r"tensor encoder\.0\.conv\.weight is missing or not of shape"):
        demucs_onnx.rebuild(write(tmp_path / "a.onnx", entries))


@pytest.mark.parametrize("touched", ["encoder.0.conv.weight", "onnx::Expand_1"])
def test_values_that_upstream_cannot_have_stored_are_an_error(tiny, tmp_path, touched):
    entries = [
        (name, values * np.float32(1.00001) if name == touched else values, *rest)
        for name, values, *rest in graph(tiny)
    ]
    with pytest.raises(UnbraidError, match=r"half precision does not hold|is missing or not of shape"):
        demucs_onnx.rebuild(write(tmp_path / "a.onnx", entries))


@pytest.mark.parametrize("data", [b"", b"<html>not found</html>", bytes(1000)])
def test_a_file_of_another_kind_is_an_error_that_names_it(tmp_path, data):
    (tmp_path / "a.onnx").write_bytes(data)
    with pytest.raises(UnbraidError, match=r"a\.onnx are not the HTDemucs export"):
        demucs_onnx.rebuild(tmp_path / "a.onnx")


def test_the_golden_chunk_is_the_recorded_one_and_stereo():
    chunk = demucs_onnx.golden_input()
    assert (chunk.shape, chunk.dtype) == ((1, 2, 343980), np.float32)
    assert np.abs(chunk).max() < 1
    assert np.abs(chunk[0, 0] - chunk[0, 1]).mean() > 0.1
    noise = (
        chunk[0, 0] - 0.2 * sum(np.sin(2 * np.pi * f * np.arange(343980) / 44100) for f in (55, 220, 1234.5, 5000))
    ) / 0.3
    first = np.array([int(raw) >> 11 for raw in np.random.PCG64(20221115).random_raw(3)]) / 2**53 - 0.5
    assert np.allclose(noise[:3], first, atol=1e-6)


def test_the_golden_numbers_are_of_the_onnx_file_that_the_catalogue_pins():
    golden = json.loads(demucs_onnx.GOLDEN.read_text())
    model = catalogue.load([real_weights.HOME / "config/models.yaml"])["htdemucs"]
    assert golden["onnx_sha256"] == model.weights[0].sources[1].member_sha256
    assert tuple(golden["stems"]) == model.stems
    assert all(np.shape(samples) == (2, len(golden["frames"])) for samples in golden["stems"].values())


def test_a_network_that_does_not_do_as_recorded_is_an_error(tmp_path):
    class Silent:
        sources = tiny_networks.STEMS

        def __call__(self, mix):
            return torch.zeros(1, 4, 2, mix.shape[-1])

    with pytest.raises(UnbraidError, match=r"a\.onnx are not the HTDemucs export.*trial run"):
        demucs_onnx.check_golden(Silent(), tmp_path / "a.onnx")


@pytest.mark.weights
def test_the_rebuilt_weights_are_upstreams_bit_for_bit():
    """Upstream's file is not among what the tests may fetch, but the sha256 of its conversion to ggml is known."""
    _, folder = real_weights.fetched("htdemucs")
    checkpoint, _ = demucs_weights.read(folder / "955717e8.safetensors")
    digest, size = hashlib.sha256(struct.pack("<i", 0x646D6334)), 4
    for name in demucs_weights.build(checkpoint, folder).state_dict():  # the order in which upstream stored them
        values = checkpoint.state[name].squeeze().numpy()
        assert values.dtype == np.float16
        header = struct.pack(f"<{2 + values.ndim}i", values.ndim, len(name), *values.shape) + name.encode()
        digest.update(header + values.tobytes())
        size += len(header) + values.nbytes
    assert size == GGML_BYTES
    assert digest.hexdigest() == GGML_SHA256


@pytest.mark.weights
def test_the_real_weights_are_pinned_and_do_as_onnxruntime_recorded():
    model, folder = real_weights.fetched("htdemucs")
    verify(folder, model)
    checkpoint, _ = demucs_weights.read(folder / "955717e8.safetensors")
    assert tensors.digest(checkpoint.state) == model.weights[0].sha256
    network = demucs_weights.build(checkpoint, folder)
    assert demucs_onnx.check_golden(network, folder) < 1e-3
    attention = network.crosstransformer.layers[3].cross_attn.in_proj_weight.data
    attention[:1024] = attention[:1024].roll(512, 0)  # query and key swapped, as a wrong rebuild might
    with pytest.raises(UnbraidError, match="trial run"):
        demucs_onnx.check_golden(network, folder)
