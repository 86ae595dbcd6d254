"""The Fourier transforms of upstream's HTDemucs (`_spec`, `_magnitude`, `_mask`, `_ispec`) without torch, for whole chunks.

Upstream pads a chunk so that each frame of `nfft` samples lies whole in it, a quarter of a frame after the one before;
there, squared windows add up to 3/2 everywhere. Real and imaginary parts are channels of their own.
"""

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from unbraid.audio.wav import Audio

OVERLAP = 4  # frames that cover a sample
SQUARES = 1.5  # of the window, added up over them


def _window(nfft: int) -> Audio:
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(nfft) / nfft)
    return hann.astype(np.float32)


def analyse(audio: Audio, nfft: int) -> Audio:
    """[channels, samples] → [2 × channels, nfft / 2, frames]: what the network is shown, and all that it is shown."""
    hop = nfft // OVERLAP
    frames = math.ceil(audio.shape[-1] / hop)
    edge = hop // 2 * 3
    padded = np.pad(audio, ((0, 0), (edge, edge + frames * hop - audio.shape[-1])), mode="reflect")
    shown = sliding_window_view(padded, nfft, axis=-1)[:, ::hop]
    spectrum = np.fft.rfft(shown * (_window(nfft) / np.float32(math.sqrt(nfft))))[..., :-1]
    parts = np.stack([spectrum.real, spectrum.imag], axis=1)
    # numpy's types do not tell that its transforms keep single precision.
    made = parts.reshape(-1, *spectrum.shape[1:]).transpose(0, 2, 1).astype(np.float32, copy=False)
    return np.ascontiguousarray(made)


def synthesise(spectra: Audio, nfft: int, samples: int) -> Audio:
    """[stems, 2 × channels, nfft / 2, frames] → [stems, channels, samples]: the inverse."""
    made = np.empty((len(spectra), spectra.shape[1] // 2, samples), dtype=np.float32)
    for stem, target in zip(spectra, made, strict=True):  # one by one: a fraction of the memory
        target[:] = _synthesise(stem, nfft, samples)
    return made


def _synthesise(spectrum: Audio, nfft: int, samples: int) -> Audio:
    hop = nfft // OVERLAP
    parts, bins, frames = spectrum.shape
    turned = np.empty((parts // 2, frames, bins), dtype=np.complex64)
    turned.real, turned.imag = spectrum[0::2].swapaxes(1, 2), spectrum[1::2].swapaxes(1, 2)
    pieces = np.fft.irfft(turned, nfft)
    pieces *= _window(nfft) * np.float32(math.sqrt(nfft) / SQUARES)
    quarters = pieces.reshape(parts // 2, frames, OVERLAP, hop)
    total = np.zeros((parts // 2, frames + OVERLAP - 1, hop), dtype=np.float32)
    for quarter in range(OVERLAP):
        total[:, quarter : quarter + frames] += quarters[:, :, quarter]
    edge = hop // 2 * 3
    return total.reshape(parts // 2, -1)[:, edge : edge + samples]
