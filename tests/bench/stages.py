"""Where the time of a run goes, per stage: a long song, and a batch of short ones; a table and a stacked picture.

From what Snakemake notes of each job (when it was started, when its last output was written), so that a stage's share
holds the start of its process too. While several jobs run, each gets an equal part of that time; what is left when none
runs is Snakemake's own. With `--write`, what the runs noted of the machine's speed becomes config/speeds.jsonl.
"""

import argparse
import json
import os
import tempfile
import time
from collections import defaultdict
from itertools import accumulate, pairwise
from pathlib import Path
from xml.etree import ElementTree as xml

import environment
import songs
import tables
from peers import HOME, apart, ready, unbraid

STAGES = {
    "Snakemake": "#bab0ac", "convert": "#4e79a7", "segment": "#76b7b2", "separate": "#e15759",
    "merge": "#f28e2b", "deliver": "#59a14f", "report": "#b07aa1", "page": "#edc948", "all else": "#9c755f",
}  # fmt: skip
Job = tuple[str, float, float]  # rule, begun, ended


def jobs(folder: Path) -> list[Job]:
    """What Snakemake notes of the jobs of a working directory; the outputs of one job have its log in common."""
    found: dict[str, list[Job]] = defaultdict(list)
    for path in (folder / ".snakemake/metadata").rglob("*"):
        if path.is_file():
            note = json.loads(path.read_text())
            found[str(note["log"])].append((note["rule"], note["starttime"], note["endtime"]))
    return [(all_[0][0], min(job[1] for job in all_), max(job[2] for job in all_)) for all_ in found.values()]


def shares(done: list[Job], begun: float, ended: float) -> dict[str, float]:
    """Seconds of each stage; they add up to the run's."""
    seconds = dict.fromkeys(STAGES, 0.0)
    moments = sorted({begun, ended, *(moment for _, start, stop in done for moment in (start, stop))})
    for left, right in pairwise(moment for moment in moments if begun <= moment <= ended):
        running = [rule for rule, start, stop in done if start <= left and right <= stop] or ["Snakemake"]
        for rule in running:
            # Rules of recipes have names like `merge_htdemucs`.
            stage = rule.partition("_")[0]
            seconds[stage if stage in STAGES else "all else"] += (right - left) / len(running)
    return seconds


SPEEDS = """\
# What `plan` estimates by until a machine has speeds of its own (store/speeds/): seconds of jobs, and units of work: million
# samples; for `separate`, rounds of chunks, each thread computing one; for `load` and `run`, 1.
# Made by `make bench-stages BENCH=--write`. {machine}
"""


def measured(
    name: str, arguments: argparse.Namespace, count: int, length: float, speeds: list[str]
) -> tuple[str, dict[str, float]]:
    """speeds: gets what the run noted of them."""
    with tempfile.TemporaryDirectory(prefix="unbraid-stages-") as scratch:
        made = songs.make(Path(scratch) / "songs", length, range(count))
        begun = time.time()
        unbraid(arguments.device, arguments.cores, {"pages": True}).good(made, Path(scratch) / "run")
        ended = time.time()
        for noted in (Path(scratch) / "run/store/speeds").glob("*.jsonl"):
            for line in map(json.loads, noted.read_text().splitlines()):
                speeds.append(json.dumps({name: value for name, value in line.items() if name != "time"}))
        return name, shares(jobs(Path(scratch) / "run"), begun, ended)


def picture(bars: dict[str, dict[str, float]]) -> str:
    """Stacked bars of one width, as SVG."""
    width, height, left, top = 640, 34, 130, 20
    across = left + width + 90
    down = top + len(bars) * (height + 16) + 40
    root = xml.Element(
        "svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {across} {down}", width=str(across), height=str(down)
    )
    xml.SubElement(root, "style").text = "text { font: 13px sans-serif }"
    xml.SubElement(root, "rect", width="100%", height="100%", fill="white")

    def text(x: float, y: float, words: str, anchor: str = "start") -> None:
        xml.SubElement(root, "text", {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor}).text = words

    def box(x: float, y: float, wide: float, high: float, stage: str, words: str) -> None:
        at = {"x": f"{x:.1f}", "y": f"{y:.1f}", "width": f"{wide:.1f}", "height": f"{high:.1f}"}
        xml.SubElement(xml.SubElement(root, "rect", at, fill=STAGES[stage]), "title").text = words

    for row, (name, seconds) in enumerate(bars.items()):
        y, total = top + row * (height + 16), sum(seconds.values())
        text(left - 10, y + height / 2 + 5, name, "end")
        text(left + width + 10, y + height / 2 + 5, f"{total:.1f} s")
        ends = accumulate(seconds.values(), initial=0.0)
        for (stage, taken), before in zip(seconds.items(), ends, strict=False):
            wide = width * taken / total
            x = left + width * before / total
            box(x, y, wide, height, stage, f"{stage}: {taken:.1f} s")
            if wide > 36:
                text(x + wide / 2, y + height / 2 + 5, f"{taken / total:.0%}", "middle")
    for column, stage in enumerate(STAGES):
        x = left + column * 88
        box(x, down - 30, 12, 12, stage, stage)
        text(x + 17, down - 19, stage)
    xml.indent(root)
    return xml.tostring(root, encoding="unicode") + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120, help="of the long song")
    parser.add_argument("--count", type=int, default=20, help="of short songs")
    parser.add_argument("--short", type=float, default=10, help="seconds of each short song")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1)
    tables.add_option(parser)
    arguments = parser.parse_args()
    apart(ready)
    speeds: list[str] = []
    bars = dict(
        [
            measured(f"1 × {arguments.seconds:g} s", arguments, 1, arguments.seconds, speeds),
            measured(f"{arguments.count} × {arguments.short:g} s", arguments, arguments.count, arguments.short, speeds),
        ]
    )
    machine = environment.describe(arguments.device)
    if arguments.write:
        lines = [SPEEDS.format(machine=machine).strip(), *speeds]
        (HOME / "config/speeds.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (tables.DOCS / "cost_per_stage.svg").write_text(picture(bars), encoding="utf-8")
    rows = [
        [name, f"{sum(all_.values()):.1f}", *(f"{taken:.1f}" for taken in all_.values())] for name, all_ in bars.items()
    ]
    text = tables.table(["songs", "wall, s", *(f"{stage}, s" for stage in STAGES)], rows)
    tables.publish("stages", f"{text}\n\n{machine}", arguments.write)


if __name__ == "__main__":
    main()
