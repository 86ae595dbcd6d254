"""Networks in torch on a device: batches, one network at a time, and what happens when the device's memory runs out."""

import gc
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unbraid.backends.device import resolve
from unbraid.backends.session import Audio, Pass, Plain, Shown, Statistics
from unbraid.grid import Chunk

log = logging.getLogger("unbraid")

BATCH = {"cuda": 8, "mps": 2}  # chunks at once, at most; the CPU takes one, so that its bits do not depend on a batch
ROOM = 2 * 2**30  # bytes of a GPU for a chunk: three times what one of HTDemucs takes in float32, measured on a CPU


class TorchSession(Plain):
    """Base of the sessions whose networks are torch modules. A subclass sets `networks` and `passes`.

    smaller: a model to try when the device's memory is too small for this one, where there is such.
    halves: whether `fast` computes its networks in half precision on a GPU: those whose loss of SDR was measured.
    """

    engine = "torch"
    networks: list[Any]
    passes: list[Pass]
    smaller = ""
    halves = False

    def __init__(self, settings: dict[str, Any], device: str, threads: int) -> None:
        torch.set_num_threads(threads)
        self._exact = settings.get("precision") != "fast"
        torch.backends.cudnn.deterministic = True
        torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
        self.device, self.notices = resolve(device)
        self.batch = _batch(self.device)
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
        self.arithmetic = "float32" if self._exact else self.fast()
        # torch rounds convolutions to 10 bits on newer GPUs (TF32) unless told not to; and what bfloat16 leaves out is float32.
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = self.arithmetic == "tf32"

    def fast(self) -> str:
        """What `fast` computes in: half precision on NVIDIA's GPUs that have bfloat16, which are those that have TF32.

        bfloat16 has float32's range. float16 is closer to float32 (by 20 dB, for HTDemucs), but ends at 65504, and the
        demo song alone takes HTDemucs to 2900. Other GPUs stay in float32: nobody has measured them.
        """
        known = self.device.startswith("cuda") and not torch.version.hip
        if known and torch.cuda.get_device_capability(self.device)[0] >= 8:
            return "bfloat16" if self.halves else "tf32"
        return "float32"

    def evaluate(self, network: int, audio: torch.Tensor) -> torch.Tensor:
        """[chunks, channels, frames] → [chunks, stems, channels, frames], on the device; the network itself by default."""
        output: torch.Tensor = self.networks[network](audio)
        return output

    def stream(self, one: Pass, shown: Iterable[Shown | None]) -> Iterator[tuple[Chunk, Audio]]:
        """CUDA is given a batch before the last one's output is waited for, so that it computes while that is handed on.

        Elsewhere this would gain nothing: a copy from Apple's GPU waits for all that the GPU was given.
        """
        if not self.device.startswith("cuda"):
            yield from super().stream(one, shown)
            return
        flying: tuple[list[Chunk], Callable[[], Audio]] | None = None
        for chunks, audio in self.batches(shown):
            begun = self._begun(one.network, audio) if chunks else None
            if flying:
                yield from zip(flying[0], flying[1](), strict=True)
            flying = (chunks, begun) if begun else None
            if chunks and not begun:  # there was no memory for it; now that nothing is in flight, there may be
                yield from zip(chunks, self.separate(one, audio, chunks), strict=True)
        if flying:
            yield from zip(flying[0], flying[1](), strict=True)

    def separate(self, one: Pass, audio: Audio, chunks: Sequence[Chunk]) -> Audio:
        """Evaluate a batch. When the GPU's memory runs out: halve the batch, and at one chunk go on with the CPU."""
        done: list[Audio] = []
        at = 0
        while at < len(audio):
            part = audio[at : at + self.batch]
            if begun := self._begun(one.network, part):
                done.append(begun())
                at += len(part)
            else:
                self._shrink()
        return np.concatenate(done)

    def _begun(self, index: int, audio: Audio) -> Callable[[], Audio] | None:
        """What waits for the output of a batch that the device was given; None where the GPU's memory ran out."""
        try:
            return self._begin(index, audio)
        except RuntimeError as error:
            if not _out_of_memory(error) or self.device == "cpu":
                raise
        return None  # outside the except block, whose traceback would keep the tensors alive

    def _begin(self, index: int, audio: Audio) -> Callable[[], Audio]:
        if self._loaded != index:
            if self._loaded is not None:
                self.networks[self._loaded].to("cpu")
            self.networks[index].to(self.device)
            self._loaded = index
        kind, given = self.device.partition(":")[0], torch.from_numpy(audio)
        if kind != "cpu" and len(given) < self.batch:
            # Always one shape: kernels are chosen by it, and a chunk's bits shall not depend on how many others came along.
            given = torch.cat([given, given.new_zeros(self.batch - len(given), *given.shape[1:])])
        apart = kind == "cuda"  # whether copies can go on without us: CUDA's can, from and to pinned memory
        if apart:
            given = given.pin_memory()
        with torch.inference_mode():
            shown = given.to(self.device, non_blocking=apart)
            # This leaves Fourier transforms, normalisations, HTDemucs' last layers and their sum in float32.
            with torch.autocast(kind, torch.bfloat16, enabled=self.arithmetic == "bfloat16"):
                output = self.evaluate(index, shown)
            output = output.float().to("cpu", non_blocking=apart)  # which torch pins
        ready = torch.cuda.current_stream(self.device).record_event() if apart else None

        def ended() -> Audio:
            if ready:
                ready.synchronize()
            result: Audio = output[: len(audio)].numpy()
            return result

        return ended

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
            self.device, self.arithmetic = "cpu", "float32"
            _free(device)
            smaller = f" {self.smaller}" if self.smaller else ""
            notice = (
                f"The memory of {device} ran out even for one chunk; going on with the CPU in float32."
                f" Free the GPU, or set device=cpu to say so from the start.{smaller}"
            )
        self.notices.append(notice)
        log.warning("%s", notice)

    def rest(self) -> None:
        _free(self.device)

    def close(self) -> None:
        self.networks.clear()
        gc.collect()  # a network may refer to itself (demucs_on_device)
        _free(self.device)


def _batch(device: str) -> int:
    """Chunks at once. An estimate, since `_shrink` is there; a power of two, so that a little less memory changes no bits."""
    most = BATCH.get(device.partition(":")[0], 1)
    if device.startswith("cuda"):
        try:
            fit = torch.cuda.mem_get_info(device)[0] // ROOM
        except RuntimeError as error:
            if not _out_of_memory(error):
                raise
            fit = 0  # not even CUDA itself has room beside others; the first chunk will find that out
        most = min(most, 1 << max(fit.bit_length() - 1, 0))
    return most


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
