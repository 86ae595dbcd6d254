"""Files of a SAM-Audio model: the network and its configuration, and the T5 that reads the prompts.

The network is kept as safetensors with the tensors under the names that they came with: upstream's (`checkpoint.pt`), or
those of a conversion for MLX (`model.safetensors`). A file is known by what is in it, because several are called
`config.json` or `model.safetensors` where they come from.
"""

import json
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unbraid.backends.weights import damaged, keep_as_it_is
from unbraid.errors import UnavailableError, UnbraidError
from unbraid.files import read_json, replacing

if TYPE_CHECKING:
    from unbraid.catalogue import Model, Weights

KEPT = {
    "config": "sam-config.json",
    "network": "network.safetensors",
    "t5-config": "t5-config.json",
    "t5-model": "t5-model.safetensors",
    "t5-tokenizer": "t5-tokenizer.json",
}
"""By the name in the catalogue the name in the model's folder. None is a file's name at its source: see `_names` in fetch."""

_OF_NETWORK = "transformer."
_OF_T5 = "encoder.block."


def kept_name(weights: "Weights") -> str:
    return KEPT.get(weights.name, weights.name)


def keep(path: Path, target: Path, model: "Model", weights: "Weights", notes: dict[str, str]) -> dict[str, Any]:
    """Check that `path` is what its name in the catalogue says, and keep it; a pickle becomes safetensors."""
    if weights.name not in KEPT:
        raise UnbraidError(
            f"The weights {weights.name!r} of {model.name!r} mean nothing to SAM-Audio.",
            remedy=f"Name them {', '.join(KEPT)} in the catalogue.",
        )
    if weights.name == "network" and path.suffix in (".pt", ".pth", ".ckpt", ".bin"):
        return _convert(path, target, notes)
    try:
        right = _CHECKS[weights.name](path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(path, error) from error
    if not right:
        raise UnavailableError(f"it is not {_MEANING[weights.name]}")
    return dict(keep_as_it_is(path, target, weights))


def _convert(path: Path, target: Path, notes: dict[str, str]) -> dict[str, Any]:
    """Upstream's checkpoint to safetensors, without running anything that is in the pickle."""
    import torch
    from safetensors.torch import save_file

    from unbraid.files import sha256

    try:
        # The largest has 15 GB: mapped, not read.
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (pickle.UnpicklingError, RuntimeError, OSError, EOFError, ValueError) as error:
        raise damaged(path, error) from error
    if not isinstance(state, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
        raise UnavailableError("it is not a state dictionary")
    if not any(name.startswith(_OF_NETWORK) for name in state):
        raise UnavailableError(f"it is not {_MEANING['network']}")
    kept, seen = {}, set()
    for name, tensor in state.items():
        place = (tensor.untyped_storage().data_ptr(), tensor.storage_offset())
        whole = tensor.is_contiguous() and place not in seen
        kept[name] = tensor if whole else tensor.clone(memory_format=torch.contiguous_format)
        seen.add(place)
    with replacing(target) as partial:
        save_file(kept, partial)
    digest = notes.get("source_sha256") or sha256(path)
    return {"source_sha256": digest, "tensors_sha256": sha256(target)}


def _tensor_names(path: Path) -> list[str]:
    """Of a safetensors file, from its header."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= path.stat().st_size - 8:
            raise ValueError("it is no safetensors file")
        return list(json.loads(file.read(length)))


def _is_config(path: Path) -> bool:
    return bool({"audio_codec", "transformer"} <= read_json(path).keys())


def _is_network(path: Path) -> bool:
    return any(name.startswith(_OF_NETWORK) for name in _tensor_names(path))


def _is_t5_config(path: Path) -> bool:
    return bool(read_json(path).get("model_type") == "t5")


def _is_t5(path: Path) -> bool:
    return any(name.startswith(_OF_T5) for name in _tensor_names(path))


def _is_tokenizer(path: Path) -> bool:
    return bool({"model", "added_tokens"} <= read_json(path).keys())


_CHECKS: dict[str, Callable[[Path], bool]] = {
    "config": _is_config,
    "network": _is_network,
    "t5-config": _is_t5_config,
    "t5-model": _is_t5,
    "t5-tokenizer": _is_tokenizer,
}
_MEANING = {
    "config": "the configuration of a SAM-Audio network",
    "network": "the weights of a SAM-Audio network",
    "t5-config": "the configuration of a T5",
    "t5-model": "the weights of a T5",
    "t5-tokenizer": "a tokenizer",
}


def check(paths: Mapping[str, Path], model: "Model") -> None:
    """Raises: UnbraidError unless all five files are there."""
    if missing := KEPT.keys() - paths.keys():
        raise UnbraidError(
            f"The catalogue's entry of {model.name!r} names no {', '.join(sorted(missing))}.",
            remedy="See the entry of sam-audio-small in config/models.yaml.",
        )


def hop(paths: Mapping[str, Path]) -> int:
    """Samples to one step of the network's codec (1920 in all published models)."""
    frames = 1
    for rate in read_json(paths["config"])["audio_codec"].get("encoder_rates", (2, 8, 10, 12)):
        frames *= int(rate)
    return frames


def complete(path: Path, missing: set[str], unexpected: set[str]) -> None:
    """Raises: UnbraidError when weights left parameters of a network unfilled, or held tensors that nothing took."""
    found = [(names, what) for names, what in ((missing, "lack"), (unexpected, "also hold")) if names]
    if found:
        listed = "; ".join(
            f"they {what} {len(names)} tensors ({', '.join(sorted(names)[:3])}{', …' if len(names) > 3 else ''})"
            for names, what in found
        )
        raise UnbraidError(
            f"The weights in {path} do not fit the network: {listed}.",
            remedy="They may be of another size, or made for another engine (a conversion for MLX runs on mlx only).",
        )
