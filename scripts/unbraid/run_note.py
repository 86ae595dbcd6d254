"""What a run tells its jobs: the name of its lease, and the keys that it found complete.

Jobs that make the plan again take them from here: they must find their rule even when the store has meanwhile been filled,
and the files where the run has them.
"""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from unbraid.files import read_json, write_json

NOTE = Path("work/run.json")


def tell(lease: str, reused: Iterable[str]) -> None:
    write_json(NOTE, {"lease": lease, "reused": sorted(reused)})


def forget() -> None:
    """The run has ended."""
    NOTE.unlink(missing_ok=True)
    with suppress(OSError):  # it holds something
        NOTE.parent.rmdir()


def reused() -> set[str] | None:
    """The keys that the run of this job found complete; None where it told nothing, as a workflow that imports this one."""
    return set(_note().get("reused", ())) if NOTE.exists() else None


def lease() -> str:
    """The name of the lease of this job's run; empty where it has none."""
    return str(_note().get("lease", ""))


def _note() -> dict[str, Any]:
    try:
        return dict(read_json(NOTE))
    except FileNotFoundError:
        return {}
