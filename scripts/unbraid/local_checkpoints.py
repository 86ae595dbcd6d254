"""Checkpoints of UVR's family by their path: an entry of the catalogue made from what lies beside the file, offline."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unbraid.backends import uvr_config
from unbraid.catalogue import Model, Source, Weights
from unbraid.errors import UnbraidError

SUFFIXES = (".ckpt", ".pth", ".onnx")
BESIDE = (".yaml", ".yml", ".json")
RATE = 44100


def local_model(path: Path) -> Model:
    """The model in a `.ckpt`, `.pth` or `.onnx` file, described by the `.yaml` or `.json` of the same name beside it.

    A training YAML (of MDX23C, BS-RoFormer, Mel-Band-RoFormer) becomes one of the model's files; UVR's parameters of a
    VR (`.pth`) or MDX-Net (`.onnx`) checkpoint become its `parameters`. The sources carry no sha256 yet.
    Raises: UnbraidError that says which file to write, and what into it.
    """
    if path.suffix not in SUFFIXES:
        raise UnbraidError(
            f"{path} is not a checkpoint that unbraid knows.", remedy=f"Name a file that ends in {', '.join(SUFFIXES)}."
        )
    if not path.expanduser().is_file():
        raise UnbraidError(f"There is no checkpoint {path}.", remedy="Check the path; it counts from where you run.")
    beside = next((found for suffix in BESIDE if (found := path.expanduser().with_suffix(suffix)).is_file()), None)
    if beside is None:
        raise UnbraidError(f"Nothing beside {path} says what it is.", remedy=_what_to_write(path))
    config = uvr_config.read(beside)
    if path.suffix != ".onnx" and ("training" in config or path.suffix == ".ckpt"):
        return _configured(path, beside, config)
    return _with_parameters(path, beside, config)


def _what_to_write(path: Path) -> str:
    if path.suffix == ".ckpt":
        return f"Put the YAML that was published with it there, as {path.with_suffix('.yaml').name}."
    kind = uvr_config.MDX if path.suffix == ".onnx" else uvr_config.VR
    wanted = ", ".join(uvr_config.PARAMETERS[kind])
    return (
        f"Write {path.with_suffix('.yaml').name} with its row of UVR's model_data.json: {wanted}"
        f"{'' if kind == uvr_config.MDX else ' (or, for a RoFormer or an MDX23C, put its training YAML there)'}."
    )


def _configured(path: Path, beside: Path, config: Mapping[str, Any]) -> Model:
    given, rest = uvr_config.outputs(config, beside)
    network = uvr_config.section(config, "model", beside)
    kind = uvr_config.architecture(config, beside)
    audio = config.get("audio") or {}
    stereo = kind == uvr_config.MDX23C or network.get("stereo", False)
    return Model(
        architecture=kind,
        stems=(*given, rest) if rest else given,
        rate=int(audio.get("sample_rate") or RATE),
        channels=2 if stereo else 1,
        weights=(_weights(beside), _weights(path)),
        **_common(path),
    )


def _with_parameters(path: Path, beside: Path, parameters: dict[str, Any]) -> Model:
    kind = uvr_config.MDX if path.suffix == ".onnx" else uvr_config.VR
    if absent := uvr_config.missing(kind, parameters):
        raise UnbraidError(f"{beside} does not give {', '.join(absent)}.", remedy=_what_to_write(path))
    primary = uvr_config.stem_name(parameters["primary_stem"])
    return Model(
        architecture=kind,
        stems=(primary, uvr_config.complement(primary)),
        rate=RATE,
        channels=2,
        weights=(_weights(path),),
        parameters=parameters,
        **_common(path),
    )


def _common(path: Path) -> dict[str, Any]:
    # Files of the same name in two folders are two models, each with a folder of its own.
    place = hashlib.sha256(str(path.expanduser().absolute()).encode()).hexdigest()[:8]
    return {
        "name": f"{_valid(path.stem)}-{place}",
        "backend": "audio_separator",
        "description": f"the checkpoint {path}",
        "licence": "unknown",
    }


def _weights(path: Path) -> Weights:
    return Weights(_valid(path.stem) + path.suffix, (Source("file", str(path)),))


def _valid(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).lstrip("._-") or "checkpoint"
