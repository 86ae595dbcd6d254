"""Demucs and its relatives in torch, evaluated chunk by chunk exactly as `demucs.apply.apply_model` does."""

from pathlib import Path
from typing import Any

import numpy as np
from demucs.htdemucs import HTDemucs

from unbraid.backends import demucs_weights
from unbraid.backends.session import Pass, Statistics, passes
from unbraid.backends.torch_session import TorchSession
from unbraid.backends.weights import verify
from unbraid.catalogue import Model


class DemucsSession(TorchSession):
    """The networks of one model (a bag has several)."""

    def __init__(self, model: Model, folder: Path, settings: dict[str, Any], device: str, threads: int) -> None:
        super().__init__(settings, device, threads)
        self.networks = [demucs_weights.load(path) for path in verify(folder, model).values()]
        for network in self.networks:
            if not isinstance(network, HTDemucs):
                self.smaller = "The model htdemucs works on much shorter chunks and needs far less."
                if model.segment is not None:
                    network.segment = model.segment  # upstream's bag does the same
        mixing = np.array(model.mixing or [[1.0] * len(model.stems)] * len(self.networks))
        self._shares = mixing / mixing.sum(axis=0)
        self._settings = settings

    def begin(self, statistics: Statistics, prompt_file: Path | None = None) -> None:
        super().begin(statistics, prompt_file)
        chunks = [int(network.samplerate * network.segment) for network in self.networks]
        self.passes = passes(zip(chunks, self._shares, strict=True), self._settings, statistics.rate)

    def level(self) -> tuple[np.float32, np.float32]:
        return np.float32(self.statistics.mean), np.float32(self.statistics.std) + np.float32(1e-8)

    def valid_length(self, one: Pass, length: int) -> int:
        network = self.networks[one.network]
        return int(network.valid_length(length)) if hasattr(network, "valid_length") else length
