"""Demucs and its relatives in torch, evaluated chunk by chunk exactly as `demucs.apply.apply_model` does."""

from pathlib import Path
from typing import Any

import numpy as np
from demucs.htdemucs import HTDemucs

from unbraid.backends import demucs_grid, demucs_on_device, demucs_weights
from unbraid.backends.session import Pass, Statistics
from unbraid.backends.torch_session import TorchSession
from unbraid.backends.weights import verify
from unbraid.catalogue import Model


class DemucsSession(TorchSession):
    """The networks of one model (a bag has several)."""

    joint = True

    def __init__(self, model: Model, folder: Path, settings: dict[str, Any], device: str, threads: int) -> None:
        super().__init__(settings, device, threads)
        self.networks = [demucs_weights.load(path) for path in verify(folder, model).values()]
        self.halves = all(isinstance(network, HTDemucs) for network in self.networks)
        for network in self.networks:
            if not isinstance(network, HTDemucs):
                self.smaller = "The model htdemucs works on much shorter chunks and needs far less."
                if model.segment is not None:
                    network.segment = model.segment  # upstream's bag does the same
            elif self.device.startswith("cuda") and network.use_train_segment:
                demucs_on_device.keep(network)
        self._model, self._settings = model, settings

    def begin(self, statistics: Statistics, prompt_file: Path | None = None) -> None:
        super().begin(statistics, prompt_file)
        chunks = [int(network.samplerate * network.segment) for network in self.networks]
        self.passes = demucs_grid.bag(self._model, chunks, self._settings, statistics.rate)

    def level(self) -> tuple[np.float32, np.float32]:
        return demucs_grid.level(self.statistics)

    def valid_length(self, one: Pass, length: int) -> int:
        network = self.networks[one.network]
        return int(network.valid_length(length)) if hasattr(network, "valid_length") else length
