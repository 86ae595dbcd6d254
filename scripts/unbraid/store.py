"""The store as a cache: the keys that it holds, when each was last used and for which song, and whether each is whole.

A key is a folder of stems, whole once its manifest is there. A file of its name in `used/` has a line for each run that used
it; the file system's own time of access is often switched off, and a backup changes it.
"""

import errno
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from unbraid.files import fsync, read_json, sha256

MANIFEST = "manifest.json"  # a key of the store is complete when it is there
ABANDONED = 86400.0  # seconds


@dataclass(frozen=True)
class Entry:
    """A key in the store.

    stage: that made it; empty for one that is not finished. model: empty where there is none. size: in bytes.
    hits: runs that found it finished. song: the one that used it last, where that is known.
    """

    key: str
    stage: str
    model: str
    size: int
    created: datetime
    used: datetime
    hits: int
    song: str


def complete_in(store: Path) -> Callable[[str, tuple[str, ...]], bool]:
    """Whether a key with these stems is whole in this store."""

    def complete(key: str, stems: tuple[str, ...]) -> bool:
        return _is_whole(store / "stems" / key, [f"{stem}.wav" for stem in stems])

    return complete


def there(store: Path, key: str) -> bool:
    """Whether a key is in the store at this moment. To open a file is what a network file system does not do from memory."""
    try:
        with open(store / "stems" / key / MANIFEST, "rb"):
            return True
    except OSError:
        return False


def _is_whole(folder: Path, names: Iterable[str]) -> bool:
    """Whether these files of a key, and a manifest that can be read, are there. One that is damaged so is made again."""
    # The manifest is opened: what else is known of the folder, a network file system may know from memory.
    return bool(_manifest(folder)) and all((folder / name).is_file() for name in names)


def entries(store: Path) -> list[Entry]:
    """What the store holds, least recently used first."""
    found = [entry for folder in _folders(store) if (entry := _entry(store, folder))]
    return sorted(found, key=lambda entry: (entry.used, entry.key))


def record(store: Path, uses: Iterable[tuple[str, str, bool]]) -> None:
    """Note what a run has used: (key, song, whether the key was finished before).

    Raises: OSError where that cannot be noted of some; it is of the others.
    """
    (store / "used").mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    failed: OSError | None = None
    for key, song, hit in uses:
        line = json.dumps({"time": now, "song": song, "hit": hit})
        try:
            # One write to the end of a file: several runs may do so at once.
            with open(store / "used" / key, "ab", buffering=0) as file:
                file.write(line.encode() + b"\n")
        except OSError as error:  # the file of a user who gave the others no right to it
            failed = error
    if failed:
        raise failed


def damage(store: Path, key: str) -> str:
    """What is wrong with a key's files; empty for one that is whole, and for one that is not finished."""
    folder = store / "stems" / key
    try:
        manifest = read_json(folder / MANIFEST)
        files = {str(name): (file["bytes"], file["sha256"]) for name, file in manifest["files"].items()}
        if not (files and manifest["stage"] and _created(manifest)):
            raise ValueError("it lacks what every manifest has")
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return f"{MANIFEST} cannot be read"
    for name, (size, digest) in files.items():
        try:
            if (folder / name).stat().st_size != size:
                return f"{name} has another size"
            if sha256(folder / name) != digest:
                return f"{name} has changed"
        except FileNotFoundError:
            return f"{name} is missing"
        except OSError as error:
            return f"{name} cannot be read ({error.strerror})"
    return ""


