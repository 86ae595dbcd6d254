"""Networks in torch on a device: batches, one network at a time, and what happens when the device's memory runs out."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unbraid.backends.device import resolve
from unbraid.backends.session import Audio, Pass, Plain, Statistics
from unbraid.grid import Chunk

log = logging.getLogger("unbraid")

BATCH = {"cuda": 4, "mps": 2}  # chunks at once; the CPU takes one, so that its bits do not depend on a batch


class TorchSession(Plain):
    """Base of the sessions whose networks are torch modules. A subclass sets `networks` and `passes`.

    smaller: a model to try when the device's memory is too small for this one, where there is such.
    """

    engine = "torch"
    networks: list[Any]
    passes: list[Pass]
    smaller = ""

    def __init__(self, settings: dict[str, Any], device: str, threads: int) -> None:
        torch.set_num_threads(threads)
        # torch rounds convolutions to 10 bits on newer GPUs (TF32) unless told not to; `exact` is float32.
        exact = settings.get("precision") != "fast"
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = not exact
        torch.backends.cudnn.deterministic = True
        self.device, self.notices = resolve(device)
        self.batch = BATCH.get(self.device.partition(":")[0], 1)
        self._loaded: int | None = None
        self._fresh: tuple[str, int, tuple[str, ...]] | None = None

    def begin(self, statistics: Statistics, prompt_file: Path | None = None) -> None:
        """Each song begins on the device and with the batch that the session was made with: how it runs, and what is said
        of it, depends on no song before."""
        super().begin(statistics, prompt_file)
        if self._fresh is None:
            self._fresh = self.device, self.batch, tuple(self.notices)
        device, self.batch, notices = self._fresh
        if device != self.device:
            self.device, self._loaded = device, None
        self.notices = list(notices)

    def evaluate(self, network: int, audio: torch.Tensor) -> torch.Tensor:
        """[chunks, channels, frames] → [chunks, stems, channels, frames], on the device; the network itself by default."""
        output: torch.Tensor = self.networks[network](audio)
        return output

    def separate(self, one: Pass, audio: Audio, chunks: Sequence[Chunk]) -> Audio:
        """Evaluate a batch. When the GPU's memory runs out: halve the batch, and at one chunk go on with the CPU."""
        done: list[Audio] = []
        at = 0
        while at < len(audio):
            part = audio[at : at + self.batch]
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

    def _evaluate(self, index: int, audio: Audio) -> Audio:
        if self._loaded != index:
            if self._loaded is not None:
                self.networks[self._loaded].to("cpu")
            self.networks[index].to(self.device)
            self._loaded = index
        with torch.inference_mode():
            output = self.evaluate(index, torch.from_numpy(audio).to(self.device))
        result: Audio = output.float().cpu().numpy()
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
            smaller = f" {self.smaller}" if self.smaller else ""
            notice = (
                f"The memory of {device} ran out even for one chunk; going on with the CPU at the same precision."
                f" Free the GPU, or set device=cpu to say so from the start.{smaller}"
            )
        self.notices.append(notice)
        log.warning("%s", notice)

    def rest(self) -> None:
        _free(self.device)

    def close(self) -> None:
        self.networks.clear()
        _free(self.device)


def _out_of_memory(error: RuntimeError) -> bool:
    # MPS and some CUDA libraries raise a plain RuntimeError.
    return isinstance(error, torch.OutOfMemoryError) or any(
        sign in str(error).lower() for sign in ("out of memory", "alloc_failed")
    )


def _free(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
    elif device == "mps":
        torch.mps.empty_cache()
