"""Weights of the demucs family: read upstream's pickles safely, keep them as safetensors, know them by their values.

The safetensors layout is upstream's own (`demucs.hf`): the tensors under their state-dict names, and in the metadata
the class name and its arguments as JSON. So the files made here open in upstream's code as well. They hold no code.
"""

import inspect
import json
import pickle
from collections.abc import Mapping, Sequence
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from unbraid.backends import tensors
from unbraid.backends.weights import damaged
from unbraid.errors import UnavailableError, UnbraidError

if TYPE_CHECKING:
    import torch

    from unbraid.catalogue import Model, Weights

CLASSES = ("demucs.htdemucs.HTDemucs", "demucs.hdemucs.HDemucs", "demucs.demucs.Demucs")
"""The networks that may be built. A name in a file is looked up here and never imported."""

_MALFORMED = (ValueError, KeyError, AttributeError, TypeError, IndexError, AssertionError)  # what nonsense runs into


class Checkpoint(NamedTuple):
    """A network, not built yet: its class (one of CLASSES), the arguments it is built with, and its tensors by name."""

    klass: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    state: "dict[str, torch.Tensor]"


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read one of upstream's `.th` files without running anything that is in it.

    The pickle may name the three network classes, `Fraction`, plain numpy numbers and diffq's quantizers, nothing else.
    Half-precision tensors are kept as they are; diffq's packed ones come out as float32 (this needs `diffq`).
    Raises UnbraidError when the file is damaged, names anything else, or is no demucs checkpoint.
    """
    import torch

    try:
        with torch.serialization.safe_globals(_allowed()):
            package = torch.load(path, map_location="cpu", weights_only=True)
    except (FileNotFoundError, PermissionError):
        raise
    except (pickle.UnpicklingError, RuntimeError, OSError, EOFError, *_MALFORMED) as error:
        raise _explained(path, error) from error
    return _unpacked(path, package)


def _allowed() -> list[Any]:
    import numpy as np
    from numpy._core import multiarray

    numbers = [np.dtype, *{type(np.dtype(code)) for code in "?bBhHiIlLqQefd"}]
    # Upstream's files were written with numpy 1, where this function had another address.
    scalar = [(multiarray.scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    return [*_classes().values(), Fraction, *numbers, *scalar, *_quantizers()]


def _classes() -> dict[str, Any]:
    from demucs.demucs import Demucs
    from demucs.hdemucs import HDemucs
    from demucs.htdemucs import HTDemucs

    return dict(zip(CLASSES, (HTDemucs, HDemucs, Demucs), strict=True))


def _quantizers() -> list[Any]:
    try:
        diffq = import_module("diffq")
    except ImportError:
        return []
    return [diffq.DiffQuantizer, diffq.UniformQuantizer]


def _explained(path: str | Path, error: Exception) -> UnbraidError:
    """Why a checkpoint did not load: because of names that are not allowed in it, or because it is damaged."""
    from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

    try:
        with safe_globals(_allowed()):
            refused = get_unsafe_globals_in_checkpoint(path)
    except (RuntimeError, OSError, EOFError, pickle.UnpicklingError, *_MALFORMED):
        refused = []
    if not refused:
        return damaged(path, error)
    if any(name.startswith("diffq.") for name in refused) and not _quantizers():
        return _needs_diffq(path)
    return UnbraidError(
        f"The checkpoint {path} was refused: loading it would run code other than demucs' networks"
        f" ({', '.join(refused)}).",
        remedy="Use a checkpoint from a source you trust, or the same weights as .safetensors.",
    )


def _needs_diffq(path: str | Path) -> UnbraidError:
    return UnbraidError(
        f"The weights in {path} are quantized with diffq, which is not installed.",
        remedy="Run `pip install diffq` in unbraid's environment and start again, or use the model without `_q`.",
    )


def _unpacked(path: str | Path, package: Any) -> Checkpoint:
    classes = _classes()
    names = {klass: name for name, klass in classes.items()}
    try:
        klass, args, kwargs, state = (package[key] for key in ("klass", "args", "kwargs", "state"))
        name = names[klass]
    except (KeyError, TypeError) as error:
        raise _not_demucs(path) from error
    if not (isinstance(args, tuple | list) and isinstance(kwargs, dict) and isinstance(state, dict)):
        raise _not_demucs(path)
    known = inspect.signature(klass).parameters
    # Like upstream: arguments of the training code that the network has since dropped do not matter.
    kwargs = {key: value for key, value in kwargs.items() if key in known}
    if state.get("__quantized"):
        state = _restored(path, _network(path, name, args, kwargs), state)
    if not all(hasattr(tensor, "dtype") for tensor in state.values()):
        raise _not_demucs(path)
    return Checkpoint(name, tuple(args), kwargs, dict(state))


def _not_demucs(path: str | Path) -> UnbraidError:
    return UnbraidError(
        f"{path} is not a checkpoint of a Demucs, HDemucs or HTDemucs network.",
        remedy="Check which file the catalogue (config/models.yaml) names for this model.",
    )


def _restored(path: str | Path, network: Any, state: dict[str, Any]) -> "dict[str, torch.Tensor]":
    quantizers = _quantizers()
    if not quantizers:
        raise _needs_diffq(path)
    if state.get("meta", {}).get("klass") not in quantizers:
        raise _not_demucs(path)
    import_module("diffq").restore_quantized_state(network, state)
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def save(path: str | Path, checkpoint: Checkpoint, notes: Mapping[str, str] | None = None) -> None:
    """Write `checkpoint` as safetensors, atomically. `notes` join the metadata (where the weights came from)."""
    metadata = {
        **(notes or {}),
        "klass": checkpoint.klass,
        "args": json.dumps(_plain(checkpoint.args)),
        "kwargs": json.dumps(_plain(checkpoint.kwargs)),
    }
    tensors.write(path, checkpoint.state, metadata)


def _plain(value: Any) -> Any:
    """`value` in JSON's types; a Fraction in upstream's spelling. Anything else is not an argument of a network."""
    if isinstance(value, Fraction):
        return {"_type": "fraction", "numerator": value.numerator, "denominator": value.denominator}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):  # a numpy number
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise UnbraidError(
        f"The checkpoint has an argument of type {type(value).__name__}, which no network of demucs takes.",
        remedy="Check which file the catalogue (config/models.yaml) names for this model.",
    )


def _decoded(value: Any) -> Any:
    if isinstance(value, dict):
        if value.get("_type") == "fraction":
            return Fraction(value["numerator"], value["denominator"])
        return {key: _decoded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    return value


def read(path: str | Path) -> tuple[Checkpoint, dict[str, str]]:
    """The checkpoint in a safetensors file (made here or by upstream) and the file's metadata.

    Tensors keep the precision they are stored in. Raises UnbraidError for a file that is damaged, cut short or of
    another kind; a flipped bit inside a tensor is found by `tensors.digest`, not here.
    """
    state, metadata = tensors.read(path)
    return Checkpoint(*_arguments(path, metadata), state), metadata


def arguments(path: str | Path) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    """(class, args, kwargs) of the network in a safetensors file, without its tensors. Raises like `read`."""
    return _arguments(path, tensors.metadata(path))


def _arguments(path: str | Path, metadata: Mapping[str, str]) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    if metadata.get("klass") not in CLASSES or "structure" in metadata:  # `structure`: diffq's packed tensors
        raise _not_demucs(path)
    try:
        args, kwargs = _decoded(json.loads(metadata["args"])), _decoded(json.loads(metadata["kwargs"]))
        return metadata["klass"], tuple(args), dict(kwargs)
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise damaged(path, error) from error


def build(checkpoint: Checkpoint, path: str | Path) -> Any:
    """The network itself (a `torch.nn.Module`), float32, in eval mode, every tensor taken from the checkpoint.

    path: the file to name in the UnbraidError that is raised when the tensors are not those of the network.
    """
    network = _network(path, checkpoint.klass, checkpoint.args, checkpoint.kwargs)
    try:
        network.load_state_dict(checkpoint.state, strict=True)
    except RuntimeError as error:
        raise damaged(path, error) from error
    return network.eval()


def _network(path: str | Path, klass: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    try:
        return _classes()[klass](*args, **kwargs)
    except (RuntimeError, ZeroDivisionError, *_MALFORMED) as error:
        raise damaged(path, error) from error


def load(path: str | Path) -> Any:
    """The network in a safetensors file, float32, in eval mode. Raises UnbraidError like `read` and `build`."""
    return build(read(path)[0], path)


def kept_name(weights: "Weights") -> str:
    return f"{weights.name}.safetensors"


def keep(path: Path, target: Path, model: "Model", weights: "Weights", notes: dict[str, str]) -> dict[str, Any]:
    """Convert a file of weights to safetensors, once its network is the one that the catalogue describes."""
    checkpoint, origin = _ready(target, weights) if path == target else (_convert(path), notes["source_sha256"])
    digest = tensors.digest(checkpoint.state)
    if weights.sha256 not in (None, digest):
        raise UnavailableError(f"its tensors have the sha256 {digest[:16]}… and should have {weights.sha256[:16]}…")
    network = build(checkpoint, target)
    found = (tuple(network.sources), network.samplerate, network.audio_channels)
    if found != (model.stems, model.rate, model.channels):
        raise UnavailableError(f"its stems, rate and channels are {found}, not those of the catalogue")
    if path != target:
        save(target, checkpoint, {**notes, "tensors_sha256": digest})
    return {"source_sha256": origin, "tensors_sha256": digest}


def _ready(path: Path, weights: "Weights") -> tuple[Checkpoint, str]:
    checkpoint, notes = read(path)
    origin = notes.get("source_sha256", "")
    digest = tensors.digest(checkpoint.state)
    if notes.get("tensors_sha256", digest) != digest:
        raise UnavailableError("it is damaged")
    if not weights.admits(digest, origin):
        raise UnavailableError("it holds other weights than the catalogue names")
    return checkpoint, origin or (digest if weights.sha256 else "")


def _convert(path: Path) -> Checkpoint:
    from unbraid.backends import demucs_onnx

    if path.suffix == ".safetensors":
        return read(path)[0]
    if path.suffix != ".onnx":
        return load_checkpoint(path)
    checkpoint = demucs_onnx.rebuild(path)
    demucs_onnx.check_golden(build(checkpoint, path), path)
    return checkpoint
