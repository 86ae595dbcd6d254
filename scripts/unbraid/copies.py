"""Where a job finds the files that the plan names, where files are carried between jobs by a storage (profiles/kubernetes)."""

from collections.abc import Iterable
from pathlib import Path


def here(path: str, inputs: Iterable[str]) -> Path:
    """The copy among a job's inputs of the file that the plan calls `path`; without one, `path` itself: a file that is passed
    on as it is, or one of the store, which all jobs share."""
    return Path(next((file for file in inputs if file.endswith(f"/{path}")), path))
