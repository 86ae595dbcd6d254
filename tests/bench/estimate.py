"""What a run was expected to take, and what it took: the first one on a machine, by the speeds that ship with unbraid, and
those after it, by what the machine has measured of itself.
"""

import argparse
import os
import re
import tempfile
from pathlib import Path

import environment
import songs
import tables
from peers import apart, ready, unbraid

RUNS = ((1, 60), (1, 150), (1, 30), (5, 30), (12, 10))
"""Songs and the seconds of each, in the order in which a machine meets them."""
TOLD = re.compile(r"took (.+?) \(estimated (.+?)\)\. See")


def seconds(text: str) -> int:
    """Of a duration as the summary tells it: 9 s, 1:30 min, 2:05:00 h."""
    clock, _ = text.split()
    total = 0
    for part in clock.split(":"):
        total = 60 * total + int(part)
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1)
    tables.add_option(parser)
    arguments = parser.parse_args()
    apart(ready)
    rows, next_song = [], 0
    with tempfile.TemporaryDirectory(prefix="unbraid-estimate-") as scratch:
        for number, (count, length) in enumerate(RUNS, start=1):
            made = songs.make(Path(scratch) / f"songs-{number}", length, range(next_song, next_song + count))
            next_song += count
            ended = unbraid(arguments.device, arguments.cores, {"pages": True}).good(made, Path(scratch) / "run")
            (told,) = TOLD.findall(ended.text)
            took, estimated = map(seconds, told)
            rows.append([number, f"{count} × {length} s", estimated, took, f"{estimated / took - 1:+.0%}"])
            print(*rows[-1], flush=True)
    text = tables.table(["run", "songs", "estimated, s", "took, s", "off by"], rows)
    tables.publish("estimate", f"{text}\n\n{environment.describe(arguments.device)}", arguments.write)


if __name__ == "__main__":
    main()
