"""What a run tells its jobs: its name, its lease's, the keys that it found complete, and the limits of an allocation.

Jobs that make the plan again take them from here: they must find their rule even when the store has meanwhile been filled,
and the files where the run has them. Where jobs share no working directory with their run (profiles/kubernetes), what it tells
them is in the store, and a variable that they are given says where.
"""

import os
import secrets
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from unbraid.errors import UnbraidError
from unbraid.files import read_json, write_json

WORK, NAME = Path("work"), "run.json"
PLACE, RUN = "UNBRAID_NOTES", "UNBRAID_RUN"


def folder() -> Path:
    """Where the notes of this run are."""
    return Path(os.environ.get(PLACE, WORK))


def share(store: str) -> None:
    """Put them into the store, for this run and its jobs."""
    os.environ[PLACE] = str(Path(store).absolute() / "notes" / secrets.token_hex(8))


def tell(lease: str, reused: Iterable[str], limits: Mapping[str, int] | None = None) -> None:
    run = os.environ[RUN] = secrets.token_hex(8)  # which its jobs inherit, here and on SLURM (not in pods)
    write_json(folder() / NAME, {"run": run, "lease": lease, "reused": sorted(reused), "limits": dict(limits or {})})


def check() -> None:
    """Raises: UnbraidError when this job was left by a run that was killed, and another one has begun or ended since.

    The job would take away what that one has made, to make it again.
    """
    if not (mine := os.environ.get(RUN)):
        return  # of a workflow that imports this one, or in a pod
    with suppress(OSError):
        os.listdir(folder())  # where a network file system remembers what is in a folder, this corrects it
    if _note().get("run") != mine:
        raise UnbraidError(
            "The run that this job belongs to was killed, and there has been another one since.",
            remedy="Nothing is lost. What a killed run has left is ended by scancel, or what your cluster has for that.",
        )


def forget() -> None:
    """The run has ended."""
    (folder() / NAME).unlink(missing_ok=True)
    with suppress(OSError):  # it holds something
        folder().rmdir()


def tidy(store: Path) -> None:
    """Delete what runs that were killed have left in the store: those whose lease is no more there."""
    for place in (store / "notes").glob("*"):
        with suppress(FileNotFoundError):  # one that is just beginning
            if not (store / "runs" / read_json(place / NAME)["lease"]).exists():
                shutil.rmtree(place, ignore_errors=True)


def begun() -> float:
    """When the run began, by the clock of the file system, in seconds since 1970. Raises: OSError where it told nothing."""
    return (folder() / NAME).stat().st_mtime


def limits() -> dict[str, int]:
    """Of the resources that the jobs of an allocation share."""
    return dict(_note().get("limits", {}))


def reused() -> set[str] | None:
    """The keys that the run of this job found complete; None where it told nothing, as a workflow that imports this one."""
    return set(_note().get("reused", ())) if (folder() / NAME).exists() else None


def lease() -> str:
    """The name of the lease of this job's run; empty where it has none."""
    return str(_note().get("lease", ""))


def _note() -> dict[str, Any]:
    try:
        return dict(read_json(folder() / NAME))
    except FileNotFoundError:
        return {}
