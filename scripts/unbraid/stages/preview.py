"""Stage preview: the stems of one segment as files to listen to while the other segments are still being separated."""

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import soundfile

from unbraid.audio import wav
from unbraid.files import replacing
from unbraid.stages.deliver import quantise

BITS = 16


def preview(part: Path, outputs: list[Path]) -> None:
    """Write what separate made of one segment, a flac file of 16 bits per stem, at the model's rate and channels.

    part: the stems' channels side by side, float32. outputs: in the model's order of stems. Samples over full scale are
    clipped: this is for listening only, the song's stems come from merge and deliver.
    """
    made = soundfile.info(part)
    channels = made.channels // len(outputs)
    with ExitStack() as stack:
        files = [
            stack.enter_context(
                wav.create(stack.enter_context(replacing(output)), made.samplerate, channels, "PCM_16", "FLAC")
            )
            for output in outputs
        ]
        for block in wav.blocks(part):
            for file, stem in zip(files, np.split(block, len(outputs), axis=1), strict=True):
                file.write(quantise(stem, BITS)[0])
