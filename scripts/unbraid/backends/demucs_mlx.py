"""Demucs on Apple silicon's GPU through the package `demucs_mlx`.

Its networks are made of ours in memory, so that the same checked weights serve both engines and nothing is downloaded. It
needs Metal, so that only the conversion, and the adapter on a double of the package, were run where unbraid was made.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unbraid.backends.demucs import DemucsSession
from unbraid.backends.session import Audio, Pass
from unbraid.catalogue import Model
from unbraid.errors import UnbraidError
from unbraid.grid import Chunk

BATCH = 4  # chunks at once
PACKED = re.compile(r"\.in_proj_(weight|bias)$|\.bias_(ih|hh)_l\d")  # which the package splits or adds up


class DemucsMlxSession(DemucsSession):
    """The networks of one model, converted."""

    engine = "mlx"

    def __init__(self, model: Model, folder: Path, settings: dict[str, Any], device: str, threads: int) -> None:
        super().__init__(model, folder, settings, "cpu", threads)
        self.device, self.batch, self.notices = "mlx", BATCH, []
        exact = settings.get("precision", "exact") == "exact"
        self._converted = [_converted(network, exact=exact) for network in self.networks]

    def fast(self) -> str:
        return "float16"  # of the attention; the rest is in float32

    def separate(self, one: Pass, audio: Audio, chunks: Sequence[Chunk]) -> Audio:
        import mlx.core as mx

        output = self._converted[one.network](mx.array(audio))
        result: Audio = np.array(output.astype(mx.float32))
        return result

    def close(self) -> None:
        import mlx.core as mx

        self._converted.clear()
        mx.clear_cache()
        super().close()


def _converted(network: Any, *, exact: bool) -> Any:
    """Raises: UnbraidError unless every tensor arrived: the package leaves random ones where it finds none."""
    import mlx.core as mx
    from demucs_mlx.mlx_convert import convert_single_model, convert_state_dict
    from demucs_mlx.mlx_transformer import FastMultiHeadAttention
    from mlx.utils import tree_flatten

    made = convert_single_model(network)
    given = convert_state_dict(network.state_dict(), flatten=True, torch_model=network)
    state: Any = tree_flatten(made.state_dict())
    held = {_print(tensor) for _, tensor in state}
    unused = [name for name, tensor in given.items() if _print(tensor) not in held and not PACKED.search(name)]
    if unused or held - {_print(tensor) for tensor in given.values()}:
        raise UnbraidError(
            f"demucs-mlx did not take over all weights of a {type(network).__name__}.",
            remedy="Set engine=torch, or install the version of demucs-mlx that envs/mlx.yaml names.",
        )
    if exact:
        for _, module in made.named_modules():
            if isinstance(module, FastMultiHeadAttention):
                module.set_compute_dtype(mx.float32)
    made.eval()
    return made


def _print(tensor: Any) -> tuple[tuple[int, ...], int]:
    """A tensor as something that can be compared whatever its name."""
    array = np.array(tensor)
    return array.shape, hash(array.tobytes())
