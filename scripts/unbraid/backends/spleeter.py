"""Spleeter's two-stem model in torch, chunk by chunk."""

from pathlib import Path
from typing import Any

from unbraid.backends import spleeter_weights
from unbraid.backends.session import Pass, Statistics, passes
from unbraid.backends.spleeter_network import HOP, MARGIN, SHOWN, Spleeter
from unbraid.backends.torch_session import TorchSession
from unbraid.backends.weights import verify
from unbraid.catalogue import Model

CHUNK = SHOWN - 2 * MARGIN  # what of the frames that the networks see at once comes out whole: 11.8 s


class SpleeterSession(TorchSession):
    """Upstream cuts a song into blocks of 512 frames, which the networks see each for itself; here they overlap."""

    def __init__(
        self, model: Model, folder: Path, statistics: Statistics, settings: dict[str, Any], device: str, threads: int
    ) -> None:
        super().__init__(settings, device, threads)
        paths = verify(folder, model)
        self.networks = [Spleeter([spleeter_weights.load(paths[stem]) for stem in model.stems]).eval()]
        # Strides of whole hops, so that chunks that overlap divide the song into the same frames of the STFT.
        self.passes = passes([(CHUNK, [1.0] * len(model.stems))], settings, statistics.rate, multiple=HOP)

    def valid_length(self, one: Pass, length: int) -> int:
        return SHOWN
