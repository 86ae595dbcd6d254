"""The backends by name: where each one's code is, and what of it the plan must know. Imports none of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from unbraid.errors import UnbraidError, suggest


@dataclass(frozen=True)
class Backend:
    """A family of models that one piece of code runs.

    session: `module:name`, what makes a `Session` of the arguments of `session.load` (see `unbraid.backends.session`).
    weights: the module that keeps its weights (see `unbraid.backends.weights.Keeper`); None where there are none.
    settings: which settings of a preset change its bytes, and so enter its keys.
    engines: what may execute its networks.
    options: what a step of a recipe may say to it. check: `module:function` that raises UnbraidError for wrong ones.
    required: the options that a step must give.
    encoder: `module:function` that encodes a prompt into a file, once for all who ask the same; empty for none.
    seeded: it draws random numbers whatever the preset, so the seed always enters its keys.
    warm: loading it takes long enough to keep it loaded for a run's other songs.
    apart: on the CPU, with `precision: fast`, each chunk is one thread's work, so that more threads change no bit.
    joint: on a GPU, one worker may compute the chunks of several songs together.
    previewed: it is so slow that each segment of a long song is worth hearing before the song is done.
    """

    session: str
    weights: str | None
    settings: tuple[str, ...]
    engines: tuple[str, ...]
    options: tuple[str, ...] = ()
    check: str = ""
    required: tuple[str, ...] = ()
    encoder: str = ""
    seeded: bool = False
    warm: bool = True
    apart: bool = False
    joint: bool = False
    previewed: bool = False


CHUNKED = ("shifts", "overlap", "precision")

BACKENDS = {
    "identity": Backend("unbraid.backends.identity:IdentitySession", None, (), (), warm=False),
    "demucs": Backend(
        "unbraid.backends.demucs_engine:session",
        "unbraid.backends.demucs_weights",
        CHUNKED,
        ("mlx", "openvino", "torch"),
        apart=True,
        joint=True,
    ),
    "audio_separator": Backend(
        "unbraid.backends.audio_separator:session",
        "unbraid.backends.uvr_weights",
        ("shifts", "overlap"),
        ("onnxruntime", "torch"),
    ),
    "sam_audio": Backend(
        "unbraid.backends.sam_audio:SamAudioSession",
        "unbraid.backends.sam_audio_weights",
        ("overlap", "precision"),
        ("mlx", "torch"),
        options=("prompt", "anchors", "seed", "ode_method", "ode_steps", "candidates", "crossfade"),
        check="unbraid.backends.sam_audio_options:read",
        required=("prompt",),
        encoder="unbraid.backends.sam_audio:encode_prompt",
        seeded=True,
        previewed=True,
    ),
    "spleeter": Backend(
        "unbraid.backends.spleeter:SpleeterSession",
        "unbraid.backends.spleeter_weights",
        ("shifts", "overlap"),
        ("torch",),
        joint=True,
    ),
}


def find(name: str) -> Backend:
    """The backend of this name. Raises: UnbraidError with the nearest known one."""
    if name not in BACKENDS:
        raise UnbraidError(f"There is no backend {name!r}.", remedy=suggest(name, BACKENDS))
    return BACKENDS[name]


def session_class(backend: Backend) -> Any:
    return _named(backend.session)


def check_options(backend: Backend, options: Mapping[str, Any]) -> None:
    """Raises: UnbraidError for options of a step that the backend would not take."""
    if backend.check:
        _named(backend.check)(options)


def _named(path: str) -> Any:
    """What `module:name` names; imports the module."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


def encoder(backend: Backend) -> Any:
    """The function that encodes a prompt: (model, folder, target file, settings, device)."""
    return _named(backend.encoder)


def keeper(backend: Backend) -> Any:
    """The module that keeps the backend's weights, a `Keeper`."""
    if backend.weights is None:
        raise ValueError("a backend without weights has nothing to keep")
    return import_module(backend.weights)


def engines() -> Iterable[str]:
    return sorted({engine for backend in BACKENDS.values() for engine in backend.engines})
