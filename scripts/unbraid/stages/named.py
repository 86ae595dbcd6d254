"""Stage named: the delivered files once more in one folder, by names made from the songs' tags."""

import os
import shutil
from collections.abc import Mapping
from itertools import count
from pathlib import Path

from unbraid import naming
from unbraid.errors import UnbraidError
from unbraid.files import read_json


def named(songs: Mapping[str, Mapping[str, str]], results: Path, folder: Path, *, template: str) -> None:
    """Put links to the files of each song into `folder`, which is empty; copies where there can be no links.

    songs: the delivered files of each, by stem. results: where the songs' provenance.json are, which tell their tags. Of two
    that would have one name, the second gets a number. Raises: UnbraidError where one would be a file and a folder.
    """
    files: set[str] = set()
    folders: set[str] = set()
    for song, stems in songs.items():
        tags = read_json(results / song / "provenance.json")["tags"]
        for stem, file in stems.items():
            base, ending = naming.render(template, tags, song, stem), Path(file).suffix
            names = (f"{base}{ending}" if number == 1 else f"{base} {number}{ending}" for number in count(1))
            path = next(name for name in names if name.casefold() not in files | folders)
            above = {str(parent).casefold() for parent in Path(path).parents[:-1]}
            if above & files:
                raise UnbraidError(
                    f"By {template!r} a file and a folder of {song} would have one name: {Path(path).parent}.",
                    remedy="Choose other names=, without a `/`.",
                )
            files.add(path.casefold())
            folders |= above
            _put(Path(file), folder / path)


def _put(file: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(file, target)
    except FileExistsError:  # it is a link to another's file
        raise
    except OSError:
        shutil.copyfile(file, target)
