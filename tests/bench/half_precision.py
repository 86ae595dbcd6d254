"""What bfloat16 on a GPU makes of HTDemucs' stems, found on a CPU.

Both factors of each product and its result are rounded, and sums are float32, where autocast rounds; the rest is as
`demucs_on_device` has it. (Autocast itself takes a CPU without such instructions minutes for a chunk.)
"""

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from unbraid.backends import demucs_on_device
from unbraid.backends.demucs import DemucsSession

PRODUCTS = ("conv", "mm", "linear", "attention")


class Rounded(DemucsSession):
    """HTDemucs in bfloat16, as far as SDR goes."""

    engine = "torch, as on CUDA"

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        for network in self.networks:
            demucs_on_device.keep(network)

    def fast(self) -> str:
        return "bfloat16"

    def evaluate(self, network: int, audio: torch.Tensor) -> torch.Tensor:
        fastpath = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)  # as under autocast
        try:
            with torch.autocast("cpu", enabled=False), Bfloat16(demucs_on_device.last(self.networks[network])):
                return self.networks[network](audio)
        finally:
            torch.backends.mha.set_fastpath_enabled(fastpath)


class Bfloat16(TorchDispatchMode):
    """Rounds products, but those of the modules `whole`."""

    def __init__(self, whole: list[torch.nn.Module]) -> None:
        super().__init__()
        self._whole, self._inside, self._hooks = whole, False, []

    def __enter__(self) -> Any:
        for module in self._whole:
            self._hooks.append(module.register_forward_pre_hook(lambda *_: self._mark(True)))
            self._hooks.append(module.register_forward_hook(lambda *_: self._mark(False)))
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        for hook in self._hooks:
            hook.remove()

    def _mark(self, inside: bool) -> None:
        self._inside = inside

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        if self._inside or not any(sign in str(function) for sign in PRODUCTS):
            return function(*arguments, **(named or {}))
        arguments, named = tree_map(_rounded, (arguments, named or {}))
        return tree_map(_rounded, function(*arguments, **named))


def _rounded(value: Any) -> Any:
    floats = isinstance(value, torch.Tensor) and value.dtype == torch.float32
    return value.bfloat16().float() if floats else value
