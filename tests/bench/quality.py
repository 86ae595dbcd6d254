"""How well htdemucs separates here: plain SDR of each stem in dB, in every precision and engine, and what that changes.

On stempeg's example song, and on the folders of true stems given with --songs (each with mixture.flac and its stems).
"""

import argparse
import os
import tempfile
from pathlib import Path

import av
import numpy as np
import soundfile

import environment
import tables
from half_precision import Rounded
from peers import HOME, MODELS, STEMS, ready
from unbraid import presets
from unbraid.errors import UnbraidError
from unbraid.setup import demo_path
from unbraid.stages.segment import segment
from unbraid.stages.separate import separate

EXACT = ("reference", "torch")  # upstream's own numerics, which the others are compared with
ROUNDED = ("balanced", "rounded")  # what bfloat16 on a GPU makes of the stems, found on the CPU
WAYS = [
    EXACT, ("reference", "auto"), ("reference", "openvino"), ("balanced", "auto"), ROUNDED,
    ("fast", "auto"),
]  # fmt: skip


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


def separated(mix: np.ndarray, rate: int, way: tuple[str, str], device: str) -> tuple[dict[str, np.ndarray], str]:
    """htdemucs' stems, [frames, channels], and the engine and arithmetic that made them. way: a preset and an engine."""
    from unbraid.files import read_json, write_json

    preset, engine = way
    model = ready()
    settings = presets.load([HOME / "config/presets.yaml"])[preset].model_dump()
    if engine not in ("auto", ROUNDED[1]):
        settings["engine"] = engine
    with tempfile.TemporaryDirectory() as scratch:
        at = Path(scratch)
        soundfile.write(at / "source.wav", mix, rate, subtype="FLOAT")
        write_json(at / "source.json", {"frames": len(mix), "rate": rate, "channels": mix.shape[1]})
        files = at / "mix.wav", at / "mix.json"
        segment([(1, at / "source.wav")], at / "source.json", *files, rate=44100, channels=2, count=1)
        threads = os.cpu_count() or 1
        separate(
            *files, at / "0.wav", at / "0.json",
            model=model, folder=MODELS / model.name, settings=settings, index=0, device=device, threads=threads,
            session=Rounded(model, MODELS / model.name, settings, "cpu", threads) if way == ROUNDED else None,
        )  # fmt: skip
        wide = soundfile.read(at / "0.wav", dtype="float32")[0]
        used = read_json(at / "0.json")
    stems = {stem: wide[:, 2 * index : 2 * index + 2] for index, stem in enumerate(model.stems)}
    return stems, f"{used['engine']}, {used['arithmetic']}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--songs", type=Path, nargs="*", default=[])
    parser.add_argument("--ways", nargs="+", default=["/".join(way) for way in WAYS], help="PRESET/ENGINE")
    parser.add_argument("--device", default="cpu")
    tables.add_option(parser)
    arguments = parser.parse_args()
    songs = {"demo": example(), **{path.name: folder(path) for path in arguments.songs}}
    ways = [(preset, engine) for preset, _, engine in (way.partition("/") for way in arguments.ways)]
    if arguments.device != "cpu":
        ways = [way for way in ways if way != ROUNDED]
    rows = []
    changes: dict[str, float] = {}
    for name, (mix, true, rate) in songs.items():
        exact, exactly = separated(mix, rate, EXACT, arguments.device)
        for way in ways:
            try:
                found, used = (exact, exactly) if way == EXACT else separated(mix, rate, way, arguments.device)
            except UnbraidError as error:  # an engine that is not installed, or not made for this device
                print(f"{'/'.join(way)}: {error}", flush=True)
                continue
            label = f"{way[0]} ({used})"
            if (name, label) in [(row[0], row[1]) for row in rows]:
                continue  # what `auto` was already
            for stem, reference in true.items():
                score, change = sdr(found[stem], reference), sdr(found[stem], reference) - sdr(exact[stem], reference)
                changes[label] = max(changes.get(label, 0.0), abs(change))
                rows.append([name, label, stem, f"{score:.2f}", f"{change:+.3f}", f"{sdr(mix, reference):.2f}"])
                print(*rows[-1], flush=True)
    head = ["song", "preset (engine, arithmetic)", "stem", "SDR, dB", "against exact, dB", "the mix's SDR, dB"]
    largest = "; ".join(f"{label} {change:.3f} dB" for label, change in changes.items())
    text = f"{tables.table(head, rows)}\n\nLargest change against exact: {largest}."
    name = "quality" if arguments.device == "cpu" else f"quality-{arguments.device}"
    tables.publish(name, f"{text}\n\n{environment.describe(arguments.device)}", arguments.write)


if __name__ == "__main__":
    main()
