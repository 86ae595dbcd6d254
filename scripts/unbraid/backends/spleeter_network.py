"""Spleeter in torch: a U-Net for each stem that hears STFT magnitudes, and the masks that are made of their outputs.

The method is that of R. Hennequin, A. Khlif, F. Voituret and M. Moussallam, "Spleeter: a fast and efficient music source
separation tool with pre-trained models" (Journal of Open Source Software 5, 2020); the U-Net goes back to A. Jansson et al.,
"Singing voice separation with deep U-Net convolutional networks" (ISMIR 2017).
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

HOP = 1024  # samples between the frames of the STFT
SIZE = 4 * HOP  # of a frame
FRAMES = 512  # that the networks were trained on, and see at once
SHOWN = (FRAMES - 1) * HOP + SIZE  # samples that these frames cover
BINS = 1024  # that the networks see, up to 11 kHz
FILTERS = (16, 32, 64, 128, 256, 512)
EPSILON = 1e-10  # what upstream adds to a sum of squares, so that silence divides by something


class UNet(nn.Module):
    """One stem's magnitudes out of the mix's: [chunks, channels, frames, bins] to the same; both divide by 2^levels."""

    def __init__(self, channels: int = 2, filters: Sequence[int] = FILTERS) -> None:
        super().__init__()
        inner = filters[
            -2::-1
        ]  # widths on the way up; those of the way down join them, which doubles what the next takes
        rising = zip((filters[-1], *(2 * width for width in inner)), (*inner, 1), strict=True)
        self.down = nn.ModuleList(nn.Conv2d(old, new, 5, stride=2) for old, new in pairwise((channels, *filters)))
        self.down_norm = nn.ModuleList(_norm(width) for width in filters[:-1])
        self.up = nn.ModuleList(nn.ConvTranspose2d(old, new, 5, stride=2) for old, new in rising)
        self.up_norm = nn.ModuleList(_norm(width) for width in (*inner, 1))
        self.mask = nn.Conv2d(1, channels, 4, dilation=2, padding=3)

    def forward(self, magnitudes: torch.Tensor) -> torch.Tensor:
        # TensorFlow's padding "same", which the weights were trained with, is one before and two after at a stride of 2.
        levels = [self.down[0](functional.pad(magnitudes, (1, 2, 1, 2)))]
        for norm, conv in zip(self.down_norm, self.down[1:], strict=True):
            active = functional.leaky_relu(norm(levels[-1]), 0.2)
            levels.append(conv(functional.pad(active, (1, 2, 1, 2))))
        x = levels.pop()
        for norm, conv in zip(self.up_norm, self.up, strict=True):
            x = norm(functional.relu(conv(x)[..., 1:-2, 1:-2]))
            if levels:
                x = torch.cat([levels.pop(), x], dim=1)
        return torch.sigmoid(self.mask(x)) * magnitudes


def _norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, eps=1e-3)


class Spleeter(nn.Module):
    """Every stem of the mix, out of the U-Nets of all stems.

    The networks say nothing above 11 kHz. Upstream's default leaves all stems silent there. Here each gets its mean share of
    the bins below in the same frame, upstream's other choice, so that the stems add up to the mix. On three songs with true
    stems this did better up there than to leave everything to the accompaniment, or to go on with the share at the edge.
    """

    def __init__(self, unets: Sequence[UNet]) -> None:
        super().__init__()
        self.unets = nn.ModuleList(unets)
        self.window: torch.Tensor
        self.register_buffer("window", torch.hann_window(SIZE), persistent=False)

    def forward(self, audio: torch.Tensor) -> torch.Tensor:
        """[chunks, channels, samples] → [chunks, stems, channels, samples], of at most SHOWN samples.

        Silence follows them, up to SHOWN. The stems add up to `audio` where four frames overlap, which they do not in the
        first three hops, nor in the last three of SHOWN.
        """
        shown = functional.pad(audio, (0, SHOWN - audio.shape[-1]))
        spectrum = torch.fft.rfft(shown.unfold(-1, SIZE, HOP) * self.window)  # [chunks, channels, frames, bins]
        masks = self.masks(spectrum[..., :BINS].abs())
        above = masks.mean(dim=-1, keepdim=True).expand(*masks.shape[:-1], spectrum.shape[-1] - BINS)
        frames = torch.fft.irfft(torch.cat([masks, above], dim=-1) * spectrum[:, None], n=SIZE) * self.window
        whole = _overlap_add(frames) / 1.5  # the sum of a squared Hann window at steps of a quarter
        return whole[..., : audio.shape[-1]]

    def masks(self, magnitudes: torch.Tensor) -> torch.Tensor:
        """[chunks, channels, frames, BINS] → [chunks, stems, channels, frames, BINS]: shares in power that add up to 1."""
        power = torch.stack([unet(magnitudes) for unet in self.unets], dim=1).square()
        return (power + EPSILON / len(self.unets)) / (power.sum(dim=1, keepdim=True) + EPSILON)


def _overlap_add(frames: torch.Tensor) -> torch.Tensor:
    """[…, frames, SIZE] → […, samples]."""
    parts = frames.reshape(*frames.shape[:-1], SIZE // HOP, HOP)
    count = frames.shape[-2]
    total = frames.new_zeros(*frames.shape[:-2], count + SIZE // HOP - 1, HOP)
    for index in range(SIZE // HOP):
        total[..., index : index + count, :] += parts[..., index, :]
    return total.flatten(-2)
