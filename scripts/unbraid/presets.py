"""Presets: named quality and speed settings."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from unbraid.config import Config
from unbraid.errors import UnbraidError, suggest
from unbraid.files import read_yaml


class Preset(BaseModel):
    """What a separation is asked to do, whatever the device: all of it decides the bytes, so all of it enters keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    shifts: int = Field(ge=0)
    overlap: float = Field(ge=0, le=0.95)
    precision: Literal["exact", "fast"]


def load(paths: list[Path]) -> dict[str, Preset]:
    presets: dict[str, Preset] = {}
    for path in paths:
        for name, values in read_yaml(path).items():
            try:
                presets[name] = Preset.model_validate(values)
            except ValidationError as error:
                details = "; ".join(
                    f"{'.'.join(map(str, item['loc'])) or 'entry'}: {item['msg']}" for item in error.errors()
                )
                raise UnbraidError(
                    f"The preset {name!r} in {path} is wrong: {details}.",
                    remedy="A preset has shifts, overlap and precision (exact or fast), and nothing else.",
                ) from None
    return presets


def choose(presets: Mapping[str, Preset], name: str, config: Config) -> tuple[str, Preset]:
    """The preset of that name with the config's overrides, and the name to report: `custom` once anything is overridden."""
    if name not in presets:
        raise UnbraidError(f"There is no preset {name!r}.", remedy=suggest(name, presets))
    preset = presets[name]
    overrides = {key: value for key in ("shifts", "overlap") if (value := getattr(config, key)) is not None}
    changed = preset.model_copy(update=overrides)
    return (name if changed == preset else "custom"), changed