def publish(store: Path, key: str, files: Iterable[Path]) -> None:
    """Put a key that is made into the store: all its files at once, as links where the store is on their file system.

    Snakemake deletes the outputs of a job that it begins, or that fails; so no job's output is ever a file of the store,
    where other runs may be reading it. A key that is there already stays. Raises: OSError.
    """
    given = list(files)
    target = store / "stems" / key
    place = store / "incoming" / f"{key}.{secrets.token_hex(4)}"
    place.mkdir(parents=True)
    target.parent.mkdir(exist_ok=True)
    try:
        for path in given:
            _copy(path, place / path.name)
        if not _moved(place, target) and not _is_whole(target, [path.name for path in given]):
            remove(store, key)  # what somebody deleted a file of, or an unbraid of before left half-made
            _moved(place, target)
        fsync(target.parent)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def remove(store: Path, key: str, needed: Callable[[], set[str]] = set) -> bool:
    """Take a key out of the store, whole, unless a run needs it; say whether. Raises: OSError.

    needed: the keys that runs at work need. It is asked again when the key is out: a run leases its keys before it looks
    whether they are there, so that one of the two sees the other; and if it is leased by then, it is put back.
    """
    if key in needed():
        return False
    target = store / "stems" / key
    place = store / "removed" / f"{key}.{secrets.token_hex(4)}"
    place.parent.mkdir(exist_ok=True)
    try:
        os.rename(target, place)  # so that nobody ever finds half of it
    except FileNotFoundError:
        return False
    try:
        stays = key in needed()
    except BaseException:
        _moved(place, target)
        raise
    if stays and _moved(place, target):
        return False
    shutil.rmtree(place, ignore_errors=True)  # what cannot be deleted now `tidy` will
    if not target.exists():
        (store / "used" / key).unlink(missing_ok=True)
    return True


def tidy(store: Path) -> None:
    """Delete what publications and removals that were killed have left, once nobody can be at work on it. Raises: OSError."""
    for folder in ("incoming", "removed"):
        for path in (store / folder).glob("*"):
            with suppress(FileNotFoundError):  # somebody else tidies up too
                if time.time() - path.stat().st_ctime > ABANDONED:
                    shutil.rmtree(path, ignore_errors=True)


def _moved(place: Path, target: Path) -> bool:
    """Whether the folder could be moved: there was nothing in its place."""
    try:
        os.rename(place, target)
    except OSError as error:
        # Some network file systems only say that it failed.
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY) and not target.exists():
            raise
        return False
    return True


def _copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # on another file system, or on one without links
        try:
            shutil.copyfile(source, target)
        except OSError as error:  # it names the file that it read, also when the disk of the other one is full
            raise OSError(error.errno, error.strerror, str(target)) from error
        fsync(target)


def _folders(store: Path) -> list[Path]:
    try:
        return sorted(path for path in (store / "stems").iterdir() if path.is_dir())
    except FileNotFoundError:
        return []


def _entry(store: Path, folder: Path) -> Entry | None:
    """None for one that has gone meanwhile."""
    try:
        size = sum(path.stat().st_size for path in folder.iterdir())
        changed = max(path.stat().st_mtime for path in (folder, *folder.glob(MANIFEST)))
    except FileNotFoundError:
        return None
    when, uses = datetime.fromtimestamp(changed, UTC), _uses(store / "used" / folder.name)
    manifest = _manifest(folder)
    return Entry(
        folder.name,
        manifest.get("stage", ""),
        manifest.get("model", ""),
        size,
        _created(manifest) or when,
        max([when, *(datetime.fromisoformat(use["time"]) for use in uses)]),
        sum(use["hit"] for use in uses),
        uses[-1]["song"] if uses else "",
    )


def _created(manifest: dict[str, Any]) -> datetime | None:
    try:
        return datetime.fromisoformat(manifest["created"])
    except (LookupError, ValueError, TypeError):
        return None


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        return dict(read_json(folder / MANIFEST))
    except (OSError, ValueError, TypeError):
        return {}


def _uses(path: Path) -> list[dict[str, Any]]:
    """The lines that are whole: on some network file systems two that are written at once may spoil each other."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return []
    uses = []
    for line in lines:
        try:
            use = json.loads(line)
            datetime.fromisoformat(use["time"])
            uses.append({"time": use["time"], "song": str(use["song"]), "hit": bool(use["hit"])})
        except (ValueError, LookupError, TypeError):
            continue
    return uses
