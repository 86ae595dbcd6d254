"""Which engine runs Demucs in this job: the fastest of what its device, its precision and what is installed allow.

Only the chosen one is imported: OpenVINO's does without torch, which takes seconds to import.
"""

from importlib.util import find_spec
from pathlib import Path
from platform import machine, system
from typing import Any

from unbraid.backends.device import resolve
from unbraid.backends.session import Session
from unbraid.backends.weights import verify
from unbraid.catalogue import Model
from unbraid.errors import UnbraidError

NO_OPENVINO = "OpenVINO is not installed, so torch computes in its place, more slowly."


def session(model: Model, folder: Path, settings: dict[str, Any], device: str, threads: int) -> Session:
    """The session of that engine. Raises: UnbraidError when an engine was asked for by name and cannot be had."""
    if mlx_wanted(device, settings.get("engine")):
        from unbraid.backends.demucs_mlx import DemucsMlxSession

        return DemucsMlxSession(model, folder, settings, device, threads)
    missing = False
    if openvino_wanted(device, settings):
        from unbraid.backends.demucs_openvino import DemucsOpenvinoSession, form

        networks = {path: found for path in verify(folder, model).values() if (found := form(path))}
        if len(networks) == len(model.weights):
            if _has("openvino"):
                notices = resolve(device)[1]
                return DemucsOpenvinoSession(model, folder, networks, settings, notices, threads)
            missing = True
        elif settings.get("engine") == "openvino":
            raise UnbraidError(
                f"engine=openvino runs HTDemucs only, which {model.name!r} is not.", remedy="Set engine=auto."
            )
    from unbraid.backends.demucs import DemucsSession

    made = DemucsSession(model, folder, settings, device, threads)
    if missing:
        made.notices.append(NO_OPENVINO)
    return made


def openvino_wanted(device: str, settings: dict[str, Any]) -> bool:
    """Whether OpenVINO is to run Demucs here. Raises: UnbraidError when it was asked for by name and cannot.

    By itself it is taken where `precision: fast` allows what differs from upstream by rounding; `exact` is torch's.
    """
    engine = settings.get("engine")
    if engine == "openvino":
        if device not in ("cpu", "auto"):
            raise UnbraidError(
                f"engine=openvino cannot run on device={device}.", remedy="Set device=cpu, or engine=auto."
            )
        if not _has("openvino"):
            raise UnbraidError(
                "engine=openvino needs the Python package openvino, which is not installed.",
                remedy="Run `pip install openvino` in unbraid's environment, or set engine=auto.",
            )
        return True
    allowed = engine in ("auto", None) and settings.get("precision") == "fast"
    return allowed and device in ("cpu", "auto") and resolve(device)[0] == "cpu"


def mlx_wanted(device: str, engine: str | None) -> bool:
    """Whether mlx is to run Demucs here. Raises: UnbraidError when it was asked for by name and cannot."""
    forced = engine == "mlx" or device == "mlx"
    apple, installed = system() == "Darwin" and machine() == "arm64", _has("demucs_mlx")
    if forced and engine not in ("mlx", "auto", None):
        raise UnbraidError(f"engine={engine} cannot run on device=mlx.", remedy="Set engine=mlx, or device=auto.")
    if forced and device not in ("mlx", "auto"):
        raise UnbraidError(f"engine=mlx cannot run on device={device}.", remedy="Set device=mlx or auto.")
    if forced and not apple:
        raise UnbraidError(
            "Demucs on mlx needs Apple silicon, which this machine is not.", remedy="Set device=auto and engine=auto."
        )
    if forced and not installed:
        raise UnbraidError(
            "Demucs on mlx needs the Python package demucs-mlx, which is not installed.",
            remedy="Run `pip install demucs-mlx` in unbraid's environment, or set device=auto and engine=auto.",
        )
    return forced or (apple and installed and device == "auto" and engine in ("auto", None))


def _has(package: str) -> bool:
    return find_spec(package) is not None
