"""The models of audio-separator: each architecture has a session of its own, which the first chunk needs to import.

Of the package only its networks and its spectral helpers are used, never its `Separator`: that one normalises, cuts,
writes 16 bits and ends the process when something is wrong.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

from unbraid.backends import uvr_config
from unbraid.backends.session import Session
from unbraid.catalogue import Model
from unbraid.errors import UnbraidError, suggest

SESSIONS = {
    uvr_config.VR: "uvr_vr:VrSession",
    uvr_config.MDX: "uvr_mdx:MdxSession",
    **dict.fromkeys(uvr_config.CONFIGURED, "uvr_mdxc:MdxcSession"),
}


def session(model: Model, folder: Path, settings: dict[str, Any], device: str, threads: int) -> Session:
    """The session of the model's architecture. Raises: UnbraidError for one that audio-separator does not have."""
    if model.architecture not in SESSIONS:
        raise UnbraidError(
            f"The backend audio_separator has no architecture {model.architecture!r}.",
            remedy=suggest(model.architecture, SESSIONS),
        )
    module, _, name = SESSIONS[model.architecture].partition(":")
    made: Session = getattr(import_module(f"unbraid.backends.{module}"), name)(model, folder, settings, device, threads)
    return made
