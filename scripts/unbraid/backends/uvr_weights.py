"""Files of UVR's models: kept byte for byte, since UVR knows a checkpoint's parameters by a digest of its bytes."""

import hashlib
import pickle
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unbraid.backends import uvr_config
from unbraid.backends.weights import damaged, keep_as_it_is
from unbraid.errors import UnbraidError

if TYPE_CHECKING:
    import torch

    from unbraid.catalogue import Model, Weights

HASHED = 10_000 * 1024  # bytes at the end of a checkpoint, whose md5 UVR's tables have as a key
TABLES = {uvr_config.VR: "vr_model_data", uvr_config.MDX: "mdx_model_data"}
NESTED = ("state_dict", "model")  # where training code puts the tensors beside other things

_MALFORMED = (ValueError, KeyError, AttributeError, TypeError, IndexError, AssertionError)


def kept_name(weights: "Weights") -> str:
    return weights.name


def keep(path: Path, target: Path, model: "Model", weights: "Weights", notes: dict[str, str]) -> dict[str, Any]:
    """Keep a file as it is, once it loads without running anything that is in it."""
    suffix = Path(weights.name).suffix
    if suffix in (".yaml", ".json"):
        uvr_config.read(path)
    elif suffix == ".onnx":
        check_onnx(path)
    else:
        read_tensors(path)
    return dict(keep_as_it_is(path, target, weights))


def read_tensors(path: Path) -> "dict[str, torch.Tensor]":
    """The tensors of a `.ckpt` or `.pth` by name. Raises: UnbraidError when it is damaged or holds code."""
    import torch

    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, OSError, EOFError, *_MALFORMED) as error:
        raise _explained(path, error) from error
    for name in NESTED:
        if isinstance(found, dict) and isinstance(found.get(name), dict):
            found = found[name]
    if not isinstance(found, dict) or not found or not all(hasattr(value, "dtype") for value in found.values()):
        raise damaged(path, ValueError("it holds no tensors by name"))
    return dict(found)


def _explained(path: Path, error: Exception) -> UnbraidError:
    from torch.serialization import get_unsafe_globals_in_checkpoint

    try:
        refused = get_unsafe_globals_in_checkpoint(str(path))
    except (pickle.UnpicklingError, RuntimeError, OSError, EOFError, *_MALFORMED):
        refused = []
    if not refused:
        return damaged(path, error)
    return UnbraidError(
        f"The checkpoint {path} was refused: loading it would run code ({', '.join(refused)}).",
        remedy="Use a checkpoint that holds tensors only, from a source you trust.",
    )


def load_tensors(network: Any, tensors: "dict[str, torch.Tensor]", path: Path) -> Any:
    """The network in eval mode with these tensors, every one of them. Raises: UnbraidError when they do not fit."""
    try:
        network.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        raise damaged(path, error) from error
    return network.eval()


def check_onnx(path: Path) -> None:
    """Raises: UnbraidError when it is no ONNX graph that is whole in itself."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        graph = onnx.load(str(path), load_external_data=False).graph
        if not graph.node:
            raise ValueError("it has no nodes")
        if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in graph.initializer):
            raise ValueError("its tensors are in another file")
    except (DecodeError, OSError, *_MALFORMED) as error:
        raise damaged(path, error) from error


def parameters(model: "Model", kind: str, checkpoint: Path, tables: Sequence[Path]) -> dict[str, Any]:
    """UVR's parameters of a VR or MDX-Net checkpoint: from its entry in the catalogue, else from UVR's tables.

    tables: `model_data.json`; the newer rows that audio-separator brings come before them.
    Raises: UnbraidError that says what to write when none of them has it.
    """
    known: dict[str, Any] = {}
    if uvr_config.missing(kind, model.parameters):
        digest = _digest(checkpoint)
        for table in tables:
            known |= uvr_config.read(table).get(digest) or {}
        known |= _shipped(kind).get(digest) or {}
    known |= model.parameters
    if absent := uvr_config.missing(kind, known):
        raise UnbraidError(
            f"Nothing is known of the {kind} checkpoint {checkpoint}: no table has its digest, and its entry in the"
            f" catalogue does not give {', '.join(absent)}.",
            remedy=f"Copy the entry of {model.name!r} into your own models.yaml and give them there under `parameters:`.",
        )
    return known


def _digest(path: Path) -> str:
    """How UVR knows a checkpoint: the md5 of its last bytes (`Separator.get_model_hash`). A name, not a check."""
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - HASHED))
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _shipped(kind: str) -> dict[str, Any]:
    with resources.as_file(resources.files("audio_separator") / "model-data.json") as path:
        return dict(uvr_config.read(path)[TABLES[kind]])


def order(model: "Model", stems: Sequence[str]) -> list[int]:
    """Where each stem of the catalogue is among what the network and the rest give.

    Raises: UnbraidError when they are not the same stems.
    """
    if sorted(stems) != sorted(model.stems):
        raise UnbraidError(
            f"The model {model.name!r} gives the stems {', '.join(stems)}, but its entry in the catalogue says"
            f" {', '.join(model.stems)}.",
            remedy="Correct `stems:` there.",
        )
    return [list(stems).index(stem) for stem in model.stems]
