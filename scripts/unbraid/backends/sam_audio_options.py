"""What a step of a recipe may say to SAM-Audio, checked. Imports no engine, so that a plan can check it as well."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unbraid.errors import UnbraidError, suggest

NAMES = ("prompt", "anchors", "seed", "ode_method", "ode_steps", "candidates", "crossfade")
METHODS = ("midpoint", "euler")
CROSSFADES = ("cosine", "linear")

Anchor = tuple[str, float, float]
"""Sign, start, end: the target is (`+`) or is not (`-`) heard between two times in seconds."""


@dataclass(frozen=True)
class Options:
    """How to ask for one target. The defaults of the ODE are upstream's.

    prompt: what to take out, in words; upstream was trained on short lower-case phrases ("bass guitar").
    anchors: where in the song it is heard, or is not.
    seed: of the noise that the target is generated from.
    ode_method, ode_steps: how the way from noise to target is integrated; midpoint evaluates the network twice a step.
    candidates: how many to generate for each chunk, of which upstream's rankers choose the best.
    crossfade: the shape of the overlap-add's window.
    """

    prompt: str
    anchors: tuple[Anchor, ...] = ()
    seed: int = 0
    ode_method: str = "midpoint"
    ode_steps: int = 16
    candidates: int = 1
    crossfade: str = "cosine"


def read(settings: Mapping[str, Any]) -> Options:
    """The options among a step's settings. Raises: UnbraidError that says which one is wrong and what it may be."""
    given = {name: settings[name] for name in NAMES if settings.get(name) is not None}
    prompt = given.get("prompt")
    if not isinstance(prompt, str) or not prompt.strip():
        raise UnbraidError(
            "A step on a SAM-Audio model needs a prompt.", remedy='Say what to take out, such as prompt: "bass guitar".'
        )
    given["prompt"] = prompt.strip()
    if "anchors" in given:
        given["anchors"] = _anchors(given["anchors"])
    for name, least in (("seed", 0), ("ode_steps", 1), ("candidates", 1)):
        if name in given and not _is_whole(given[name], least):
            raise UnbraidError(
                f"{name} is {given[name]!r} in the step with the prompt {prompt!r}.",
                remedy=f"Give a whole number of {least} or more.",
            )
    for name, known in (("ode_method", METHODS), ("crossfade", CROSSFADES)):
        if name in given and given[name] not in known:
            raise UnbraidError(
                f"There is no {name} {given[name]!r} for SAM-Audio.", remedy=suggest(str(given[name]), known)
            )
    return Options(**given)


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _anchors(value: Any) -> tuple[Anchor, ...]:
    if not isinstance(value, list | tuple):
        raise _wrong(value)
    return tuple(_anchor(entry) for entry in value)


def _anchor(entry: Any) -> Anchor:
    try:
        sign, start, end = entry
        start, end = float(start), float(end)
    except (TypeError, ValueError) as error:
        raise _wrong(entry) from error
    if sign not in ("+", "-") or not (0 <= start < end and math.isfinite(end)):
        raise _wrong(entry)
    return sign, start, end


def _wrong(entry: Any) -> UnbraidError:
    return UnbraidError(
        f"The anchor {entry!r} is none.",
        remedy='Give a list of [sign, start, end] in seconds of the song, such as [["+", 6.3, 7.0], ["-", 0, 2]].',
    )
