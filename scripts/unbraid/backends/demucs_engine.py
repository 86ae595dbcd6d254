"""Which engine runs Demucs in this job: the fastest of what its device, its precision and what is installed allow."""

from pathlib import Path
from typing import Any

from unbraid.backends import demucs_mlx, demucs_openvino
from unbraid.backends.demucs import DemucsSession
from unbraid.catalogue import Model


def session(model: Model, folder: Path, settings: dict[str, Any], device: str, threads: int) -> DemucsSession:
    """The session of that engine. Raises: UnbraidError when an engine was asked for by name and cannot be had."""
    made: type[DemucsSession] = DemucsSession
    if demucs_mlx.wanted(device, settings.get("engine")):
        made = demucs_mlx.DemucsMlxSession
    elif demucs_openvino.wanted(device, settings):
        made = demucs_openvino.DemucsOpenvinoSession
    return made(model, folder, settings, device, threads)
