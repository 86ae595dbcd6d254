"""HTDemucs's layers, put so that OpenVINO computes them fast: the same functions of the same weights, rounding aside.

OpenVINO's convolutions keep the channels of a point side by side. Upstream turns its arrays between them, so that most of
the time that is not spent in products goes into copies; here everything stays [1, channels, bands, frames], and waves are
one band. What is split or normalised after a convolution is done with its weights instead. (`make bench-chunk`)
"""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional

PHASES = 4  # samples, or bins, that the last layer makes of each point
REACH = 3  # points that each of them is made of
TINY = 1e-6  # of the longest direction of a convolution's weights: a shorter one is rounding


def in_two(weight: Tensor) -> Tensor:
    """The weights of a convolution in one dimension, as those of one in two."""
    return weight[:, :, None] if weight.dim() == 3 else weight


def padding(convolution: Any) -> tuple[int, int]:
    before: tuple[int, ...] = convolution.padding
    return (0, *before) if len(before) == 1 else before  # type: ignore[return-value]


def normalised(turned: Tensor, first: int, norm: Any) -> Tensor:
    """By a GroupNorm of one group, over all axes from the `first` on, of which the last are the channels."""
    flat = turned.flatten(first)
    flat = functional.layer_norm(flat, flat.shape[first:], eps=norm.eps)
    return cast(Tensor, flat.reshape(turned.shape) * norm.weight + norm.bias)


def transposed(
    audio: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    padding: tuple[int, int] = (0, 0),
    dilation: tuple[int, int] = (1, 1),
) -> Tensor:
    """`conv2d`, as a transposed convolution with the weights turned round.

    Where OpenVINO computes in half precision, what comes after the last convolution is in float32 all the same, and
    transposed ones do not count. So nothing in the last layer's residuals is rounded, which is heard more than all other
    rounding together.
    """
    rows, columns = (
        step * (taps - 1) - before for step, taps, before in zip(dilation, weight.shape[2:], padding, strict=True)
    )
    turned = weight.transpose(0, 1).flip(2, 3)
    return functional.conv_transpose2d(audio, turned, bias, padding=(rows, columns), dilation=dilation)


