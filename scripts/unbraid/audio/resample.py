"""Resampling in blocks, with soxr at its highest quality and no delay."""

from collections.abc import Iterable, Iterator

import numpy as np
import soxr

from unbraid.audio.wav import BLOCK, Audio


def resampled_frames(frames: int, source_rate: int, target_rate: int) -> int:
    """How many frames `frames` frames become: enough to hold all of them."""
    return -(-frames * target_rate // source_rate)


def resample(blocks: Iterable[Audio], source_rate: int, target_rate: int, frames: int) -> Iterator[Audio]:
    """Bring blocks [frames, channels] to another rate; exactly `frames` frames come out in all.

    What is over is cut off, what is missing (a fraction of a frame's filter tail) is zeros. Equal rates pass through.
    """
    stream: soxr.ResampleStream | None = None
    left, channels = frames, 0

    def limited(block: Audio) -> Iterator[Audio]:
        nonlocal left
        block = block[:left]
        left -= len(block)
        if len(block):
            yield block

    for block in blocks if source_rate == target_rate else _equal(blocks):
        channels = block.shape[1]
        if source_rate != target_rate:
            stream = stream or soxr.ResampleStream(source_rate, target_rate, channels, dtype="float32", quality="VHQ")
            block = stream.resample_chunk(block)
        yield from limited(block)
    if stream is not None:
        yield from limited(stream.resample_chunk(np.zeros((0, channels), dtype=np.float32), last=True))
    while left and channels:
        yield from limited(np.zeros((min(left, BLOCK), channels), dtype=np.float32))


def _equal(blocks: Iterable[Audio]) -> Iterator[Audio]:
    """The same audio in blocks of BLOCK frames: soxr's rounding depends on how its input is cut."""
    kept: list[Audio] = []
    count = 0
    for block in blocks:
        kept.append(block)
        count += len(block)
        if count >= BLOCK:
            joined = np.concatenate(kept)
            whole = count - count % BLOCK
            for start in range(0, whole, BLOCK):
                yield joined[start : start + BLOCK]
            kept, count = [joined[whole:]], count - whole
    if count:
        yield np.concatenate(kept)
