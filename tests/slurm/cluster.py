"""A real SLURM of three nodes on this host (see `up`), what runs there, and accidents that happen to it."""

import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from workflow import flow

HERE = Path(__file__).parent
CANNOT_INSTALL = 3  # see `up`
NAME = "unbraid"  # see slurm.conf: what runs in another SLURM's allocations, these tests perhaps, is left alone

# What SLURM answers is asked for more often than a shared cluster's people would like.
OFTEN = ("--slurm-init-seconds-before-status-checks", "1", "--seconds-between-status-checks", "2")


@dataclass(frozen=True)
class Allocation:
    """What SLURM's accounting says of one. minutes: its limit."""

    job: str
    state: str
    node: str
    minutes: str


class Desk(flow.Desk):
    """A working directory whose runs send their jobs to SLURM."""

    def command(self, *arguments: str, **config: object) -> list[str]:
        command = super().command(*arguments, **config)
        at = command.index("--cores")
        return [*command[:at], "--workflow-profile", "slurm", *OFTEN, *command[at + 2 :]]


class Cluster:
    """The cluster in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def start(self, part: str = "all") -> None:
        done = subprocess.run(
            [HERE / "up", self.folder, part],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # what is started must not keep a pipe of ours open
            timeout=400,
            check=False,
        )
        if done.returncode == CANNOT_INSTALL and "UNBRAID_NEEDS_SLURM" not in os.environ:
            pytest.skip("Debian's packages for a SLURM cannot be had here")
        assert done.returncode == 0, f"{HERE / 'up'} failed; see above, and {self.folder}/log"

    def stop(self) -> None:
        subprocess.run([HERE / "down", self.folder], check=True, timeout=60)

    def kill(self, part: str) -> None:
        """End the daemon of a node, or the controller, at once; what it has started goes on."""
        process = psutil.Process(int((self.folder / "run" / f"{part}.pid").read_text()))
        process.kill()
        process.wait()

    def lose(self, node: str) -> None:
        """A node without power: its daemon, and all of its jobs, end at once."""
        self.kill(node)
        jobs = {one.job for one in self.allocations() if one.node == node and one.state == "RUNNING"}
        for process in psutil.process_iter(["name", "cmdline"]):
            words = " ".join(process.info["cmdline"] or ())
            if (found := re.match(r"slurmstepd: \[(\d+)\.", words)) and found[1] in jobs:
                with suppress(psutil.Error):
                    process.kill()
        for process in of_jobs(node):
            with suppress(psutil.Error):
                process.kill()

    def heal(self) -> None:
        """All parts run, and all nodes take jobs."""
        for part in ("slurmctld", "node1", "node2", "node3"):
            file = self.folder / "run" / f"{part}.pid"
            with suppress(OSError, ValueError, psutil.Error):
                if psutil.Process(int(file.read_text())).is_running():
                    continue
            self.start(part)
        flow.until(lambda: _said("sinfo", "--noheader", "--Node", "--states=idle").count("\n") == 3, each=0.5)
        # A Snakemake that is cancelled may wait for ever. With cgroups SLURM ends it; here its nodes have none.
        for process in of_jobs():
            with suppress(psutil.Error):
                process.kill()

    @staticmethod
    def allocations(since: float = 0.0) -> list[Allocation]:
        """In the order in which they were submitted. since: seconds since 1970."""
        rows = _accounted(since, "-X", "--format=JobID,State,NodeList,TimelimitRaw")
        return [Allocation(job, state.split()[0], node, minutes) for job, state, node, minutes in rows]

    @staticmethod
    def peak(since: float) -> float:
        """MB of memory of the allocation that had most. since: seconds since 1970."""
        return max(
            float(memory.removesuffix("M")) for (memory,) in _accounted(since, "--units=M", "--format=MaxRSS") if memory
        )

    @staticmethod
    def seconds(since: float) -> float:
        """CPU time of all allocations. since: seconds since 1970."""
        rows = _accounted(since, "--format=JobID,TotalCPU")
        return sum(_seconds(taken) for step, taken in rows if "." in step)

    @staticmethod
    def busy() -> bool:
        return bool(_said("squeue", "--noheader").strip())


def _accounted(since: float, *options: str) -> list[list[str]]:
    """What SLURM's accounting says: the fields of each line."""
    start = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(since))
    return [line.split("|") for line in _said("sacct", "-n", "-P", "-S", start, *options).splitlines()]


def _seconds(text: str) -> float:
    """Of SLURM's [[days-]hours:]minutes:seconds."""
    days, _, rest = text.rpartition("-")
    seconds = 0.0
    for part in rest.split(":"):
        seconds = seconds * 60 + float(part)
    return int(days or 0) * 86400 + seconds


def _said(*command: str) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout


def of_jobs(node: str | None = None, word: str = "") -> Iterator[psutil.Process]:
    """The processes that run in allocations; of a node, or with a word in their command line."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            variables = process.environ()
            here = variables.get("SLURM_CLUSTER_NAME") == NAME and node in (None, variables.get("SLURMD_NODENAME"))
            if here and word in " ".join(process.cmdline()):
                yield process


def workers() -> list[psutil.Process]:
    return list(of_jobs(word="unbraid.worker.server"))


def held(stage: str, seconds: float = 90) -> psutil.Process:
    """A job of this stage, stopped on its way."""
    found: list[psutil.Process] = []

    def catch() -> bool:
        for process in of_jobs(word=f".{stage}.py"):
            process.suspend()
            found.append(process)
            return True
        return False

    flow.until(catch, seconds, 0.05)
    return found[0]
