"""Files that are either whole or not there: temporary name beside the target, fsync, rename."""

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from unbraid.errors import UnbraidError


class Overtaken(FileNotFoundError):
    """Somebody else has written the file in the meantime."""


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; when the block ends well, it becomes `path` atomically.

    Each writer has a folder of its own, for that and what it needs beside it: a cluster may take a node for dead, and give
    its job to another, while it goes on. These lie in one of a fixed name (`.<name>.partial`), which the first writer to end
    takes away with all that is in it, so that nothing that a kill -9 leaves piles up. On any exception, KeyboardInterrupt
    included, the writer's own is removed. Raises: Overtaken when another writer was first; what is there is whole.
    """
    target = Path(path)
    folder = target.with_name(f".{target.name}.partial")
    mine = folder / secrets.token_hex(8)
    partial = mine / target.name
    try:
        mine.mkdir(parents=True, exist_ok=True)
        yield partial
        fsync(partial)
        os.replace(partial, target)
        shutil.rmtree(folder, ignore_errors=True)
        fsync(target.parent)
    except BaseException as error:
        if isinstance(error, FileNotFoundError) and target.exists() and not mine.exists():
            raise Overtaken(error.errno, "made by another job meanwhile", str(target)) from error
        if isinstance(error, OSError) and error.filename in map(str, (partial, mine, folder)):
            error.filename = str(target)  # the one that people know
        shutil.rmtree(mine, ignore_errors=True)
        with suppress(OSError):  # another writer is there
            folder.rmdir()
        raise


def fsync(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk before going on."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: str | Path) -> str:
    """The sha256 of a file's bytes, as 64 hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as readable JSON, atomically. NaN and infinity are refused, since JSON has none."""
    with replacing(path) as partial:
        text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
        partial.write_text(text + "\n", encoding="utf-8")


def read_json(path: str | Path) -> Any:
    return json.loads(Path(path).read_text(encoding="utf-8"))


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file of named entries. Raises: UnbraidError that names the file, and the line that is wrong."""
    import yaml  # most jobs read none

    # The C parser, where PyYAML has it, is ten times as fast; the plan is made in every job.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        entries = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)
    except OSError as error:
        raise UnbraidError(f"{path} cannot be read ({error.strerror}).", remedy="Check its permissions.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise UnbraidError(f"{path} is not valid YAML: {reason}.", remedy="Correct it there.") from error
    if not isinstance(entries, dict | None):
        raise UnbraidError(f"{path} is not a table of named entries.", remedy="See the file of that name in config/.")
    return {str(name): entry for name, entry in (entries or {}).items()}
