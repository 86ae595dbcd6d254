"""How long unbraid takes against its peers, as cold processes, in turn, medians of several rounds.

`song`: one song. `batch`: many short songs, and `songs`: many of three minutes; each peer gets all of them in one command, its
best case.
`added`: one song more than there was before, and then nothing more; the peers do what their command lines do.
In the same run: the stems are compared with those of the demucs CLI (an error above -30 dB), chunks are counted on both
sides, and a chunk is timed alone, so that wall / (chunks x chunk) says what everything but the network costs.
"""

import argparse
import os
import shutil
import statistics
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import soundfile

import chunks
import environment
import songs
import tables
from peers import PEERS, STEMS, Ended, Tool, apart, others, settings_of, unbraid

PARITY = -30  # dB
PROMISED = 1.35  # times chunks x chunk


def difference(ours: Path, theirs: Path) -> float:
    """The energy of the difference against that of `theirs`, in dB."""
    a, b = (soundfile.read(path, dtype="float64")[0] for path in (ours, theirs))
    return float(10 * np.log10(((a - b) ** 2).sum() / max((b**2).sum(), 1e-12) + 1e-12))


def parity(ours: tuple[Tool, Path], theirs: tuple[Tool, Path], made: list[Path]) -> list[float]:
    """Per stem, the worst song's difference in dB."""
    (tool, at), (peer, there) = ours, theirs
    return [
        max(difference(tool.stem(at, song.stem, stem), peer.stem(there, song.stem, stem)) for song in made)
        for stem in STEMS
    ]


def spread(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.1f} | {min(seconds):.1f}–{max(seconds):.1f}"


def fresh(arguments: argparse.Namespace, scratch: Path, count: int, seconds: float) -> str:
    """Tables `song`, `batch` and `songs`: every tool from nothing."""
    made = songs.make(scratch / "songs", seconds, range(count))
    ours = unbraid(arguments.device, arguments.cores, arguments.config)
    tools = [ours, *chosen(arguments, scratch)]
    runs: dict[str, list[Ended]] = defaultdict(list)
    alone = []
    for number in range(arguments.rounds):
        settings = settings_of(scratch / "songs", arguments.device, arguments.config)
        total, chunk = apart(chunks.measure, settings, made)
        alone.append(chunk)
        first = number % len(tools)  # no tool always follows the same other
        for tool in tools[first:] + tools[:first]:
            place = scratch / str(number) / tool.name
            runs[tool.name].append(tool.good(made, place))
            print(f"round {number + 1}: {tool.name} {runs[tool.name][-1].seconds:.1f} s", flush=True)
        if number:
            shutil.rmtree(scratch / str(number))
    wall = statistics.median(ended.seconds for ended in runs[ours.name])
    rows = []
    for tool in tools:
        taken = [ended.seconds for ended in runs[tool.name]]
        counted = tool.chunks(runs[tool.name][0].text)
        evaluated = total if counted is None else counted
        apart_by = "–"
        if tool is not ours:
            found = parity((ours, scratch / "0" / ours.name), (tool, scratch / "0" / tool.name), made)
            apart_by = ", ".join(f"{value:.1f}" for value in found)
            if tool.name.startswith("demucs"):
                assert max(found) <= PARITY, f"unbraid is {apart_by} dB from the demucs CLI"
                assert evaluated == total or arguments.config, f"{total} chunks, and {evaluated} of the demucs CLI"
        ratio = statistics.median(taken) / wall
        speed = count * seconds / statistics.median(taken)
        rows.append([tool.name, evaluated, spread(taken), f"{speed:.2f}", f"{ratio:.2f}", apart_by])
    head = ["tool", "chunks", "wall, s (median)", "range", "× real time", "wall ÷ unbraid's", "difference, dB"]
    chunk = statistics.median(alone)
    return "\n\n".join(
        [
            f"{count} song(s) of {seconds:g} s, {arguments.rounds} round(s). Difference: unbraid's stems from the peer's"
            f" ({', '.join(STEMS)}), the worst song's.",
            tables.table(head, rows),
            f"A chunk alone: {chunk:.2f} s. unbraid's wall ÷ (chunks × chunk) = {wall / total / chunk:.2f}"
            f" (promised: at most {PROMISED}).",
        ]
    )


def added(arguments: argparse.Namespace, scratch: Path, count: int, seconds: float) -> str:
    """Table `added`: a working directory with finished songs, one song more each round."""
    folder, place = scratch / "songs", scratch / "unbraid"
    made = songs.make(folder, seconds, range(count))
    ours = unbraid(arguments.device, arguments.cores, arguments.config)
    peers = chosen(arguments, scratch)
    ours.good(made, place)
    taken: dict[tuple[str, str], list[float]] = defaultdict(list)
    for number in range(arguments.rounds):
        (new,) = songs.make(folder, seconds, range(count + number, count + number + 1))
        runs = [(ours, "one song added", place, [*made, new]), (ours, "nothing added", place, [*made, new])]
        for peer in peers:
            there = scratch / str(number) / peer.name
            runs += [(peer, "one song added: all again", there, [*made, new])]
            runs += [(peer, "one song added: that one, named by hand", there, [new])]
        for tool, what, at, given in runs:
            taken[tool.name, what].append(tool.good(given, at).seconds)
            print(f"round {number + 1}: {tool.name}, {what}: {taken[tool.name, what][-1]:.1f} s", flush=True)
        shutil.rmtree(scratch / str(number), ignore_errors=True)
    wall = statistics.median(taken[ours.name, "one song added"])
    rows = [[*names, spread(all_), f"{statistics.median(all_) / wall:.2f}"] for names, all_ in taken.items()]
    head = ["tool", "what", "wall, s (median)", "range", "wall ÷ unbraid's with one added"]
    first = f"{count} finished song(s) of {seconds:g} s and one more, {arguments.rounds} round(s)."
    return f"{first}\n\n{tables.table(head, rows)}"


def chosen(arguments: argparse.Namespace, scratch: Path) -> list[Tool]:
    known = others(arguments.device, scratch / "checkpoints")
    return [known[name] for name in arguments.peers]


SHAPES = {
    "song": (fresh, 1, 120.0),
    "batch": (fresh, 20, 10.0),
    "songs": (fresh, 20, 180.0),
    "added": (added, 20, 10.0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=SHAPES)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, help="of songs")
    parser.add_argument("--seconds", type=float, help="of each song")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda")
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1, help="that Snakemake may use")
    parser.add_argument("--peers", nargs="*", default=["demucs", "audio-separator", "audio-separator-0"])
    parser.add_argument("--config", nargs="*", default=[], metavar="KEY=VALUE", help="of unbraid, beyond its defaults")
    tables.add_option(parser)
    arguments = parser.parse_args()
    arguments.config = dict(pair.split("=", 1) for pair in arguments.config)
    measure, count, seconds = SHAPES[arguments.what]
    with tempfile.TemporaryDirectory(prefix="unbraid-speed-") as scratch:
        text = measure(arguments, Path(scratch), arguments.count or count, arguments.seconds or seconds)
    on = environment.describe(arguments.device, PEERS)
    name = arguments.what if arguments.device == "cpu" else f"{arguments.what}-{arguments.device}"
    tables.publish(name, f"{text}\n\n{on}", arguments.write)


if __name__ == "__main__":
    main()
