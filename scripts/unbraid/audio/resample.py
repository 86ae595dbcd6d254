"""Resampling with soxr, streaming, in exact frame counts."""

from collections.abc import Iterable, Iterator

import numpy as np

from unbraid.audio.wav import Audio, reblocked


def resampled_frames(frames: int, source_rate: int, target_rate: int) -> int:
    """Frames at `target_rate` that cover `frames` at `source_rate`: the quotient, rounded up."""
    return -(-frames * target_rate // source_rate)


def resample(blocks: Iterable[Audio], source_rate: int, target_rate: int, frames: int) -> Iterator[Audio]:
    """Blocks [frames, channels] at `target_rate`, `frames` in total: cut, or filled with zeros at the end.

    Sample n of the result lies at the time of sample 0 plus n/target_rate: no lag. The result does not depend on how
    the input is cut into blocks. The input is read to its end, whatever `frames` says. Equal rates pass samples on
    unchanged. Raises: ValueError when there is no input to fill up.
    """
    left, channels = frames, 0
    converted = blocks if source_rate == target_rate else _convert(blocks, source_rate, target_rate)
    for block in converted:
        channels = block.shape[1]
        if left and len(block):
            yield block[:left]
            left -= min(left, len(block))
    if left and not channels:
        raise ValueError("There is no audio to resample.")
    if left:
        yield from reblocked([np.zeros((left, channels), dtype=np.float32)])


def _convert(blocks: Iterable[Audio], source_rate: int, target_rate: int) -> Iterator[Audio]:
    import soxr

    stream = None
    # Always cut alike, so that how the input came cannot matter.
    for block in reblocked(blocks):
        if stream is None:
            stream = soxr.ResampleStream(source_rate, target_rate, block.shape[1], dtype="float32", quality="VHQ")
            empty = block[:0]
        yield stream.resample_chunk(block)
    if stream is not None:
        yield stream.resample_chunk(empty, last=True)
