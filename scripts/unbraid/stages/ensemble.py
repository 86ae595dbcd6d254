"""Stage ensemble: several versions of one stem made into one, in float32, at the song's own rate and channels."""

import datetime
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from unbraid.audio import wav
from unbraid.backends.session import Audio
from unbraid.files import read_json, replacing, sha256, write_json
from unbraid.stages.merge import versions
from unbraid.stages.segment import combine

SIZE = 4096  # frames of a Fourier transform; about 93 ms at 44.1 kHz
HOP = SIZE // 4
BEFORE = SIZE - HOP
GAIN = np.float32(1.5)  # what the squared Hann windows of four overlapping transforms add up to

Linear = list[tuple[int, Path]]  # (coefficient, file)


def ensemble(
    members: list[Linear],
    mix_info: Path,
    output: Path,
    manifest: Path,
    *,
    method: str,
    weights: list[float],
    key: str,
    content: dict[str, Any],
) -> None:
    """Make one stem of several and write the manifest last.

    members: each a sum of files. method: `average` (by `weights`), `median` (of each sample), `min` or `max` (of each
    bin of a short-time Fourier transform, the member of least or greatest magnitude there, with its phase).
    """
    begun = time.monotonic()
    song = read_json(mix_info)
    together = (
        np.stack(blocks) for blocks in zip(*(combine(linear, song["frames"]) for linear in members), strict=True)
    )
    with replacing(output) as partial, wav.create(partial, song["rate"], song["channels"]) as file:
        for block in join(together, method, weights, song["frames"]):
            file.write(block)
    write_json(
        manifest,
        {
            "key": key,
            "stage": "ensemble",
            "content": content,
            "frames": song["frames"],
            "rate": song["rate"],
            "channels": song["channels"],
            "files": {output.name: {"bytes": output.stat().st_size, "sha256": sha256(output)}},
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
            "seconds": {"ensemble": round(time.monotonic() - begun, 3)},
            "versions": versions(),
        },
    )


def join(blocks: Iterable[Audio], method: str, weights: list[float], frames: int) -> Iterator[Audio]:
    """Blocks [members, frames, channels], `frames` in all, → blocks [frames, channels], as many in all."""
    if method in ("min", "max"):
        chosen = _by_magnitude(_padded(blocks), np.argmin if method == "min" else np.argmax)
        yield from wav.window(chosen, BEFORE, frames)
        return
    share = np.array(weights) / sum(weights)
    for block in blocks:
        joined = np.median(block, axis=0) if method == "median" else np.tensordot(share, block, axes=1)
        yield joined.astype(np.float32)


def _padded(blocks: Iterable[Audio]) -> Iterator[Audio]:
    """Silence around the song, so that its every frame is in four transforms."""
    block = None
    for number, block in enumerate(blocks):
        yield block if number else np.pad(block, ((0, 0), (BEFORE, 0), (0, 0)))
    if block is not None:
        yield np.zeros((block.shape[0], SIZE, block.shape[2]), np.float32)


def _by_magnitude(blocks: Iterable[Audio], choose: Any) -> Iterator[Audio]:
    """Overlap-add of transforms whose every bin is that of the member that `choose` picks by magnitude."""
    window = np.hanning(SIZE + 1)[:-1].astype(np.float32)
    ahead: Audio | None = None  # what is not yet wholly transformed, of each member
    waiting: Audio | None = None  # what later transforms will still add to
    for block in blocks:
        ahead = block if ahead is None else np.concatenate([ahead, block], axis=1)
        count = (ahead.shape[1] - SIZE) // HOP + 1
        if count < 1:
            continue
        # [members, transforms, channels, SIZE]
        spectra = np.fft.rfft(sliding_window_view(ahead, SIZE, axis=1)[:, ::HOP] * window, axis=-1)
        chosen = np.take_along_axis(spectra, choose(np.abs(spectra), axis=0)[None], axis=0)[0]
        parts = np.fft.irfft(chosen, n=SIZE, axis=-1) * (window / GAIN)
        total = np.zeros(((count - 1) * HOP + SIZE, ahead.shape[2]), np.float32)
        if waiting is not None:
            total[: len(waiting)] = waiting
        for number, part in enumerate(parts):
            total[number * HOP : number * HOP + SIZE] += part.T
        yield total[: count * HOP]
        waiting, ahead = total[count * HOP :], ahead[:, count * HOP :]
