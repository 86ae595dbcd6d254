"""HTDemucs on the CPU through OpenVINO, which computes its layers faster than torch does, and without importing torch.

OpenVINO gets all between the two Fourier transforms (`demucs_openvino_core`). The other networks of demucs have recurrent
layers and chunks of any length, and stay torch's.
"""

import ctypes
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unbraid.backends import demucs_grid, demucs_spectrum, demucs_weights
from unbraid.backends.session import Audio, Pass, Plain, Shown, Statistics
from unbraid.catalogue import Model
from unbraid.files import read_json
from unbraid.grid import Chunk
from unbraid.threads import ahead

HTDEMUCS = "demucs.htdemucs.HTDemucs"
M_MMAP_THRESHOLD = -3  # malloc.h
ARITHMETIC = {"bf16": "bfloat16", "f32": "float32"}
KERNEL, STRIDE = 8, 4
ASSUMED = {
    "cac": True, "use_train_segment": True, "kernel_size": KERNEL, "stride": STRIDE, "multi_freqs": None, "rewrite": True,
}  # fmt: skip
"""What `demucs_openvino_core` takes for granted of its arguments; also where a file of weights does not say."""
UNSAID = {"samplerate": 44100, "segment": 10, "nfft": 4096, "depth": 4, "norm_starts": 4}
"""What others are where a file of weights does not say."""


@dataclass(frozen=True)
class Form:
    """Of a network: the samples of a chunk, and of a frame of its spectrum."""

    chunk: int
    nfft: int


def form(path: Path) -> Form | None:
    """The form of the network in a file of weights; None for one that OpenVINO does not get."""
    klass, args, kwargs = demucs_weights.arguments(path)
    said = ASSUMED | UNSAID | kwargs
    if klass != HTDEMUCS or len(args) > 1 or any((said[name] or None) != value for name, value in ASSUMED.items()):
        return None
    bands, depth = said["nfft"] // 2, said["depth"]
    # Else the last layers are others: normalised, or of one band.
    if said["norm_starts"] < depth or bands % STRIDE**depth or bands // STRIDE ** (depth - 1) <= KERNEL:
        return None
    return Form(int(said["segment"] * said["samplerate"]), said["nfft"])


