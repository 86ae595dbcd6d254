"""All models that can be asked for: the catalogue, audio-separator's list, and checkpoints of the user's by path."""

from pathlib import Path

from unbraid import catalogue
from unbraid.catalogue import Model
from unbraid.local_checkpoints import local_model

CATALOGUE, LIST = "models.yaml", "audio_separator.yaml"


class Models:
    """Models by name. The long list of audio-separator is read only when a name is not in the catalogue itself.

    folders: those that hold catalogues, the later one's entries replacing the earlier one's.
    """

    def __init__(self, folders: list[Path]) -> None:
        self._folders = folders
        self._own = catalogue.load(self._files(CATALOGUE))
        self._all: dict[str, Model] | None = None
        self._local: dict[str, Model] = {}  # by the names that their paths gave them

    def _files(self, name: str) -> list[Path]:
        return [path for folder in self._folders if (path := folder / name).is_file()]

    def all(self) -> dict[str, Model]:
        if self._all is None:
            self._all = catalogue.load(self._files(LIST)) | self._own
        return self._all

    def find(self, name: str) -> Model:
        """The model of this name, or of the checkpoint at this path.

        Raises: UnbraidError for an unknown name, with the nearest known one, and for a checkpoint that cannot be used.
        """
        if name in self._own:
            return self._own[name]
        if name in self._local:
            return self._local[name]
        if is_path(name):
            model = local_model(Path(name).expanduser())
            return self._local.setdefault(model.name, model)
        return catalogue.find(self.all(), name)


def is_path(name: str) -> bool:
    """Whether a model is named by the path of its checkpoint."""
    return "/" in name or name.endswith((".ckpt", ".onnx", ".pth"))
