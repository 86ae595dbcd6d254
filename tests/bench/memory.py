"""Peak memory of each stage, each in a process of its own (Linux), against the length of the song.

`stages`: every stage on a long song through the identity model, at 48 kHz and, resampled, at 44.1 kHz.
`network`: the separate stage with the real HTDemucs weights at several lengths.
`peers`: a whole run of unbraid and of its peers on a song of noise, by length, each as far as it gets.
"""

import argparse
import dataclasses
import multiprocessing
import os
import re
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import environment
import tables
from peers import HOME, MARK, MODELS, PEERS, Ended, Tool, apart, others, ready, unbraid

RATE = 48000
HIGHEST = re.compile(r"VmHWM:\s+(\d+) kB")
SETTINGS = {"shifts": 0, "overlap": 0.25, "precision": "exact"}


def peak(function: Callable[..., None], *arguments: Any) -> float:
    """Peak RSS in MB of a new process that calls `function`."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(sender, function, arguments))
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError(f"{function.__name__} failed")
    return float(receiver.recv()) / 1024


def _child(sender: Any, function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    function(*arguments)
    # Not getrusage: what that says survives exec, so that a large parent would count for its child.
    (peak,) = HIGHEST.findall(Path("/proc/self/status").read_text())
    sender.send(int(peak))


def write_song(path: Path, seconds: float, rate: int = RATE) -> None:
    """Stereo noise as a 16-bit wav (RF64 where it has to be), written in blocks."""
    from unbraid.audio import wav

    random = np.random.default_rng(0)
    left = round(seconds * rate)
    with wav.create(path, rate, 2, "PCM_16") as file:
        while left:
            block = random.integers(-8000, 8000, (min(left, rate * 10), 2), dtype=np.int16)
            file.write(block)
            left -= len(block)


def identity(rate: int | None) -> Any:
    """The identity model, at the song's own rate or made to resample."""
    from unbraid import catalogue

    model = catalogue.load([HOME / "config/models.yaml"])["identity"]
    return dataclasses.replace(model, rate=rate)


def convert(folder: Path) -> None:
    from unbraid.files import sha256
    from unbraid.stages.convert import convert as stage

    song = folder / "song.wav"
    mix, info = folder / "mix.wav", folder / "mix.json"
    stage(song, mix, info, digest=sha256(song), start=None, end=None, truncated="error")


def segment(folder: Path, rate: int | None) -> None:
    from unbraid.stages.segment import segment as stage

    outputs = folder / "input.wav", folder / "input.json"
    stage([(1, folder / "mix.wav")], folder / "mix.json", *outputs, rate=rate, channels=None, count=1)


def separate(folder: Path, model: Any, weights: Path, threads: int) -> None:
    from unbraid.stages.separate import separate as stage

    stage(
        folder / "input.wav", folder / "input.json", folder / "0.wav", folder / "0.json",
        model=model, folder=weights, settings=SETTINGS, index=0, device="cpu", threads=threads,
    )  # fmt: skip


def merge(folder: Path, model: Any) -> None:
    from unbraid.stages.merge import merge as stage

    stems = [folder / f"{stem}.wav" for stem in model.stems]
    inputs = [folder / "0.wav"], [folder / "0.json"], folder / "input.json"
    content = {"input": {"sources": [[1, "mix", "mix"]]}}
    told = {"model": model.name, "licence": model.licence, "key": "key", "content": content, "settings": {}}
    stage(*inputs, stems, folder / "manifest.json", **told)


def deliver(folder: Path) -> None:
    from unbraid.stages.deliver import deliver as stage

    stems = {"copy": [(1, folder / "copy.wav")], "rest": [(1, folder / "mix.wav"), (-1, folder / "copy.wav")]}
    outputs = {stem: folder / "out" / f"{stem}.wav" for stem in stems}
    stage(
        stems,
        folder / "mix.json",
        outputs,
        folder / "delivery.json",
        bit_depth="auto",
        bitrate=None,
        clip="scale",
        source=folder / "song.wav",
    )


def report(folder: Path) -> None:
    from unbraid.files import write_json
    from unbraid.stages.report import report as stage

    stems = {stem: folder / "out" / f"{stem}.wav" for stem in ("copy", "rest")}
    write_json(folder / "true.json", {"notices": []})
    copy, mix = ["key", "copy"], ["mix", "mix"]
    facts = {
        "delivery": {}, "id": "song", "path": "song.wav", "recipe": "r", "preset": "p", "mix": "mix", "content": {}, "sha256": "",
        "start": None, "end": None, "haves": {}, "references": {}, "expressions": {"copy": [[1, *copy]], "rest": [[1, *mix], [-1, *copy]]},
    }  # fmt: skip
    stage(
        stems, folder / "mix.wav", folder / "delivery.json", {"same": folder / "manifest.json"}, {},
        {"copy": (folder / "mix.wav", folder / "true.json")}, folder / "qc.json", folder / "provenance.json", song=facts,
    )  # fmt: skip


def page(folder: Path) -> None:
    from unbraid.stages.page import page as stage

    stems = {stem: folder / "out" / f"{stem}.wav" for stem in ("copy", "rest")}
    stage(stems, folder / "mix.wav", folder / "qc.json", folder / "provenance.json", folder / "index.html", limits=None)


