"""What a song costs besides its stages: on this machine, and on a SLURM of three nodes on it, by songs in an allocation.

Songs of a second through the recipe `identity`, whose stages take next to nothing. CPU time of the machine that submits, and
of the allocations as SLURM's accounting has it. Starts the SLURM of the tests (tests/slurm/up), and ends it.
"""

import argparse
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from slurm.cluster import Cluster
from slurm.cluster import Desk as FarDesk
from workflow import flow

import environment
import tables


@dataclass(frozen=True)
class Cost:
    """Of a run: CPU seconds of the machine that submits, or on which all runs, and of what it sent away; wall seconds."""

    here: float
    there: float
    wall: float
    allocations: int


def run(desk: flow.Desk, songs: int, *options: str) -> Cost:
    for number in range(songs):
        flow.write(desk.songs / f"song{number:02}.wav", flow.noise(1, seed=number))
    time.sleep(1)  # accounting has whole seconds
    begun, clock = time.time(), time.monotonic()
    with open(desk.path / "terminal.txt", "wb") as terminal:
        process = subprocess.Popen(desk.command(*options), cwd=desk.path, stdout=terminal, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - clock
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, (desk.path / "terminal.txt").read_text(errors="replace")
    assert len(desk.audio()) == songs
    there, allocations = 0.0, 0
    if isinstance(desk, FarDesk):
        flow.until(lambda: not Cluster.busy(), each=0.5)
        there, allocations = Cluster.seconds(begun), len(Cluster.allocations(begun))
    return Cost(usage.ru_utime + usage.ru_stime, there, wall, allocations)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--songs", type=int, default=12)
    parser.add_argument("--together", type=int, nargs="+", default=[1, 4, 12], help="songs in an allocation")
    tables.add_option(parser)
    arguments = parser.parse_args()
    count = arguments.songs
    rows, first = [], 0.0

    def add(what: str, cost: Cost) -> None:
        nonlocal first
        total = (cost.here + cost.there) / count
        first = first or total
        rows.append(
            [
                what,
                f"{cost.allocations / count:.2f}",
                f"{cost.here / count:.1f}",
                f"{cost.there / count:.1f}",
                f"{total / first:.2f}",
                f"{cost.wall / count:.1f}",
            ]
        )
        print(*rows[-1], flush=True)

    with tempfile.TemporaryDirectory(prefix="unbraid-bench-") as folder:
        scratch = Path(folder)
        add("this machine", run(flow.Desk(scratch / "here"), count))
        cluster = Cluster(Path(tempfile.mkdtemp(prefix="unbraid-slurm-", dir="/tmp")))
        try:
            cluster.start()
            for together in arguments.together:
                desk = FarDesk(scratch / f"together{together}")
                add(f"SLURM, {together} to an allocation", run(desk, count, "--group-components", f"song={together}"))
        finally:
            cluster.stop()
    columns = ["where", "allocations", "CPU here, s", "CPU there, s", "CPU, ratio", "wall, s"]
    text = tables.table(columns, rows)
    tables.publish("scheduling", f"Each song:\n\n{text}\n\n{environment.describe()}", arguments.write)


if __name__ == "__main__":
    main()
