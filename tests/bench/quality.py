"""How well htdemucs separates here: plain SDR of each stem in dB, against the unprocessed mix, per preset.

On stempeg's example song, and on the folders of true stems given with --songs (each with mixture.flac and its stems).
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import av
import numpy as np
import soundfile

from unbraid import catalogue, presets
from unbraid.fetch import fetch
from unbraid.setup import demo_path
from unbraid.stages.segment import segment
from unbraid.stages.separate import separate

HOME = Path(__file__).parents[2]
STEMS = ["drums", "bass", "other", "vocals"]


def example() -> tuple[np.ndarray, dict[str, np.ndarray], int]:
    """Mix and true stems of stempeg's example, [frames, channels]; its streams are mix, drums, bass, other, vocals."""
    streams = []
    for index in range(5):
        with av.open(demo_path()) as container:
            frames = [frame.to_ndarray() for frame in container.decode(container.streams.audio[index])]
            streams.append(np.concatenate(frames, axis=1).T)
            rate = container.streams.audio[index].rate
    shortest = min(map(len, streams))
    mix, *true = (stream[:shortest] for stream in streams)
    return mix, dict(zip(STEMS, true, strict=True)), rate


def folder(path: Path) -> tuple[np.ndarray, dict[str, np.ndarray], int]:
    mix, rate = soundfile.read(path / "mixture.flac", dtype="float32", always_2d=True)
    true = {stem: path / f"{stem}.flac" for stem in STEMS}
    return mix, {stem: soundfile.read(file, always_2d=True)[0] for stem, file in true.items() if file.exists()}, rate


def sdr(estimate: np.ndarray, true: np.ndarray) -> float:
    """Plain signal-to-distortion ratio over the whole clip: 10 log10(Σ true² / Σ (true − estimate)²)."""
    true = true.astype(np.float64)
    return float(10 * np.log10((true**2).sum() / ((true - estimate) ** 2).sum()))


def separated(mix: np.ndarray, rate: int, preset: str) -> dict[str, np.ndarray]:
    """htdemucs' stems, [frames, channels]."""
    from unbraid.files import write_json

    model = catalogue.load([HOME / "config/models.yaml"])["htdemucs"]
    weights = Path(os.environ.get("UNBRAID_MODELS", HOME / "models")) / model.name
    fetch(model, weights, log=print)
    settings = presets.load([HOME / "config/presets.yaml"])[preset].model_dump()
    with tempfile.TemporaryDirectory() as scratch:
        at = Path(scratch)
        soundfile.write(at / "source.wav", mix, rate, subtype="FLOAT")
        write_json(at / "source.json", {"frames": len(mix), "rate": rate, "channels": mix.shape[1]})
        files = at / "mix.wav", at / "segments.tsv", at / "segments.json"
        segment([(1, at / "source.wav")], at / "source.json", *files, rate=44100, channels=2, count=1)
        separate(
            *files, at / "0.wav", at / "0.json",
            model=model, folder=weights, settings=settings, index=0, device="cpu", threads=os.cpu_count() or 1,
        )  # fmt: skip
        wide = soundfile.read(at / "0.wav", dtype="float32")[0]
    return {stem: wide[:, 2 * index : 2 * index + 2] for index, stem in enumerate(model.stems)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--songs", type=Path, nargs="*", default=[])
    parser.add_argument("--presets", nargs="+", default=["fast", "balanced"])
    arguments = parser.parse_args()
    songs = {"demo": example(), **{path.name: folder(path) for path in arguments.songs}}
    print("| song | preset | real-time factor | stem | SDR, dB | the mix's SDR, dB |\n|---|---|---|---|---|---|")
    for name, (mix, true, rate) in songs.items():
        for preset in arguments.presets:
            begun = time.monotonic()
            found = separated(mix, rate, preset)
            speed = len(mix) / rate / (time.monotonic() - begun)
            for stem, reference in true.items():
                row = f"{stem} | {sdr(found[stem], reference):.2f} | {sdr(mix, reference):.2f}"
                print(f"| {name} | {preset} | {speed:.2f} | {row} |", flush=True)


if __name__ == "__main__":
    main()
