"""What the models of UVR's family say of themselves, in YAML and JSON: stems, architecture, parameters.

Imports neither torch nor audio-separator, so that a plan can read it.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from unbraid.backends.weights import damaged
from unbraid.errors import UnbraidError

VR, MDX, MDX23C, BS, MEL = "VR", "MDX-Net", "MDX23C", "BS-RoFormer", "Mel-Band-RoFormer"
ARCHITECTURES = (VR, MDX, MDX23C, BS, MEL)
CONFIGURED = (MDX23C, BS, MEL)
"""The architectures whose checkpoints come with a YAML of the training code."""

PARAMETERS = {
    VR: ("vr_model_param", "primary_stem"),
    MDX: ("mdx_dim_f_set", "mdx_dim_t_set", "mdx_n_fft_scale_set", "compensate", "primary_stem"),
}
"""What must be known of a checkpoint without such a YAML, by UVR's names."""

PAIRS = {"vocals": "instrumental", "lead_only": "backing_only"}
OPPOSITE = PAIRS | {second: first for first, second in PAIRS.items()}


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Plain data only, and tuples, as the training code writes them."""


_Loader.add_constructor(
    "tag:yaml.org,2002:python/tuple", lambda loader, node: tuple(loader.construct_sequence(node, deep=True))
)


def read(path: Path) -> dict[str, Any]:
    """The table in a `.yaml` or `.json`. Raises: UnbraidError when it is none, or would run code."""
    try:
        text = path.read_text(encoding="utf-8")
        config = json.loads(text) if path.suffix == ".json" else yaml.load(text, Loader=_Loader)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise damaged(path, error) from error
    if not isinstance(config, dict):
        raise damaged(path, ValueError("it is not a table"))
    return config


def stem_name(label: Any) -> str:
    """A stem's label as stem expressions can name it: `No Noise` becomes `no_noise`."""
    return re.sub(r"\W+", "_", str(label).strip().lower()).strip("_")


def complement(stem: str) -> str:
    """What audio-separator calls the rest of the mix without this stem."""
    return OPPOSITE.get(stem) or (stem.removeprefix("no_") if stem.startswith("no_") else f"no_{stem}")


def architecture(config: Mapping[str, Any], path: Path) -> str:
    """Which network a training YAML is of: its `model` section names what only that one has."""
    network = section(config, "model", path)
    if "num_subbands" in network:
        return MDX23C
    if "num_bands" in network:
        return MEL
    if "freqs_per_bands" in network or "depth" in network:
        return BS
    raise UnbraidError(
        f"{path} describes no network of {', '.join(CONFIGURED)}: its `model` section has neither num_subbands,"
        " num_bands nor freqs_per_bands.",
        remedy="Put the YAML that belongs to the checkpoint there.",
    )


def outputs(config: Mapping[str, Any], path: Path) -> tuple[tuple[str, ...], str | None]:
    """The stems that the network of a training YAML gives, and what to call the rest of the mix where it gives one."""
    training = section(config, "training", path)
    instruments = [stem_name(name) for name in training.get("instruments") or ()]
    target = training.get("target_instrument")
    if not target:
        if not instruments:
            raise UnbraidError(f"{path} names no stems.", remedy="Write them there, under `training: instruments`.")
        return tuple(instruments), None
    others = [name for name in instruments if name != stem_name(target)]
    return (stem_name(target),), others[0] if len(others) == 1 else complement(stem_name(target))


def section(config: Mapping[str, Any], name: str, path: Path) -> dict[str, Any]:
    """A section of a training YAML. Raises: UnbraidError when it is not there."""
    value = config.get(name)
    if not isinstance(value, dict):
        raise UnbraidError(
            f"{path} has no section `{name}`.", remedy="Put the YAML that belongs to the checkpoint there."
        )
    return value


def missing(kind: str, parameters: Mapping[str, Any]) -> list[str]:
    """Which of the parameters that a checkpoint of this architecture needs are not given."""
    return [name for name in PARAMETERS[kind] if parameters.get(name) is None]
