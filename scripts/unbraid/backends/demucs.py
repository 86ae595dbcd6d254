"""Demucs and its relatives in torch, evaluated chunk by chunk exactly as `demucs.apply.apply_model` does."""

import logging
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from demucs.htdemucs import HTDemucs

from unbraid.backends import demucs_weights
from unbraid.backends.device import resolve
from unbraid.backends.session import Audio, Pass, Statistics
from unbraid.catalogue import Model
from unbraid.grid import Grid, triangle

log = logging.getLogger("unbraid")

BATCH = {"cuda": 4, "mps": 2}  # chunks at once; the CPU takes one, so that its bits do not depend on a batch
MAX_SHIFT = 0.5  # seconds, as upstream


class DemucsSession:
    """The networks of one model (a bag has several). One network at a time is on the device."""

    engine = "torch"

    def __init__(
        self, model: Model, folder: Path, statistics: Statistics, settings: dict[str, Any], device: str, threads: int
    ) -> None:
        torch.set_num_threads(threads)
        self.device, self.notices = resolve(device)
        demucs_weights.verify(folder, model)
        self.networks = [demucs_weights.load(folder / f"{weights.name}.safetensors") for weights in model.weights]
        for network in self.networks:
            if model.segment is not None and not isinstance(network, HTDemucs):
                network.segment = model.segment  # upstream's bag does the same
        self.batch = BATCH.get(self.device.partition(":")[0], 1)
        self.passes = _passes(self.networks, model, settings)
        self._statistics = statistics
        self._loaded: int | None = None

    def level(self) -> tuple[np.float32, np.float32]:
        return np.float32(self._statistics.mean), np.float32(self._statistics.std) + np.float32(1e-8)

    def valid_length(self, one: Pass, length: int) -> int:
        network = self.networks[one.network]
        return int(network.valid_length(length)) if hasattr(network, "valid_length") else length

    def separate(self, one: Pass, chunks: Audio) -> Audio:
        """Evaluate a batch. When the GPU's memory runs out: halve the batch, and at one chunk go on with the CPU."""
        done: list[Audio] = []
        at = 0
        while at < len(chunks):
            part = chunks[at : at + self.batch]
            try:
                done.append(self._evaluate(one.network, part))
                at += len(part)
            except RuntimeError as error:
                if not _out_of_memory(error) or self.device == "cpu":
                    raise
            else:
                continue
            self._shrink()  # outside the except block, whose traceback would keep the tensors alive
        return np.concatenate(done)

    def _evaluate(self, index: int, chunks: Audio) -> Audio:
        if self._loaded != index:
            if self._loaded is not None:
                self.networks[self._loaded].to("cpu")
            self.networks[index].to(self.device)
            self._loaded = index
        with torch.inference_mode():
            output: torch.Tensor = self.networks[index](torch.from_numpy(chunks).to(self.device))
        result: Audio = output.cpu().numpy()
        return result

    def _shrink(self) -> None:
        device = self.device
        _free(device)
        if self.batch > 1:
            self.batch //= 2
            notice = f"The memory of {device} ran out; going on with {self.batch} chunk(s) at a time."
        else:
            for network in self.networks:
                network.to("cpu")
            self._loaded = None
            self.device = "cpu"
            _free(device)
            large = any(not isinstance(network, HTDemucs) for network in self.networks)
            smaller = " The model htdemucs works on much shorter chunks and needs far less." if large else ""
            notice = (
                f"The memory of {device} ran out even for one chunk; going on with the CPU at the same precision."
                f" Free the GPU, or set device=cpu to say so from the start.{smaller}"
            )
        self.notices.append(notice)
        log.warning("%s", notice)

    def close(self) -> None:
        self.networks.clear()
        _free(self.device)


def _passes(networks: list[Any], model: Model, settings: dict[str, Any]) -> list[Pass]:
    """Every network over every shift, each with the share that upstream's averages give it."""
    draw = random.Random(settings.get("seed", 0))
    mixing = np.array(model.mixing or [[1.0] * len(model.stems)] * len(networks))
    shares = mixing / mixing.sum(axis=0) / max(settings["shifts"], 1)
    passes = []
    for index, network in enumerate(networks):
        chunk = int(network.samplerate * network.segment)
        stride = int((1 - settings["overlap"]) * chunk)
        largest = int(MAX_SHIFT * network.samplerate)
        # A shift moves the grid's origin to before the song: upstream pads the song and cuts it at a random offset.
        origins = [draw.randint(0, largest) - largest for _ in range(settings["shifts"])] or [0]
        weights = tuple(float(share) for share in shares[index])
        passes += [Pass(Grid(chunk, stride, triangle(chunk), origin), index, weights) for origin in origins]
    return passes


def _out_of_memory(error: RuntimeError) -> bool:
    # MPS and some CUDA libraries raise a plain RuntimeError.
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error).lower()


def _free(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
    elif device == "mps":
        torch.mps.empty_cache()