def stages(seconds: float, rate: int | None, scratch: Path) -> dict[str, float]:
    """Peak RSS in MB per stage for a song of that length; rate: the model's, None for the song's own."""
    folder = Path(tempfile.mkdtemp(prefix="unbraid-memory-", dir=scratch))
    try:
        write_song(folder / "song.wav", seconds)
        model = identity(rate)
        return {
            "convert": peak(convert, folder),
            "segment": peak(segment, folder, rate),
            "separate": peak(separate, folder, model, folder, 1),
            "merge": peak(merge, folder, model),
            "deliver": peak(deliver, folder),
            "report": peak(report, folder),
            "page": peak(page, folder),
        }
    finally:
        shutil.rmtree(folder)


def network(seconds: float, scratch: Path) -> float:
    """Peak RSS in MB of separate with the real htdemucs."""
    model = apart(ready)
    folder = Path(tempfile.mkdtemp(prefix="unbraid-memory-", dir=scratch))
    try:
        write_song(folder / "song.wav", seconds, 44100)
        convert(folder)
        segment(folder, 44100)
        return peak(separate, folder, model, MODELS / model.name, 2)
    finally:
        shutil.rmtree(folder)


def largest(tool: Tool, song: Path, folder: Path, limit: float) -> tuple[Ended, float]:
    """A run, and the peak RSS in MB of its largest process, those included that it leaves running beside it."""
    peaks = [0.0]
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.5):
            peaks.append(max((_peak_of(path, f"{MARK}={folder}") for path in Path("/proc").glob("[0-9]*")), default=0))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        ended = tool.run([song], folder, limit)
    finally:
        over.set()
        watcher.join()
    return ended, max(ended.peak, *peaks)


def _peak_of(process: Path, mark: str) -> float:
    try:
        if mark.encode() not in (process / "environ").read_bytes().split(b"\0"):
            return 0.0
        return max((int(found) / 1024 for found in HIGHEST.findall((process / "status").read_text())), default=0.0)
    except OSError:  # it has just ended
        return 0.0


def against_peers(arguments: argparse.Namespace) -> str:
    """The largest process of each, in MB; one that takes too long or ends badly is told apart."""
    scratch = Path(tempfile.mkdtemp(prefix="unbraid-memory-", dir=arguments.scratch))
    try:
        known = others(arguments.device, scratch / "checkpoints")
        ours = unbraid(arguments.device, os.cpu_count() or 1, {})
        tools = [ours, *(known[name] for name in arguments.peers)]
        rows = []
        for minutes in [*arguments.minutes, *arguments.alone]:
            song = scratch / f"{minutes:g}" / "song.wav"
            song.parent.mkdir()
            write_song(song, minutes * 60, 44100)
            row = []
            for tool in tools:
                if tool is not ours and minutes in arguments.alone:
                    row.append("not run")
                    continue
                ended, highest = largest(tool, song, scratch / "run", arguments.limit * 60)
                shutil.rmtree(scratch / "run")
                taken = f"{highest:.0f} ({ended.seconds / 60:.1f} min)"
                row.append(taken if not ended.code else f"> {taken}, ended by {ended.code}")
                print(f"{minutes:g} min: {tool.name}: {row[-1]}", flush=True)
            song.unlink()
            rows.append([f"{minutes:g}", *row])
        return tables.table(["song, minutes", *(f"{tool.name}, MB" for tool in tools)], rows)
    finally:
        shutil.rmtree(scratch)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["stages", "network", "peers"])
    parser.add_argument("--minutes", type=float, nargs="+", help="of the song")
    parser.add_argument(
        "--alone", type=float, nargs="*", default=[], help="of `peers`: minutes of songs that only unbraid gets"
    )
    parser.add_argument("--seconds", type=float, nargs="+", default=[30, 60, 120, 300])
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--device", default="cpu", help="of `peers`: cpu, or cuda")
    parser.add_argument("--peers", nargs="*", default=["demucs", "audio-separator-0"])
    parser.add_argument("--limit", type=float, default=120, help="of `peers`: minutes after which a run is stopped")
    tables.add_option(parser)
    arguments = parser.parse_args()
    if arguments.what == "peers":
        arguments.minutes = arguments.minutes or [1, 10, 30, 60, 120]
        text = against_peers(arguments)
        tables.publish("memory-peers", f"{text}\n\n{environment.describe(arguments.device, PEERS)}", arguments.write)
        return
    if arguments.what == "network":
        rows = [[f"{seconds:g}", f"{network(seconds, arguments.scratch):.0f}"] for seconds in arguments.seconds]
        text = tables.table(["song, s", "MB"], rows)
    else:
        rows = []
        for minutes in sorted({1, *(arguments.minutes or [20])}):
            for rate in (None, 44100):
                found = stages(minutes * 60, rate, arguments.scratch)
                rows.append([f"{minutes:g}", rate or "the song’s", *(f"{value:.0f}" for value in found.values())])
        text = tables.table(["song, minutes", "model's rate", *found], rows)
    tables.publish(f"memory-{arguments.what}", f"{text}\n\n{environment.describe()}", arguments.write)


if __name__ == "__main__":
    sys.exit(main())
