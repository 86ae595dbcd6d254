"""Stage segment: one song in one model format, whole, with its statistics and the cores of its segments."""

import dataclasses
import functools
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from unbraid.audio import wav
from unbraid.audio.resample import resample, resampled_frames
from unbraid.backends.session import Audio, Statistics
from unbraid.errors import UnbraidError
from unbraid.files import read_json, replacing, write_json
from unbraid.grid import cores


def segment(
    sources: list[tuple[int, Path]],
    mix_info: Path,
    mix: Path,
    info: Path,
    *,
    rate: int | None,
    channels: int | None,
    count: int,
) -> None:
    """Bring the input of a model into its format (resampled once, as a whole) and cut it on paper.

    sources: (coefficient, file) pairs at the song's rate and channels; the input is their sum.
    mix_info: what convert said of the song. rate, channels: the model's; None keeps the song's.
    Writes `mix` (float32) and `info`: the statistics of `mix`, the core [start, end) of each segment in frames of it, and
    what the song was before (`song`).
    """
    begun = time.monotonic()
    song = read_json(mix_info)
    rate, channels = rate or song["rate"], channels or song["channels"]
    frames = resampled_frames(song["frames"], song["rate"], rate)
    unchanged = len(sources) == 1 and sources[0][0] == 1 and (rate, channels) == (song["rate"], song["channels"])
    if unchanged:
        with replacing(mix) as partial:
            _link(sources[0][1], partial)
        statistics = measure(wav.blocks(mix), rate)
    else:
        arranged = (arrange(block, channels) for block in combine(sources, song["frames"]))
        with replacing(mix) as partial, wav.create(partial, rate, channels) as file:
            statistics = measure(_written(resample(arranged, song["rate"], rate, frames), file), rate)
    write_json(
        info,
        {
            **dataclasses.asdict(statistics),
            "cores": cores(frames, count),
            "song": {name: song[name] for name in ("frames", "rate", "channels")},
            "seconds": round(time.monotonic() - begun, 3),
        },
    )


def read_info(info: Path) -> tuple[Statistics, list[tuple[int, int]]]:
    """The statistics of the mix, and the core [start, end) of each segment."""
    values: dict[str, Any] = read_json(info)
    statistics = Statistics(**{field.name: values[field.name] for field in dataclasses.fields(Statistics)})
    return statistics, [(start, end) for start, end in values["cores"]]


def combine(sources: list[tuple[int, Path]], frames: int) -> Iterator[Audio]:
    """The sum of files times their coefficients, in blocks [frames, channels], float32, in the order given.

    Raises: UnbraidError for a file that has not `frames` frames: something has happened to it in the store.
    """
    for _, path in sources:
        if (found := soundfile.info(path).frames) != frames:
            raise UnbraidError(
                f"{path} is damaged: it has {found} frames, and the song has {frames}.",
                remedy=f"Delete the folder {path.parent} and run again.",
            )
    for blocks in zip(*(wav.blocks(path) for _, path in sources), strict=True):
        total = np.zeros_like(blocks[0])
        for (coefficient, _), block in zip(sources, blocks, strict=True):
            total += block if coefficient == 1 else np.float32(coefficient) * block
        yield total


def arrange(block: Audio, channels: int) -> Audio:
    """[frames, channels of the block] → [frames, channels]: mono is repeated, more channels become their mean."""
    if block.shape[1] == channels:
        return block
    mono = block.mean(axis=1, dtype=np.float32, keepdims=True)
    return np.repeat(mono, channels, axis=1)


def measure(blocks: Iterator[Audio], rate: int) -> Statistics:
    """Statistics in one pass: blockwise means and squared deviations, joined by Chan, Golub and LeVeque (1979)."""
    frames, mean, squares, peak, channels = 0, 0.0, 0.0, 0.0, 0
    for block in blocks:
        # Of one or two channels: the same numbers as numpy's mean, which takes ten times as long along so short an axis.
        mono = (functools.reduce(np.add, block.T) / np.float32(block.shape[1])).astype(np.float64)
        count, here = len(mono), float(mono.mean())
        delta, joined = here - mean, frames + count
        squares += float(((mono - here) ** 2).sum()) + delta * delta * frames * count / joined
        mean += delta * count / joined
        frames, peak, channels = joined, max(peak, float(np.abs(block).max())), block.shape[1]
    # One frame has no deviation: 0, where upstream's formula gives NaN.
    std = (squares / (frames - 1)) ** 0.5 if frames > 1 else 0.0
    return Statistics(frames, rate, channels, mean, std, peak)


def _written(blocks: Iterator[Audio], file: Any) -> Iterator[Audio]:
    for block in blocks:
        file.write(block)
        yield block


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or a file system without links
        shutil.copyfile(source, target)
