"""Which device a job runs on: resolved in the job, on its own machine, and recorded in the manifest."""

import functools
from pathlib import Path
from platform import system

from unbraid.errors import UnbraidError


def resolve(device: str) -> tuple[str, list[str]]:
    """The torch device for a configured one, and notices to show.

    Raises: UnbraidError when a device is asked for by name and is not there; `auto` falls back with a notice instead.
    """
    if device == "cpu":
        return "cpu", []
    if device == "auto" and not may_have_gpu():
        return "cpu", ["Running on the CPU: this machine shows no GPU."]
    import torch

    has_cuda, has_mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if device == "auto":
        if has_cuda:
            return "cuda", []
        if has_mps:
            return "mps", []
        return "cpu", [f"Running on the CPU: torch {torch.__version__} sees no GPU ({_reason()})."]
    if device.startswith("cuda"):
        if not has_cuda:
            raise UnbraidError(
                f"device={device} was asked for, but torch {torch.__version__} sees no CUDA GPU ({_reason()}).",
                remedy="Install the CUDA stack (envs/cuda.yaml, or --sdm conda) and a driver, or set device=auto or cpu.",
            )
        index = int(device.partition(":")[2] or 0)
        if index >= torch.cuda.device_count():
            raise UnbraidError(
                f"device={device} was asked for, but this job sees {torch.cuda.device_count()} CUDA GPU(s).",
                remedy="Count from cuda:0, and mind CUDA_VISIBLE_DEVICES.",
            )
        return device, []
    if device == "mps":
        if not has_mps:
            raise UnbraidError(
                "device=mps was asked for, but torch sees no Apple GPU here.", remedy="Set device=auto or cpu."
            )
        return "mps", []
    raise UnbraidError(
        f"The demucs backend has no engine for device={device}.", remedy="Set device=mps on Apple silicon, or auto."
    )


@functools.cache
def may_have_gpu() -> bool:
    """Whether it is worth the seconds that torch takes to import to ask it. On Linux GPUs are devices: of NVIDIA, AMD, WSL."""
    signs = ("nvidiactl", "nvidia0", "kfd", "dxg")
    return system() != "Linux" or any(Path("/dev", sign).exists() for sign in signs)


def _reason() -> str:
    import torch

    if torch.version.cuda is None:
        return "this build of torch has no CUDA"
    return "no driver or no visible GPU; see nvidia-smi and CUDA_VISIBLE_DEVICES"
