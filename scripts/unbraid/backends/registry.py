"""The backends by name: where each one's code is, and what of it the plan must know. Imports none of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from unbraid.errors import UnbraidError, suggest


@dataclass(frozen=True)
class Backend:
    """A family of models that one piece of code runs.

    session: `module:name`, what makes a `Session` of the arguments of `session.load` (see `unbraid.backends.session`).
    weights: the module that keeps its weights (see `unbraid.backends.weights.Keeper`); None where there are none.
    settings: which settings of a preset change its bytes, and so enter its keys; `seed` joins them where `seeded` says.
    options: what a step of a recipe may say to it, with the default; all of it enters keys.
    engines: what may execute its networks.
    """

    session: str
    weights: str | None
    settings: tuple[str, ...]
    engines: tuple[str, ...]
    options: tuple[str, ...] = ()


CHUNKED = ("shifts", "overlap", "precision")

BACKENDS = {
    "identity": Backend("unbraid.backends.identity:IdentitySession", None, (), ()),
    "demucs": Backend(
        "unbraid.backends.demucs_mlx:session", "unbraid.backends.demucs_weights", CHUNKED, ("mlx", "torch")
    ),
    "sam_audio": Backend(
        "unbraid.backends.sam_audio:SamAudioSession",
        "unbraid.backends.sam_audio_weights",
        ("overlap", "precision"),
        ("mlx", "torch"),
        options=("prompt", "anchors", "seed", "ode_method", "ode_steps", "candidates", "crossfade"),
    ),
}


def find(name: str) -> Backend:
    """The backend of this name. Raises: UnbraidError with the nearest known one."""
    if name not in BACKENDS:
        raise UnbraidError(f"There is no backend {name!r}.", remedy=suggest(name, BACKENDS))
    return BACKENDS[name]


def session_class(backend: Backend) -> Any:
    module, _, name = backend.session.partition(":")
    return getattr(import_module(module), name)


def keeper(backend: Backend) -> Any:
    """The module that keeps the backend's weights, a `Keeper`."""
    if backend.weights is None:
        raise ValueError("a backend without weights has nothing to keep")
    return import_module(backend.weights)


def engines() -> Iterable[str]:
    return sorted({engine for backend in BACKENDS.values() for engine in backend.engines})
