"""Real plans of small songs, for what is reckoned from a plan."""

import contextlib
from pathlib import Path

import numpy as np
import soundfile

from unbraid.setup import set_up

HOME = Path(__file__).parents[2]


def plan_of(folder, lengths, *, rate=8000, channels=1, **config):
    """Configuration, plan and ids of songs of these seconds by name; of None seconds is one that is no audio."""
    (folder / "songs").mkdir(parents=True, exist_ok=True)
    for index, (name, seconds) in enumerate(lengths.items()):
        path = folder / "songs" / f"{name}.wav"
        if seconds is None:
            path.write_text("no audio")
        else:
            # Each has a content of its own.
            soundfile.write(path, np.full((round(seconds * rate), channels), index / 100), rate)
    with contextlib.chdir(folder):
        return set_up({"songs": "songs", "device": "cpu", **config}, HOME, look=True, warn=print)
