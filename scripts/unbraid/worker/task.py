"""What a `separate` job is asked to do, as plain JSON; and doing it, in whatever process."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from unbraid.backends.session import Session, load
from unbraid.catalogue import from_table
from unbraid.files import sha256
from unbraid.progress import Progress
from unbraid.stages.separate import Showing, separate

Task = dict[str, Any]
"""The arguments of `stages.separate.separate` by name: paths as text, the model as a table."""


def session_key(task: Task) -> str:
    """Tasks of one key can share a session: it is all that a session is made of."""
    described = Path(task["folder"]) / "model.json"
    files = sha256(described) if described.is_file() else None
    return json.dumps([task[name] for name in ("model", "folder", "settings", "device", "threads")] + [files])


def load_session(task: Task) -> Session:
    return load(from_table(task["model"]), Path(task["folder"]), task["settings"], task["device"], task["threads"])


def run(task: Task, session: Session | None = None, show: Callable[[float, str], Showing] = Progress) -> None:
    """Separate, with a session of the task's key where there is one."""
    separate(
        *(Path(task[name]) for name in ("mix", "info", "stems", "report")),
        model=from_table(task["model"]),
        folder=Path(task["folder"]),
        settings=task["settings"],
        index=task["index"],
        device=task["device"],
        threads=task["threads"],
        temp_dir=Path(task["temp_dir"]) if task["temp_dir"] else None,
        prompt=Path(task["prompt"]) if task["prompt"] else None,
        label=task["label"],
        session=session,
        show=show,
    )
