"""The part of HTDemucs that OpenVINO gets, traced by torch. Imported only to compile it."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openvino
import torch
from torch import Tensor

from unbraid.backends import demucs_weights
from unbraid.backends.demucs_openvino_layers import Decoder, Encoder, NormOut

DIMENSIONS = (1, 2, 3)


class Core(torch.nn.Module):
    """HTDemucs without its Fourier transforms: (waves, their spectrum) → (spectra of the stems, waves of the stems).

    [1, channels, samples], [1, 2 × channels, bins, frames] → [bins / 4, frames, stems, 4, channels, 2], [samples / 4, stems,
    4, channels], rounded up: a bin or sample and the three after it are apart, and the 2 are a complex number.
    As upstream's `HTDemucs.forward`, for the networks that `demucs_openvino.form` lets through.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network, stems = network.requires_grad_(False), len(network.sources)
        self.encoders, self.wave_encoders = (
            torch.nn.ModuleList(Encoder(layer) for layer in layers) for layers in (network.encoder, network.tencoder)
        )
        self.decoders, self.wave_decoders = (
            torch.nn.ModuleList(Decoder(layer, stems) for layer in layers)
            for layers in (network.decoder, network.tdecoder)
        )
        if network.crosstransformer:
            for layer in [*network.crosstransformer.layers, *network.crosstransformer.layers_t]:
                if layer.norm_out and layer.norm_out.num_groups == 1:
                    layer.norm_out = NormOut(layer.norm_out)

    def forward(self, waves: Tensor, spectrum: Tensor) -> tuple[Tensor, Tensor]:
        spectrum, mean, deviation = _levelled(spectrum)
        waves, wave_mean, wave_deviation = _levelled(waves[:, :, None])
        skips, wave_skips, frames = [], [], []
        for index, (encode, encode_waves) in enumerate(zip(self.encoders, self.wave_encoders, strict=True)):
            frames.append(waves.shape[-1])
            spectrum, waves = encode(spectrum), encode_waves(waves)
            if index == 0 and self.network.freq_emb is not None:
                known = self.network.freq_emb(torch.arange(spectrum.shape[2])).T[None, :, :, None]
                spectrum = spectrum + self.network.freq_emb_scale * known
            skips.append(spectrum)
            wave_skips.append(waves)
        spectrum, waves = self._attended(spectrum, waves)
        for decode, decode_waves in zip(self.decoders, self.wave_decoders, strict=True):
            spectrum = decode(spectrum, skips.pop(), spectrum.shape[-1])
            waves = decode_waves(waves, wave_skips.pop(), frames.pop())
        spectra = spectrum * deviation[0] + mean[0]
        return spectra.view(*spectra.shape[:4], -1, 2), (waves * wave_deviation[0] + wave_mean[0])[0]

    def _attended(self, spectrum: Tensor, waves: Tensor) -> tuple[Tensor, Tensor]:
        network, waves = self.network, waves[:, :, 0]
        if network.crosstransformer:
            if network.bottom_channels:
                bands = spectrum.shape[2:]
                spectrum = network.channel_upsampler(spectrum.flatten(2)).unflatten(2, bands)
                waves = network.channel_upsampler_t(waves)
            spectrum, waves = network.crosstransformer(spectrum, waves)
            if network.bottom_channels:
                spectrum = network.channel_downsampler(spectrum.flatten(2)).unflatten(2, bands)
                waves = network.channel_downsampler_t(waves)
        return spectrum, waves[:, :, None]


def _levelled(signal: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    mean, deviation = signal.mean(DIMENSIONS, keepdim=True), signal.std(DIMENSIONS, keepdim=True)
    return (signal - mean) / (1e-5 + deviation), mean, deviation


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
