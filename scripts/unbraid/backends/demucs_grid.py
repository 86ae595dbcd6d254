"""What every engine of Demucs has in common: the level that its networks are shown, and the passes over a song."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from unbraid.backends.session import Pass, Statistics, passes
from unbraid.catalogue import Model


def level(statistics: Statistics) -> tuple[np.float32, np.float32]:
    """(offset, scale), as `demucs.api.Separator.separate_tensor` takes them of the whole song."""
    return np.float32(statistics.mean), np.float32(statistics.std) + np.float32(1e-8)


def bag(model: Model, chunks: Sequence[int], settings: dict[str, Any], rate: int) -> list[Pass]:
    """The passes of a model's networks, each with the frames of its chunks; a bag has several networks and shares."""
    mixing = np.array(model.mixing or [[1.0] * len(model.stems)] * len(chunks))
    shares = mixing / mixing.sum(axis=0)
    return passes(zip(chunks, shares, strict=True), settings, rate)
