"""HTDemucs so that nothing of its evaluation is the host's: a GPU is given a batch and nobody waits for it.

Upstream makes windows and an embedding in the host's memory for each batch and checks values of the padded audio and of the
summed windows, and each of these waits until the GPU has done all it was given. The values are upstream's but for rounding.
"""

import functools
import math
from functools import partial
from typing import Any

import torch
from demucs import transformer
from torch.nn import functional

OVERLAP = 4  # frames of a transform that cover a sample
SQUARES = 1.5  # of its window, added up over them

# The same for every batch. Upstream fills it in the host's memory each time.
transformer.create_2d_sin_embedding = functools.lru_cache(maxsize=4)(transformer.create_2d_sin_embedding)


def keep(network: Any) -> None:
    """Have an HTDemucs that sees whole chunks compute so."""
    network.register_buffer("window", torch.hann_window(network.nfft), persistent=False)
    network._spec, network._ispec = partial(_analyse, network), partial(_synthesise, network)
    for module in last(network):
        module.forward = partial(_in_float32, module.forward)


def last(network: Any) -> list[Any]:
    """The layers whose outputs are the stems: what half precision rounds there, nothing after it averages out."""
    return [branch[-1].conv_tr for branch in (network.decoder, network.tdecoder)]


def _analyse(network: Any, audio: torch.Tensor) -> torch.Tensor:
    """[…, samples] → […, nfft / 2, frames], complex: `HTDemucs._spec`."""
    hop = network.nfft // OVERLAP
    edge, frames = hop // 2 * 3, math.ceil(audio.shape[-1] / hop)
    padded = functional.pad(audio, (edge, edge + frames * hop - audio.shape[-1]), mode="reflect")
    spectrum = torch.stft(
        padded.flatten(0, -2),
        network.nfft,
        hop,
        window=network.window,
        center=False,
        normalized=True,
        return_complex=True,
    )
    return spectrum[:, :-1].reshape(*audio.shape[:-1], -1, frames)


def _synthesise(network: Any, spectrum: torch.Tensor, length: int) -> torch.Tensor:
    """The inverse, of `length` samples: `HTDemucs._ispec`."""
    hop, frames = network.nfft // OVERLAP, spectrum.shape[-1]
    window = network.window * (math.sqrt(network.nfft) / SQUARES)
    pieces = torch.fft.irfft(spectrum.transpose(-1, -2), network.nfft) * window
    pieces = pieces.reshape(*spectrum.shape[:-2], frames, OVERLAP, hop)
    total = pieces.new_zeros(*spectrum.shape[:-2], frames + OVERLAP - 1, hop)
    for quarter in range(OVERLAP):
        total[..., quarter : quarter + frames, :] += pieces[..., quarter, :]
    edge = hop // 2 * 3
    whole: torch.Tensor = total.flatten(-2)[..., edge : edge + length]
    return whole


def _in_float32(forward: Any, given: torch.Tensor) -> torch.Tensor:
    with torch.autocast(given.device.type, enabled=False):
        output: torch.Tensor = forward(given.float())
    return output
