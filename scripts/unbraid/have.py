"""Stems that a user has: those that need not be computed, what in a recipe they stand for, and true ones to measure against."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from unbraid import keys
from unbraid.audio.source import cannot_read, check_file
from unbraid.errors import UnbraidError, suggest
from unbraid.recipes import Recipe, Term
from unbraid.songs import EXTENSIONS, Probed, Song

HAVE = "have"  # the one output of the stage
WITHOUT = {HAVE: "to have the stem computed", "references": "to do without a measurement"}
"""What an empty column of the table of songs means."""


@dataclass(frozen=True)
class Have:
    """What `have` makes: a stem that the user has, in the form of its mix.

    column: of the table of songs, that names it: have or references. song: of the songs that share it, the first by id.
    mix: the mix's key. path, sha256: of the user's file. start, end: the window of the song. seconds: how long the song is
    without a window, None when it could not be probed. problem: what is wrong with it, and what to do: its job will say so.
    """

    key: str
    column: str
    song: str
    mix: str
    path: str
    sha256: str
    start: float | None
    end: float | None
    seconds: float | None
    problem: tuple[str, str] | None = None


def missing(song: Song, column: str, mix: str, error: UnbraidError) -> Have:
    """What stands for stems that cannot be taken, so that the song's other jobs go on."""
    key = keys.key("have", {"unreadable": song.id, "column": column})
    return Have(key, column, song.id, mix, "", "", song.start, song.end, None, (error.what, error.remedy))


def find(
    song: Song, column: str, recipe: Recipe, mix: str, probe: Callable[[str], Probed | UnbraidError], results: Path
) -> dict[str, Have]:
    """The stems of the recipe that the song has, by name. column: have or references. mix: the key of its mix.
    results: where stems are delivered.

    Raises: UnbraidError for a file that is missing, is not audio, or fits no stem of the recipe.
    """
    written = getattr(song, column)
    if not written:
        return {}
    whole, found = probe(song.path), {}
    for stem, path in (files(written, recipe, results) if column == HAVE else references(written, recipe)).items():
        probed = probe(path)
        if isinstance(probed, UnbraidError):
            raise _wrong(column, probed.what)
        found[stem] = Have(
            keys.key("have", {"source": probed.sha256, "mix": mix}),
            column,
            song.id,
            mix,
            path,
            probed.sha256,
            song.start,
            song.end,
            None if isinstance(whole, UnbraidError) else whole.duration,
        )
    return found


def files(written: str, recipe: Recipe, results: Path) -> dict[str, str]:
    """The files of a column `have`, by the stem of the recipe that each is named after, in whatever case.

    written: folders and files, separated by `;`, from the working directory. Of a folder its audio files are taken.
    results: where stems are delivered. Raises: UnbraidError for what is not there, what is named after no stem, what
    delivering would replace, and two files of one stem.
    """
    stems = {stem.casefold(): stem for stem in recipe.stems}
    found: dict[str, str] = {}
    for path in _all(HAVE, written):
        stem = stems.get(path.stem.casefold())
        if stem is None:
            raise UnbraidError(
                f"The column `have` gives {path}, and the recipe {recipe.name!r} delivers no stem {path.stem!r}.",
                remedy=f"{suggest(path.stem, recipe.stems)} Name each file after its stem, and leave out all others.",
            )
        if results.resolve() in path.resolve().parents:
            raise UnbraidError(
                f"The column `have` gives {path}, which lies where stems are delivered and would be replaced.",
                remedy="Put it into a folder of its own.",
            )
        _keep(found, HAVE, stem, path)
    return found


def references(written: str, recipe: Recipe) -> dict[str, str]:
    """The true stems of a column `references`, by the stem of the recipe that each is named after, in whatever case.

    Datasets have more beside them, such as the mix and what another recipe delivers, which is passed over.
    Raises: UnbraidError for what is not there, for two files of one stem, and where there is none of any.
    """
    stems = {stem.casefold(): stem for stem in recipe.stems}
    found: dict[str, str] = {}
    paths = _all("references", written)
    for path in paths:
        if stem := stems.get(path.stem.casefold()):
            _keep(found, "references", stem, path)
    if not found:
        raise UnbraidError(
            f"The column `references` gives {', '.join(path.name for path in paths)}, and the recipe {recipe.name!r}"
            " delivers no stem of such a name.",
            remedy=f"Name each file after its stem: {', '.join(recipe.stems)}.",
        )
    return found


def outputs(recipe: Recipe, found: Mapping[str, Have]) -> dict[Term, Have]:
    """What the stems stand for wherever a recipe names it: the output of a step that is delivered as it is."""
    made: dict[Term, Have] = {}
    for stem, linear in recipe.stems.items():
        ((term, coefficient), *others) = linear.items()
        if stem in found and term.step and coefficient == 1 and not others:
            made.setdefault(term, found[stem])
    return made


def _keep(found: dict[str, str], column: str, stem: str, path: Path) -> None:
    """Raises: UnbraidError for a second file of a stem."""
    if stem in found:
        raise UnbraidError(
            f"The column `{column}` gives two files for the stem {stem!r}: {found[stem]} and {path}.",
            remedy="Leave out one of them.",
        )
    found[stem] = str(path)


def _all(column: str, written: str) -> list[Path]:
    """The audio files of folders and files separated by `;`."""
    places = [Path(part.strip()) for part in written.split(";") if part.strip()]
    return [path for place in places for path in _audio(column, place)]


def _audio(column: str, place: Path) -> list[Path]:
    """The file at this place, or the audio files in the folder there."""
    try:
        if not place.is_dir():
            check_file(place)
            return [place]
        inside = sorted(place.iterdir())
    except UnbraidError as error:
        raise _wrong(column, error.what) from error
    except OSError as error:
        raise _wrong(column, cannot_read(place, error).what) from error
    found = [path for path in inside if path.suffix.lower().lstrip(".") in EXTENSIONS and not path.name.startswith(".")]
    if not found:
        raise _wrong(column, f"{place} is a folder without audio files.")
    return found


def _wrong(column: str, what: str) -> UnbraidError:
    return UnbraidError(
        f"A stem that the column `{column}` gives cannot be taken: {what}",
        remedy=f"Give a file that plays, or empty the column {WITHOUT[column]}.",
    )
