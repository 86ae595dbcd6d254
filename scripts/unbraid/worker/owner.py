"""The process that a worker belongs to: the Snakemake that runs the jobs, on this machine.

It says so in the environment of its jobs, which is surer than guessing among their ancestors. On a cluster that is the
Snakemake in the allocation, which makes the plan again and so overwrites what came along from the submitting machine.
"""

import os
from dataclasses import dataclass

import psutil

VARIABLE = "UNBRAID_OWNER"


def declare(*, keep: bool) -> None:
    """This process runs jobs. keep: one that has said so before is left to be the owner (a Snakemake for a single job)."""
    if not (keep and VARIABLE in os.environ):
        os.environ[VARIABLE] = str(Owner.of(os.getpid()))


@dataclass(frozen=True)
class Owner:
    """A process, told from a later one of the same number by the time when it was made."""

    pid: int
    created: float

    @classmethod
    def of(cls, pid: int) -> "Owner":
        return cls(pid, psutil.Process(pid).create_time())

    @classmethod
    def parse(cls, text: str) -> "Owner | None":
        """The inverse of `str`; None for anything else."""
        pid, _, created = text.partition(":")
        try:
            return cls(int(pid), float(created))
        except ValueError:
            return None

    def __str__(self) -> str:
        return f"{self.pid}:{self.created}"

    def alive(self) -> bool:
        """Whether it still runs; a dead process that nobody has waited for does not."""
        try:
            process = psutil.Process(self.pid)
            # A second of difference is a clock that was set meanwhile: the time is counted from the machine's start.
            same = abs(process.create_time() - self.created) < 1
            return same and process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
        except psutil.NoSuchProcess:
            return False


def current() -> Owner | None:
    """The owner of this job, when it has said so and lives."""
    found = Owner.parse(os.environ.get(VARIABLE, ""))
    return found if found and found.alive() else None
