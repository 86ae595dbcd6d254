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
    """The inverse: [nfft / 8, frames, stems, 4, channels, 2] → [stems, channels, samples], where the 4 are a bin and the three
    after it, and the 2 its real and its imaginary part."""
    stems, channels = spectra.shape[2], spectra.shape[4]
    made = np.empty((stems, channels, samples), dtype=np.float32)
    for stem, target in enumerate(made):  # one by one: a fraction of the memory
        target[:] = _synthesise(spectra[:, :, stem], nfft, samples)
    return made


def _synthesise(spectrum: Audio, nfft: int, samples: int) -> Audio:
    hop = nfft // OVERLAP
    parts = spectrum.view(np.complex64)[..., 0]
    bands, frames, phases, channels = parts.shape
    turned = np.empty((channels, frames, bands, phases), dtype=np.complex64)
    for frame in range(frames):  # one by one: what is read of it stays in the cache
        turned[:, frame] = parts[:, frame].transpose(2, 0, 1)
    pieces = np.fft.irfft(turned.reshape(channels, frames, -1), nfft)
    pieces *= _window(nfft) * np.float32(math.sqrt(nfft) / SQUARES)
    quarters = pieces.reshape(channels, frames, OVERLAP, hop)
    total = np.zeros((channels, frames + OVERLAP - 1, hop), dtype=np.float32)
    for quarter in range(OVERLAP):
        total[:, quarter : quarter + frames] += quarters[:, :, quarter]
    edge = hop // 2 * 3
    return total.reshape(channels, -1)[:, edge : edge + samples]
