"""Files of weights in a model's folder: how a backend keeps them, and whether they are what they were."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from unbraid.errors import UnavailableError, UnbraidError
from unbraid.files import read_json, replacing, sha256

if TYPE_CHECKING:
    from unbraid.catalogue import Model, Weights


class Keeper(Protocol):
    """How a backend keeps its weights: a module with these two functions."""

    def kept_name(self, weights: "Weights") -> str:
        """The name in the model's folder of the file that the session loads."""

    def keep(
        self, path: Path, target: Path, model: "Model", weights: "Weights", notes: dict[str, str]
    ) -> dict[str, Any]:
        """Check what was obtained and make `target` of it, atomically; `path` may be `target` itself, from an earlier time.

        notes: `source` (where it came from) and `source_sha256`. Returns what to record beside them.
        Raises: UnavailableError, or UnbraidError, when it is not what the catalogue means or is not safe to load.
        """


def keep_as_it_is(path: Path, target: Path, weights: "Weights") -> dict[str, str]:
    """`Keeper.keep` of a file that needs no conversion."""
    digest = sha256(path)
    if not weights.admits(digest, digest):
        raise UnavailableError("it is not the file that the catalogue names")
    if path != target:
        with replacing(target) as partial:
            shutil.copyfile(path, partial)
    return {"source_sha256": digest, "tensors_sha256": digest}


def damaged(path: str | Path, error: Exception) -> UnbraidError:
    """What to tell of a file of weights that does not load."""
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return UnbraidError(
        f"The weight file {path} is damaged or cut short ({reason}).",
        remedy=f"Delete {path} (and the model.json beside it) and run again.",
    )


def verify(folder: Path, model: "Model") -> dict[str, Path]:
    """Check that the files in `folder` are whole and are what the catalogue means; their paths by the weights' names.

    Reads each file once. Raises UnbraidError that says what to delete.
    """
    record = folder / "model.json"
    try:
        entries = read_json(record)["weights"]
        known = {weights.name: entries[weights.name] for weights in model.weights}
        digests = {name: (entry.get("tensors_sha256"), entry["source_sha256"]) for name, entry in known.items()}
        paths = {name: folder / entry["file"] for name, entry in known.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnbraidError(
            f"The model {model.name!r} in {folder} is not whole: {record.name} is missing or damaged.",
            remedy=f"Delete {record} and run again.",
        ) from error
    for weights in model.weights:
        path = paths[weights.name]
        if not weights.admits(*digests[weights.name]):
            raise UnbraidError(
                f"The weights in {path} are not those that the catalogue names for {model.name!r}.",
                remedy=f"Delete {folder} and run again.",
            )
        try:
            whole = sha256(path) == known[weights.name]["sha256"]
        except OSError as error:
            raise damaged(path, error) from error
        if not whole:
            raise UnbraidError(
                f"The weight file {path} has changed since it was made (its sha256 is not that in {record.name}).",
                remedy=f"Delete {path} and {record} and run again.",
            )
    return paths