class DemucsOpenvinoSession(Plain):
    """The networks of one model, one at a time in memory. `threads` chunks are computed at once."""

    engine = "openvino"
    device = "cpu"
    joint = True

    def __init__(
        self,
        model: Model,
        folder: Path,
        networks: dict[Path, Form],
        settings: dict[str, Any],
        notices: list[str],
        threads: int,
    ) -> None:
        """networks: the form of each, by its file of weights, which has been verified."""
        self._model, self._settings, self.notices, self.batch = model, settings, notices, threads
        _give_back_memory()
        self._place = folder / "openvino"
        self._paths, self._forms = list(networks), list(networks.values())
        record = read_json(folder / "model.json")["weights"]
        self._digests = [record[weights.name]["sha256"] for weights in model.weights]
        self._requests: deque[Any] = deque()
        self._loaded: int | None = None
        self._compiled: Any = None
        # The transforms, while OpenVINO's own threads compute.
        self._pool = ThreadPoolExecutor(threads)
        self._ready(0)  # it may have to be compiled, which is better done before a song is begun

    def __copy__(self) -> "DemucsOpenvinoSession":
        """For a song that shares the networks with others: without them, so that they are let go of when they are not needed."""
        made = object.__new__(type(self))
        made.__dict__ = {**self.__dict__, "_compiled": None, "_requests": deque()}
        return made

    def begin(self, statistics: Statistics, prompt_file: Path | None = None) -> None:
        super().begin(statistics, prompt_file)
        chunks = [made.chunk for made in self._forms]
        self.passes = demucs_grid.bag(self._model, chunks, self._settings, statistics.rate)

    def level(self) -> tuple[np.float32, np.float32]:
        return demucs_grid.level(self.statistics)

    def valid_length(self, one: Pass, length: int) -> int:
        return self._forms[one.network].chunk

    def separate(self, one: Pass, audio: Audio, chunks: Sequence[Chunk]) -> Audio:
        return np.stack([output for _, output in self.stream(one, zip(chunks, audio, strict=True))])

    def stream(self, one: Pass, shown: Iterable[Shown | None]) -> Iterator[tuple[Chunk, Audio]]:
        # OpenVINO is spoken to by this one thread: its Python package can lock up when two make their first requests at once.
        nfft, free = self._forms[one.network].nfft, self._ready(one.network)
        started: deque[tuple[Chunk, Any]] = deque()
        ended: deque[tuple[Chunk, Any, Future[Audio]]] = deque()

        def fetch() -> None:
            """What was begun first, from OpenVINO to the pool."""
            chunk, request = started.popleft()
            request.wait()
            spectra, waves = (request.get_output_tensor(at).data for at in (0, 1))
            ended.append((chunk, request, self._pool.submit(_stems, spectra, waves, self._forms[one.network])))

        def hand() -> tuple[Chunk, Audio]:
            """And from there to the caller."""
            chunk, request, made = ended.popleft()
            output = made.result()
            free.append(request)
            return chunk, output

        def oldest() -> Iterator[tuple[Chunk, Audio]]:
            if started and len(ended) < self.batch:
                fetch()
            else:
                yield hand()

        for item in ahead(self._analysed(shown, nfft), self.batch):
            if item is None:
                if started and started[0][1].wait_for(0):
                    fetch()
                while ended and ended[0][2].done():
                    yield hand()
                continue
            chunk, audio, spectrum = item
            while not free:
                yield from oldest()
            request = free.popleft()
            request.start_async([audio[None], spectrum.result()[None]], share_inputs=True)
            started.append((chunk, request))
        while started or ended:
            yield from oldest()

    def _analysed(
        self, shown: Iterable[Shown | None], nfft: int
    ) -> Iterator[tuple[Chunk, Audio, Future[Audio]] | None]:
        for item in shown:
            yield item and (*item, self._pool.submit(demucs_spectrum.analyse, item[1], nfft))

    def _ready(self, index: int) -> deque[Any]:
        """Requests to compute with network `index`: one for each thread, and one that waits, so that no thread does."""
        if self._loaded != index:
            # Only a job that uses it pays for this import.
            from unbraid.backends.openvino_models import compiled

            self._requests.clear()
            self._compiled = None
            self._compiled = compiled(
                lambda: _converted(self._paths[index]),
                place=self._place,
                weights=self._digests[index],
                exact=self._settings.get("precision") == "exact",
                streams=self.batch,
            )
            self._requests.extend(self._compiled.model.create_infer_request() for _ in range(self.batch + 1))
            self._loaded = index
            self.arithmetic = ARITHMETIC[self._compiled.precision]
        for request in self._requests:
            request.wait()  # a song that was broken off may have left some at work
        return deque(self._requests)

    def close(self) -> None:
        self._pool.shutdown()
        self._requests.clear()
        self._compiled = None


def _give_back_memory() -> None:
    """Have freed arrays of a chunk returned to the system at once: glibc keeps 100 MB of them, in the arenas of the threads
    that made them. (`make bench-memory` shows it.)"""
    with suppress(AttributeError, OSError, TypeError):  # another C library, or none
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 1 << 20)


def _converted(path: Path) -> Any:
    from unbraid.backends import demucs_openvino_core  # and torch with it

    return demucs_openvino_core.convert(path)


def _stems(spectra: Audio, waves: Audio, form: Form) -> Audio:
    made = demucs_spectrum.synthesise(spectra, form.nfft, form.chunk)
    # [samples / 4, stems, 4, channels] → [stems, channels, samples]
    made += waves.transpose(1, 3, 0, 2).reshape(*made.shape[:2], -1)[..., : form.chunk]
    return made
