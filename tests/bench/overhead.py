"""What planning costs: a dry run and a no-op of known songs, against a trivial Snakefile of as many jobs that makes as many
files, and against one whose jobs make a file each; a plan, against the dry run.

Interleaved, the least of several runs each, in seconds of CPU time, which other work on the machine disturbs less; the
songs are known, as on every run but the first. Prints a table of ratios.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soundfile

import environment
import tables
from unbraid.plan import Plan
from unbraid.setup import set_up
from unbraid.store import MANIFEST

HOME = Path(__file__).parents[2]
STAGES = ["convert", "segment", "separate", "merge", "deliver", "report", "page"]
REPORTED = [("report", "qc.json"), ("report", "provenance.json"), ("page", "index.html")]


def last(stems: Iterable[str]) -> list[tuple[str, str]]:
    """What a song ends in: stage and file."""
    return [*(("deliver", f"{stem}.wav") for stem in stems), *REPORTED]


def trivial(folder: Path, songs: int, ends: list[tuple[str, str]]) -> None:
    """A Snakefile whose songs go through as many jobs to as many files, each job with one input and one to pass on."""
    rules = [f"songs = [f's{{i}}' for i in range({songs})]\n"]
    wanted = ", ".join(f"expand('results/{{song}}/{name}', song=songs)" for _, name in ends)
    rules.append(f"rule all:\n    input: {wanted}\n")
    for before, stage in zip([None, *STAGES], STAGES, strict=False):
        needed = f"    input: 'work/{before}/{{song}}'\n" if before else ""
        outputs = [f"'results/{{song}}/{name}'" for ending, name in ends if ending == stage]
        outputs.append(f"temp('work/{stage}/{{song}}')")
        rules.append(f"rule {stage}:\n{needed}    output: {', '.join(outputs)}\n    shell: 'touch {{output}}'\n")
    (folder / "Snakefile").write_text("\n".join(rules))


def own(folder: Path, songs: int) -> None:
    """As many songs of a few frames, each with a content of its own."""
    (folder / "songs").mkdir()
    for index in range(songs):
        soundfile.write(folder / "songs" / f"s{index}.wav", np.full(100, index / songs), 44100, subtype="PCM_24")


def finish(folder: Path, made: dict[str, list[str]]) -> None:
    """Put the finished files in place: planning looks whether they are there, and that a manifest can be read. made: by folder."""
    for place, names in made.items():
        (folder / place).mkdir(parents=True, exist_ok=True)
        for name in names:
            (folder / place / name).write_text('{"stage": "merge"}' if name == MANIFEST else "")


def finished(plan: Plan) -> dict[str, list[str]]:
    stored = {
        f"store/stems/{key}": [MANIFEST, *(f"{stem}.wav" for stem in made.model.stems)]
        for key, made in plan.separations.items()
    }
    return stored | {f"results/{song}": [name for _, name in last(made.stems)] for song, made in plan.songs.items()}


def planned(folder: Path, recipe: str) -> Plan:
    before = os.getcwd()
    os.chdir(folder)
    try:
        return set_up({"recipe": recipe}, HOME, look=False, warn=print)[1]
    finally:
        os.chdir(before)


def taken(folder: Path, *options: str) -> tuple[float, float, int]:
    """CPU time in seconds and peak memory in MB of a run, and how many jobs it counted."""
    command = [sys.executable, "-m", "snakemake", "--quiet", "all", "--cores", "2", *options]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, cwd=folder, stdout=said, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        text = said.read().decode(errors="replace")
        if process.returncode:
            raise RuntimeError(text)
    counted = re.search(r"^total +(\d+)$", text, re.MULTILINE)
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, int(counted[1]) if counted else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--songs", type=int, nargs="+", default=[1000, 10000])
    parser.add_argument("--recipes", nargs="+", default=["stems"])
    parser.add_argument("--runs", type=int, default=1)
    tables.add_option(parser)
    arguments = parser.parse_args()
    rows = []
    for songs, recipe in [(songs, recipe) for songs in arguments.songs for recipe in arguments.recipes]:
        ours = ["-s", str(HOME / "Snakefile"), "--config", f"recipe={recipe}"]
        scratch = Path(tempfile.mkdtemp(prefix="unbraid-bench-"))
        peer, bare, mine = (scratch / name for name in ("trivial", "bare", "unbraid"))
        for place in (peer, bare, mine):
            place.mkdir()
        own(mine, songs)
        ends = last(next(iter(planned(mine, recipe).songs.values())).stems)
        trivial(peer, songs, ends)
        trivial(bare, songs, ends[-1:])
        *_, jobs = taken(mine, *ours, "-n")  # the first run probes the songs
        fetching = jobs - songs * len(STAGES) - 1  # a model, in one job for all songs
        assert fetching in (0, 1), f"{jobs} jobs: the trivial ones are others"
        sides = {
            "plan, against the dry run": ((mine, [*ours, "-n"]), (mine, ["plan", *ours])),
            "dry run": ((peer, ["-n"]), (mine, [*ours, "-n"])),
            "dry run, against a file for each job": ((bare, ["-n"]), (mine, [*ours, "-n"])),
            "no-op": ((peer, []), (mine, ours)),
        }
        for what, both in sides.items():
            if what == "no-op":
                finish(peer, {f"results/s{index}": [name for _, name in ends] for index in range(songs)})
                finish(mine, finished(planned(mine, recipe)))
            runs = [[taken(folder, *options) for folder, options in both] for _ in range(arguments.runs)]
            (other, *_), (own_time, memory, _) = (min(side) for side in zip(*runs, strict=True))
            rows.append(
                [
                    songs,
                    recipe,
                    jobs - fetching,
                    what,
                    f"{other:.2f}",
                    f"{own_time:.2f}",
                    f"{own_time / other:.2f}",
                    f"{memory:.0f}",
                ]
            )
            print(*rows[-1], flush=True)
        shutil.rmtree(scratch)
    text = tables.table(["songs", "recipe", "jobs", "what", "other, s", "unbraid, s", "ratio", "unbraid, MB"], rows)
    tables.publish("planning", f"{text}\n\n{environment.describe()}", arguments.write)


if __name__ == "__main__":
    main()
