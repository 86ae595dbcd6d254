"""Runs the stages from segment to merge in one process, as the rules do, for tests."""

from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from unbraid.audio import wav
from unbraid.backends.session import Session, Statistics, load
from unbraid.catalogue import Model
from unbraid.files import write_json
from unbraid.stages.segment import segment
from unbraid.stages.separate import separate

REFERENCE = {"shifts": 0, "overlap": 0.25, "precision": "exact"}


def write_mix(folder: Path, audio: np.ndarray, rate: int) -> tuple[Path, Path]:
    """What convert leaves behind for `audio`, [frames, channels]."""
    folder.mkdir(parents=True, exist_ok=True)
    mix, info = folder / "source.wav", folder / "source.json"
    with wav.create(mix, rate, audio.shape[1]) as file:
        file.write(audio)
    write_json(info, {"frames": len(audio), "rate": rate, "channels": audio.shape[1], "seconds": 0.0})
    return mix, info


def begun(
    model: Model,
    folder: Path,
    statistics: Statistics,
    settings: dict[str, Any],
    device: str = "cpu",
    threads: int = 1,
    prompt: Path | None = None,
) -> Session:
    """A loaded session that has begun a song."""
    session = load(model, folder, settings, device, threads)
    session.begin(statistics, prompt)
    return session


def separated(
    folder: Path,
    audio: np.ndarray,
    model: Model,
    weights: Path,
    *,
    segments: int = 1,
    settings: dict[str, Any] | None = None,
    threads: int = 2,
    rate: int = 44100,
    prompt: Path | None = None,
) -> np.ndarray:
    """Stems of `audio`, [stems, channels, frames], in the model's format, made in `segments` segments."""
    source, info = write_mix(folder, audio, rate)
    mix, statistics = folder / "mix.wav", folder / "mix.json"
    segment([(1, source)], info, mix, statistics, rate=model.rate, channels=model.channels, count=segments)
    parts = []
    for index in range(segments):
        part = folder / f"{index}.wav"
        separate(
            mix, statistics, part, folder / f"{index}.json",
            model=model, folder=weights, settings=settings or REFERENCE, index=index, device="cpu", threads=threads,
            prompt=prompt,
        )  # fmt: skip
        parts.append(soundfile.read(part, dtype="float32", always_2d=True)[0])
    joined = np.concatenate(parts)
    return joined.reshape(len(joined), len(model.stems), -1).transpose(1, 2, 0)
