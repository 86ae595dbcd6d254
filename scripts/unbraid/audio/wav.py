"""Wav files between the stages: float32, exact, of any length, the same bytes every time."""

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

Audio = NDArray[np.float32]  # [frames, channels]

BLOCK = 65536  # frames

_RF64_AUTO_DOWNGRADE = 0x1210  # a command of libsndfile (sndfile.h) that soundfile has no name for


@contextmanager
def create(
    path: str | Path, rate: int, channels: int, subtype: str = "FLOAT", format: str = "RF64", **options: Any
) -> Iterator[soundfile.SoundFile]:
    """A file to write blocks [frames, channels] to, whatever the name's extension says.

    With format "RF64" the file is a plain RIFF wav while it stays below 4 GiB, and RF64 (EBU Tech 3306) beyond that.
    options: of soundfile.SoundFile.
    Raises: OSError when the disk is full or fails (libsndfile itself only says "system error").
    """
    open(path, "wb").close()  # says why it cannot be written, which libsndfile does not
    with soundfile.SoundFile(path, "w", rate, channels, subtype, format=format, **options) as file:
        if format == "RF64":
            # No PEAK chunk, which holds the time of day, so that equal audio is equal bytes: libsndfile 1.2.2 leaves it
            # out of RF64 by itself, and puts it in when its command SFC_SET_ADD_PEAK_CHUNK is used, even to say no.
            soundfile._snd.sf_command(file._file, _RF64_AUTO_DOWNGRADE, soundfile._ffi.NULL, 1)
        try:
            yield file
        except soundfile.LibsndfileError as error:
            raise _system_error(file, path, error) from error


def blocks(path: str | Path) -> Iterator[Audio]:
    """Blocks [≤ BLOCK, channels] of the whole file; always the same cuts."""
    with soundfile.SoundFile(path) as file:
        left = file.frames
        while left > 0:
            block = file.read(min(BLOCK, left), dtype="float32", always_2d=True)
            if not len(block):
                raise OSError(errno.EIO, "The file ends before its header says", str(path))
            left -= len(block)
            yield block


def reblocked(blocks: Iterable[Audio], size: int = BLOCK) -> Iterator[Audio]:
    """The same samples in blocks of exactly `size` frames, the last one shorter."""
    held: list[Audio] = []
    count = 0
    for block in blocks:
        at = 0
        while count + len(block) - at >= size:
            cut = at + size - count
            yield np.concatenate([*held, block[at:cut]])
            held, count, at = [], 0, cut
        if at < len(block):
            held.append(block[at:])
            count += len(block) - at
    if held:
        yield np.concatenate(held)


def window(blocks: Iterable[Audio], skip: int, frames: int) -> Iterator[Audio]:
    """Without the first `skip` frames, `frames` frames of what follows. Reads to the end of `blocks`."""
    for block in blocks:
        part = block[skip : skip + frames]
        skip, frames = max(0, skip - len(block)), frames - len(part)
        if len(part):
            yield part


def _system_error(file: soundfile.SoundFile, path: str | Path, error: Exception) -> Exception:
    """What the system said when writing to `file` failed; `error` itself when it came from elsewhere."""
    if not soundfile._snd.sf_error(file._file):
        return error
    said = soundfile._ffi.string(soundfile._snd.sf_strerror(file._file)).decode(errors="replace")
    codes = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return next((OSError(code, os.strerror(code), str(path)) for code in codes if os.strerror(code) in said), error)
