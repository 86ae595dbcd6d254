"""What planning costs: a dry run and a no-op of known songs, against a trivial Snakefile of as many jobs.

Interleaved, medians of several runs each; the songs are known, as on every run but the first. Prints a table of ratios.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from unbraid.plan import MANIFEST
from unbraid.setup import set_up

HOME = Path(__file__).parents[2]
STAGES = ["convert", "segment", "separate", "merge", "deliver", "report"]
LAST = [("deliver", "copy.wav"), ("report", "qc.json"), ("report", "provenance.json")]


def trivial(folder: Path, songs: int) -> None:
    """A Snakefile whose songs go through as many jobs, each a rule with one input and as many outputs at the end."""
    rules = [f"songs = [f's{{i}}' for i in range({songs})]\n"]
    wanted = ", ".join(f"expand('results/{{song}}/{name}', song=songs)" for _, name in LAST)
    rules.append(f"rule all:\n    input: {wanted}\n")
    for before, stage in zip([None, *STAGES], STAGES, strict=False):
        needed = f"    input: 'work/{before}/{{song}}'\n" if before else ""
        outputs = [f"'results/{{song}}/{name}'" for last, name in LAST if last == stage]
        outputs.append(f"temp('work/{stage}/{{song}}')")
        rules.append(f"rule {stage}:\n{needed}    output: {', '.join(outputs)}\n    shell: 'touch {{output}}'\n")
    (folder / "Snakefile").write_text("\n".join(rules))


def own(folder: Path, songs: int) -> None:
    """As many songs of a few frames, each with a content of its own."""
    (folder / "songs").mkdir()
    for index in range(songs):
        soundfile.write(folder / "songs" / f"s{index}.wav", np.full(100, index / songs), 44100, subtype="PCM_24")


def finish(folder: Path, songs: int) -> None:
    """Put the finished files in place, as empty ones: planning only looks whether they are there."""
    for key in store_keys(folder):
        for name in ("copy.wav", MANIFEST):
            path = folder / "store" / "stems" / key / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    for index in range(songs):
        for _, name in LAST:
            path = folder / "results" / f"s{index}" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()


def store_keys(folder: Path) -> list[str]:
    if not (folder / "songs").exists():
        return []
    before = os.getcwd()
    os.chdir(folder)
    try:
        return list(set_up({"recipe": "identity"}, HOME, look=False, warn=print)[1].separations)
    finally:
        os.chdir(before)


def seconds(folder: Path, *options: str) -> float:
    begun = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "2", "--quiet", "all", *options],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    return time.monotonic() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--songs", type=int, nargs="+", default=[1, 1000])
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    ours = ["-s", str(HOME / "Snakefile"), "--config", "recipe=identity"]
    print("| songs | jobs | what | trivial, s | unbraid, s | ratio |\n|---|---|---|---|---|---|")
    for songs in arguments.songs:
        scratch = Path(tempfile.mkdtemp(prefix="unbraid-bench-"))
        peer, mine = scratch / "trivial", scratch / "unbraid"
        for folder, make in ((peer, trivial), (mine, own)):
            folder.mkdir()
            make(folder, songs)
        seconds(mine, *ours, "-n")  # the first run probes the songs
        for what, options in (("dry run", ["-n"]), ("no-op", [])):
            if what == "no-op":
                finish(peer, songs)
                finish(mine, songs)
            pairs = [(seconds(peer, *options), seconds(mine, *ours, *options)) for _ in range(arguments.runs)]
            theirs, taken = (statistics.median(side) for side in zip(*pairs, strict=True))
            jobs = songs * len(STAGES) + 1
            print(f"| {songs} | {jobs} | {what} | {theirs:.2f} | {taken:.2f} | {taken / theirs:.2f} |", flush=True)
        shutil.rmtree(scratch)


if __name__ == "__main__":
    main()
