"""The part of HTDemucs that OpenVINO gets, traced from upstream's own code by torch. Imported only to compile it."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openvino
import torch
from demucs.htdemucs import HTDemucs

from unbraid.backends import demucs_weights


class Core(torch.nn.Module):
    """HTDemucs without its Fourier transforms: (audio, its spectrum) → (spectra of the stems, audio of the stems)."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network
        for decoder in network.tdecoder:
            decoder.conv_tr = Flat(decoder.conv_tr)

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


class Flat(torch.nn.Module):
    """A transposed convolution in one dimension, as one in two that are one high: OpenVINO has faster code for that."""

    def __init__(self, one: torch.nn.ConvTranspose1d) -> None:
        super().__init__()
        self.weight, self.bias, self.stride = one.weight, one.bias, one.stride

    def forward(self, audio: torch.Tensor) -> torch.Tensor:
        weight, stride = self.weight[:, :, None], (1, *self.stride)
        made = torch.nn.functional.conv_transpose2d(audio[:, :, None], weight, self.bias, stride)
        return made[:, :, 0]


@contextmanager
def _replaced(network: HTDemucs, **functions: Any) -> Iterator[None]:
    """With these methods in place of the class's."""
    network.__dict__.update(functions)
    try:
        yield
    finally:
        for name in functions:
            del network.__dict__[name]


def convert(path: Path) -> openvino.Model:
    """The core of the network in a file of weights, for one chunk at a time."""
    network = demucs_weights.load(path)
    silence = torch.zeros(1, network.audio_channels, int(network.segment * network.samplerate))
    with torch.inference_mode():
        shape = network._magnitude(network._spec(silence)).shape
    return converted(Core(network), (silence, torch.zeros(shape)))


def converted(network: torch.nn.Module, examples: Sequence[torch.Tensor]) -> openvino.Model:
    """`network`, for inputs of exactly the examples' shapes."""
    jit: Any = torch.jit  # untyped
    # The fused attention of torch's fast path is not an operation that OpenVINO knows.
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        # Its warnings are of branches on shapes, which are always the same here.
        with torch.no_grad(), warnings.catch_warnings(action="ignore", category=jit.TracerWarning):
            traced = jit.trace(network.eval(), tuple(examples), check_trace=False)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    return openvino.convert_model(
        traced, example_input=tuple(examples), input=[tuple(example.shape) for example in examples]
    )
