"""Float32 and integer files through libsndfile, in blocks of [frames, channels]."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

Audio = NDArray[np.float32]

BLOCK = 1 << 16  # frames

# Commands of libsndfile's sf_command that python-soundfile has no method for.
_ADD_PEAK_CHUNK, _RF64_AUTO_DOWNGRADE = 0x1050, 0x1210


@contextmanager
def create(
    path: str | Path, rate: int, channels: int, subtype: str = "FLOAT", container: str = "RF64"
) -> Iterator[soundfile.SoundFile]:
    """A new file to write to.

    container: `RF64` ends as a plain WAV below 4 GiB and as RF64 above, so no header can overflow; or `FLAC`.
    """
    with soundfile.SoundFile(path, "w", rate, channels, subtype, format=container) as file:
        if container == "RF64":
            _command(file, _RF64_AUTO_DOWNGRADE, 1)
            _command(file, _ADD_PEAK_CHUNK, 0)  # it holds the time of day, and equal audio must be equal bytes
        yield file


def _command(file: soundfile.SoundFile, command: int, value: int) -> None:
    soundfile._snd.sf_command(file._file, command, soundfile._ffi.NULL, value)


def blocks(path: str | Path) -> Iterator[Audio]:
    """The whole file in blocks of at most BLOCK frames, [frames, channels], float32; always the same cuts."""
    with soundfile.SoundFile(path) as file:
        yield from file.blocks(BLOCK, dtype="float32", always_2d=True)
