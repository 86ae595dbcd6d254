"""Stage named: the delivered files once more in one folder, by names made from the songs' tags."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from unbraid import naming
from unbraid.files import read_json


def named(songs: Mapping[str, Mapping[str, str]], results: Path, folder: Path, *, template: str) -> None:
    """Put links to the files of each song into `folder`, which is empty; copies where there can be no links.

    songs: the delivered files of each, by stem. results: where the songs' provenance.json are, which tell their tags. Of two
    that would have one name, the second gets a number.
    """
    taken: set[str] = set()
    for song, stems in songs.items():
        tags = read_json(results / song / "provenance.json")["tags"]
        for stem, file in stems.items():
            base, ending = naming.render(template, tags, song, stem), Path(file).suffix
            number, path = 1, f"{base}{ending}"
            while path.casefold() in taken:  # as on a disk that tells no capitals
                number += 1
                path = f"{base} {number}{ending}"
            taken.add(path.casefold())
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(file, target)
            except OSError:
                shutil.copyfile(file, target)
