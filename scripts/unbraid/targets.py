"""Delivered files that a user asks for by name: whether there is such a song, stem and format."""

from collections.abc import Iterable
from pathlib import PurePosixPath

from unbraid.audio.formats import FORMATS
from unbraid.audio.stem_mp4 import FILE, fits
from unbraid.errors import UnbraidError, suggest
from unbraid.page import FILE as PAGE
from unbraid.plan import Plan

REPORTS = ("qc.json", "provenance.json", "passed.json", PAGE)


def check(arguments: Iterable[str], plan: Plan) -> None:
    """Raises: UnbraidError with the nearest known name for a file of a song below results/ that nothing makes.

    arguments: of the command line; others than such files are passed over. Without this, Snakemake would only say that
    it has no rule for it.
    """
    for target in arguments:
        path = PurePosixPath(target)
        if path.parts[:1] != ("results",) or len(path.parts) < 3 or "preview" in path.parts:
            continue
        song, name = str(path.parent.relative_to("results")), path.name
        if song not in plan.songs:
            raise UnbraidError(f"There is no song {song!r} for {target}.", remedy=suggest(song, plan.songs))
        known = [
            *REPORTS,
            *([FILE] if fits(plan.songs[song].stems) else []),
            *(f"{stem}.{end}" for stem in plan.songs[song].stems for end in FORMATS),
        ]
        if name not in known:
            raise UnbraidError(
                f"The recipe {plan.songs[song].recipe.name!r} delivers no {name!r} of the song {song!r}.",
                remedy=suggest(name, known),
            )
