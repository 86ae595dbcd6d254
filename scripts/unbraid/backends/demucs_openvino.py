"""HTDemucs on the CPU through OpenVINO, which computes its layers faster than torch.

OpenVINO gets all between the two Fourier transforms, traced from upstream's own code; the transforms stay torch's. The
other networks of demucs have recurrent layers and chunks of any length, and stay torch's altogether.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from demucs.htdemucs import HTDemucs

from unbraid.backends.demucs import DemucsSession
from unbraid.backends.device import resolve
from unbraid.backends.session import Audio
from unbraid.catalogue import Model
from unbraid.errors import UnbraidError
from unbraid.files import read_json

MISSING = "OpenVINO is not installed, so torch computes in its place, more slowly."


def wanted(device: str, settings: dict[str, Any]) -> bool:
    """Whether OpenVINO is to run Demucs here. Raises: UnbraidError when it was asked for by name and cannot.

    By itself it is taken where `precision: fast` allows what differs from upstream by rounding; `exact` is torch's.
    """
    engine, installed = settings.get("engine"), find_spec("openvino") is not None
    if engine == "openvino":
        if device not in ("cpu", "auto"):
            raise UnbraidError(
                f"engine=openvino cannot run on device={device}.", remedy="Set device=cpu, or engine=auto."
            )
        if not installed:
            raise UnbraidError(
                "engine=openvino needs the Python package openvino, which is not installed.",
                remedy="Run `pip install openvino` in unbraid's environment, or set engine=auto.",
            )
        return True
    allowed = engine in ("auto", None) and settings.get("precision") == "fast"
    return allowed and device in ("cpu", "auto") and resolve(device)[0] == "cpu"


class DemucsOpenvinoSession(DemucsSession):
    """The networks of one model; those that are not HTDemucs are torch's. Chunks are computed `threads` at a time."""

    def __init__(self, model: Model, folder: Path, settings: dict[str, Any], device: str, threads: int) -> None:
        notices = resolve(device)[1]
        super().__init__(model, folder, settings, "cpu", threads)
        self.notices = notices
        self._ours = [_suits(network) for network in self.networks]
        if not any(self._ours):
            if settings.get("engine") == "openvino":
                raise UnbraidError(
                    f"engine=openvino runs HTDemucs only, which {model.name!r} is not.", remedy="Set engine=auto."
                )
            return
        if find_spec("openvino") is None:
            self.notices, self._ours = [*notices, MISSING], [False] * len(self.networks)
            return
        self.engine = "openvino"
        self.batch = threads
        self._exact = settings.get("precision") == "exact"
        self._place = folder / "openvino"
        record = read_json(folder / "model.json")["weights"]
        self._digests = [record[weights.name]["tensors_sha256"] for weights in model.weights]
        self._requests: list[Any] = []
        # The transforms too are one thread's work for each chunk.
        self._pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))

    def _evaluate(self, index: int, audio: Audio) -> Audio:
        if not self._ours[index]:
            return np.concatenate([super(DemucsOpenvinoSession, self)._evaluate(index, one[None]) for one in audio])
        if self._loaded != index:
            self._load(index)
        network = self.networks[index]
        before = list(self._pool.map(lambda one: _spectrum(network, one), audio))
        # OpenVINO's requests are made and read in one thread: its Python package can lock up when two use it at first.
        running = list(zip(self._requests, audio, before, strict=False))
        for request, one, (_, spectrum) in running:
            request.start_async([one[None], spectrum.numpy()], share_inputs=True)
        after = []
        for request, one, (mixed, _) in running:
            request.wait()
            spectra, branch = (torch.from_numpy(request.get_output_tensor(at).data) for at in (0, 1))
            after.append(self._pool.submit(_stems, network, mixed, spectra, branch, one.shape[-1]))
        return np.stack([stems.result() for stems in after])

    def _load(self, index: int) -> None:
        # Only a job that uses it pays for this import.
        from unbraid.backends.openvino_models import compiled

        network, self._requests = self.networks[index], []
        frames = int(network.segment * network.samplerate)
        with torch.inference_mode():
            silence = torch.zeros(1, network.audio_channels, frames)
            spectrum = network._magnitude(network._spec(silence))
        made = compiled(
            Core(network),
            (torch.zeros(silence.shape), torch.zeros(spectrum.shape)),
            place=self._place,
            tensors=self._digests[index],
            exact=self._exact,
            streams=self.batch,
        )
        self._requests = [made.create_infer_request() for _ in range(self.batch)]
        self._loaded = index

    def close(self) -> None:
        if self.engine == "openvino":
            self._pool.shutdown()
            self._requests.clear()
        super().close()


class Core(torch.nn.Module):
    """HTDemucs without its Fourier transforms: (audio, its spectrum) → (spectra of the stems, audio of the stems)."""

    def __init__(self, network: HTDemucs) -> None:
        super().__init__()
        self.network = network

    def forward(self, audio: torch.Tensor, spectrum: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        spectra: list[torch.Tensor] = []

        def keep(made: torch.Tensor, length: int) -> torch.Tensor:
            spectra.append(made)
            return torch.zeros(())  # what upstream adds to the audio of its other branch

        with _replaced(
            self.network,
            _spec=lambda audio: spectrum,
            _magnitude=lambda made: made,
            _mask=lambda before, made: made,
            _ispec=keep,
        ):
            branch = self.network(audio)
        return spectra[0], branch


@contextmanager
def _replaced(network: HTDemucs, **functions: Any) -> Iterator[None]:
    """With these methods in place of the class's."""
    network.__dict__.update(functions)
    try:
        yield
    finally:
        for name in functions:
            del network.__dict__[name]


def _suits(network: Any) -> bool:
    # One that pads every chunk to the length that it was trained on is shown that length only.
    return isinstance(network, HTDemucs) and network.use_train_segment


# The arithmetic of upstream's `forward` before and after the core, for one chunk.
def _spectrum(network: Any, audio: Audio) -> tuple[torch.Tensor, torch.Tensor]:
    """[channels, frames] → the complex spectrum, and what the core is shown of it."""
    with torch.inference_mode():
        mixed = network._spec(torch.from_numpy(audio[None]))
        return mixed, network._magnitude(mixed)


def _stems(network: Any, mixed: torch.Tensor, spectra: torch.Tensor, branch: torch.Tensor, frames: int) -> Audio:
    """What the core made → [stems, channels, frames]."""
    with torch.inference_mode():
        made = network._ispec(network._mask(mixed, spectra), frames) + branch
    result: Audio = made[0].numpy()
    return result
