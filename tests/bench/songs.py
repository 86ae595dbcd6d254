"""Songs to measure with: the demo song, over and over, each song from another point of it."""

from pathlib import Path

import numpy as np
import soundfile

from unbraid.audio.decode import Decoder
from unbraid.setup import demo_path


def make(folder: Path, seconds: float, numbers: range) -> list[Path]:
    """Songs of that length, 16 bit, each of another content. At half level: then no tool has a stem to turn down."""
    folder.mkdir(parents=True, exist_ok=True)
    with Decoder(demo_path()) as decoder:
        once, rate = np.concatenate(list(decoder)) * np.float32(0.5), decoder.rate
    frames = round(seconds * rate)
    paths = [folder / f"song{number:03}.wav" for number in numbers]
    for number, path in zip(numbers, paths, strict=True):
        turned = np.roll(once, -number * rate // 7, axis=0)
        soundfile.write(path, np.resize(turned, (frames, turned.shape[1])), rate, subtype="PCM_16")
    return paths
