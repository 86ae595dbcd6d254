"""Spleeter's two-stem model in torch, chunk by chunk.

Upstream cuts a song into blocks of 512 frames and shows the networks each for itself. Here these blocks overlap, so that no
sample hangs on a block's edge alone; a song of one block gets upstream's frames. Two things differ from upstream otherwise:
the networks hear every song at one level (of upstream's, they separate a quiet one worse), and above 11 kHz the stems are not
silent (see `spleeter_network.Spleeter`).
"""

from pathlib import Path
from typing import Any

import numpy as np

from unbraid.backends import spleeter_weights
from unbraid.backends.session import Pass, Statistics, passes
from unbraid.backends.spleeter_network import HOP, SHOWN, SIZE, Spleeter
from unbraid.backends.torch_session import TorchSession
from unbraid.backends.weights import verify
from unbraid.catalogue import Model

MARGIN = SIZE  # samples of the song that are shown around a chunk; before the song, upstream puts as much silence
CHUNK = SHOWN - 2 * MARGIN  # samples, 11.8 s
LEVEL = 0.2  # standard deviation of the mono mix as the networks hear it: loud music, whose separation was best
CREST = 30  # peak over standard deviation, which music stays below


class SpleeterSession(TorchSession):
    """The networks of all stems as one, on chunks of one length."""

    joint = True

    def __init__(self, model: Model, folder: Path, settings: dict[str, Any], device: str, threads: int) -> None:
        super().__init__(settings, device, threads)
        paths = verify(folder, model)
        self.networks = [Spleeter([spleeter_weights.load(paths[stem]) for stem in model.stems]).eval()]
        self._stems, self._settings = len(model.stems), settings

    def begin(self, statistics: Statistics, prompt_file: Path | None = None) -> None:
        super().begin(statistics, prompt_file)
        # Strides are whole hops, so that chunks that overlap divide the song into the same frames of the STFT.
        self.passes = passes([(CHUNK, [1.0] * self._stems)], self._settings, statistics.rate, multiple=HOP)

    def level(self) -> tuple[np.float32, np.float32]:
        # The peak is for what has no deviation in mono: two channels that cancel, a single sample.
        heard = max(self.statistics.std, self.statistics.peak / CREST)
        return np.float32(0), np.float32(heard / LEVEL)

    def valid_length(self, one: Pass, length: int) -> int:
        return length + 2 * MARGIN