class Residual(torch.nn.Module):
    """A layer of upstream's DConv: into a few channels and back, both normalised over a band; gated, scaled and added."""

    def __init__(self, layer: Any, convolve: Callable[..., Tensor]) -> None:
        """convolve: `conv2d`, or `transposed`."""
        super().__init__()
        self.convolve = convolve
        into, norm, _, back, norm_back, _, scale = layer
        self.weight, self.bias = in_two(into.weight), into.bias
        self.dilation, self.padding = (1, *into.dilation), padding(into)
        self.norm, self.epsilon = norm, norm_back.eps
        # y = weight @ x + bias, normalised: ((y - mean) / deviation) * gain + shift. With x apart into its mean over the
        # frames and the rest, the mean of y goes with the first; and root @ rest is as long as weight @ rest, so that the
        # rest is normalised while its channels are few. No deviation is put down in half precision, where it would be off
        # for a whole band.
        weight, bias = back.weight[..., 0].double(), back.bias.double()
        self.centred, self.centred_bias = _pointwise(weight - weight.mean(0)), (bias - bias.mean()).float()
        squares, axes = torch.linalg.eigh(weight.T @ weight / len(weight))
        lengths = squares.clamp(min=0).sqrt()
        self.root = _pointwise(lengths[:, None] * axes.T)
        scales = torch.cat([scale.scale.double(), torch.ones(len(weight) // 2, dtype=torch.double)])
        gain, shift = norm_back.weight.double() * scales, norm_back.bias.double() * scales
        inverse = torch.where(lengths > TINY * lengths.max(), 1 / lengths, 0)
        self.back = _pointwise(gain[:, None] * weight @ axes * inverse)
        self.gain, self.shift = _channels(gain), _channels(shift)

    def forward(self, audio: Tensor) -> Tensor:
        made = self.convolve(audio, self.weight, self.bias, padding=self.padding, dilation=self.dilation)
        turned = made.permute(0, 2, 3, 1)  # as it lies in memory
        turned = functional.gelu(normalised(turned, 2, self.norm))
        made = turned.permute(0, 3, 1, 2)
        mean = made.mean(3, keepdim=True)
        few, many, frames = made.shape[1], len(self.centred), made.shape[3]
        # Normalised together, as one mean square: each with as much weight as its mean square has in that of y.
        size = few * frames + many
        share, mean_share = (size / frames) ** 0.5, (size / many) ** 0.5
        rest = self.convolve(made - mean, self.root * share)
        middle = self.convolve(mean, self.centred * mean_share, self.centred_bias * mean_share)
        flat = torch.cat([part.permute(0, 2, 3, 1).flatten(2) for part in (rest, middle)], 2)
        flat = functional.layer_norm(flat, flat.shape[2:], eps=self.epsilon)
        rest = flat[..., :-many].view(1, -1, frames, few).permute(0, 3, 1, 2)
        middle = flat[..., -many:].view(1, -1, 1, many).permute(0, 3, 1, 2)
        value, gate = (middle * (self.gain / mean_share) + self.shift).chunk(2, dim=1)
        # OpenVINO takes what is added to a convolution's output for a part of the convolution, finds that it is none, and
        # turns arrays to add it. A factor that it does not know to be 1 has it added with what is computed after.
        one = middle[:, :1].clamp(1, 1)
        weight, gate_weight = (self.back / share).chunk(2)
        value = self.convolve(rest, weight) * one + value
        gate = self.convolve(rest, gate_weight) * one + gate
        return cast(Tensor, audio + value * torch.sigmoid(gate))


def _pointwise(weight: Tensor) -> Tensor:
    return weight.float()[:, :, None, None]


def _channels(values: Tensor) -> Tensor:
    return values.float().view(1, -1, 1, 1)


class Gated(torch.nn.Module):
    """A convolution and a gated linear unit, as two convolutions: no array to split."""

    def __init__(self, convolution: Any) -> None:
        super().__init__()
        self.weights, self.biases = in_two(convolution.weight).chunk(2), convolution.bias.chunk(2)
        self.padding = padding(convolution)

    def forward(self, audio: Tensor) -> Tensor:
        value, gate = (
            functional.conv2d(audio, weight, bias, padding=self.padding)
            for weight, bias in zip(self.weights, self.biases, strict=True)
        )
        return value * torch.sigmoid(gate)


def residuals(layer: Any, convolve: Callable[..., Tensor] = functional.conv2d) -> torch.nn.Sequential:
    return torch.nn.Sequential(*(Residual(one, convolve) for one in (layer.dconv.layers if layer.dconv else [])))


class Encoder(torch.nn.Module):
    """Upstream's HEncLayer, of either branch."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.weight, self.bias = in_two(layer.conv.weight), layer.conv.bias
        self.stride = tuple(layer.conv.stride) if layer.freq else (1, *layer.conv.stride)
        self.padding = padding(layer.conv)
        self.residuals, self.rewrite = residuals(layer), Gated(layer.rewrite)

    def forward(self, audio: Tensor) -> Tensor:
        audio = functional.pad(audio, (0, -audio.shape[-1] % self.stride[1]))
        made = functional.conv2d(audio, self.weight, self.bias, stride=self.stride, padding=self.padding)
        return cast(Tensor, self.rewrite(self.residuals(functional.gelu(made))))


class Decoder(torch.nn.Module):
    """Upstream's HDecLayer, of either branch; the last gives what `Last` gives."""

    def __init__(self, layer: Any, stems: int) -> None:
        super().__init__()
        self.rewrite = Gated(layer.rewrite)
        self.residuals = residuals(layer, transposed) if layer.last else residuals(layer)
        self.up = Last(layer, stems) if layer.last else Up(layer)

    def forward(self, audio: Tensor, skip: Tensor, frames: int) -> Tensor:
        return cast(Tensor, self.up(self.residuals(self.rewrite(audio + skip)), frames))


class Up(torch.nn.Module):
    """A transposed convolution, cut to `frames` as upstream cuts it."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.weight, self.bias = in_two(layer.conv_tr.weight), layer.conv_tr.bias
        self.stride = tuple(layer.conv_tr.stride) if layer.freq else (1, *layer.conv_tr.stride)
        self.padding = (layer.pad, 0) if layer.freq else (0, layer.pad)

    def forward(self, audio: Tensor, frames: int) -> Tensor:
        made = functional.conv_transpose2d(audio, self.weight, self.bias, stride=self.stride, padding=self.padding)
        return functional.gelu(made[..., :frames])


class Last(torch.nn.Module):
    """A transposed convolution, as one that makes all PHASES of a point, in channels of their own.

    [1, channels, bands, frames] → [bands, frames, stems, PHASES, channels of a stem]: as it lies in memory, so that whoever
    reads the array puts the phases side by side at no cost.
    """

    def __init__(self, layer: Any, stems: int) -> None:
        super().__init__()
        along = layer.conv_tr.weight[..., 0] if layer.freq else layer.conv_tr.weight
        inputs, outputs, taps = along.shape
        self.shape = stems, PHASES, outputs // stems
        weight = torch.zeros(stems, PHASES, outputs // stems, inputs, REACH)
        for phase in range(PHASES):
            for point in range(REACH):
                tap = PHASES * (REACH // 2 - point) + phase + layer.pad
                if 0 <= tap < taps:
                    weight[:, phase, :, :, point] = along[..., tap].T.reshape(stems, -1, inputs)
        weight = weight.flatten(0, 2)
        self.weight = weight[..., None] if layer.freq else weight[:, :, None]
        self.bias = layer.conv_tr.bias.view(stems, 1, -1).expand(self.shape).flatten()
        self.padding = (REACH // 2, 0) if layer.freq else (0, REACH // 2)

    def forward(self, audio: Tensor, frames: int) -> Tensor:
        made = transposed(audio, self.weight, self.bias, padding=self.padding)
        return made.permute(0, 2, 3, 1).view(*made.shape[2:], *self.shape)


class NormOut(torch.nn.Module):
    """Upstream's MyGroupNorm of one group, of [1, frames, channels], without turning it."""

    def __init__(self, norm: Any) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, audio: Tensor) -> Tensor:
        return normalised(audio, 1, self.norm)
