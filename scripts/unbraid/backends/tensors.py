"""Tensors by name: safetensors files of them, and a digest that knows them by their values."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from unbraid.backends.weights import damaged
from unbraid.files import replacing

if TYPE_CHECKING:
    import torch


def digest(state: "Mapping[str, torch.Tensor]") -> str:
    """The sha256 of a network's values: names in sorted order, shapes, and little-endian float32 bytes.

    The same whether the tensors are stored in half or single precision, and whichever file they came from.
    """
    found = hashlib.sha256()
    for name in sorted(state):
        values = state[name].detach().cpu().float().contiguous().numpy().astype("<f4", copy=False)
        found.update(json.dumps([name, list(values.shape)]).encode())
        found.update(values.data)
    return found.hexdigest()


def write(path: str | Path, state: "Mapping[str, torch.Tensor]", metadata: dict[str, str]) -> None:
    """Write a safetensors file, atomically."""
    from safetensors import torch as safetensors

    tensors = {name: tensor.contiguous() for name, tensor in state.items()}
    with replacing(path) as partial:
        # Not `save_file`: its errors carry no errno, and a full disk should be known as one.
        partial.write_bytes(safetensors.save(tensors, metadata))


def metadata(path: str | Path) -> dict[str, str]:
    """What a safetensors file says beside its tensors, which stay unread. Raises UnbraidError like `read`."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError, ValueError) as error:
        raise damaged(path, error) from error


def read(path: str | Path) -> "tuple[dict[str, torch.Tensor], dict[str, str]]":
    """The tensors of a safetensors file, in the precision they are stored in, and its metadata.

    Raises UnbraidError for a file that is damaged, cut short or of another kind; a flipped bit inside a tensor is found by
    `digest`, not here.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = dict(file.metadata() or {})
            return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118 (no mapping)
    except (SafetensorError, OSError, ValueError) as error:
        raise damaged(path, error) from error
