"""What `results/index.html` lists: every song, as this run or an earlier one left it."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from unbraid import gates
from unbraid.page import FILE as PAGE
from unbraid.plan import Plan
from unbraid.summary import Outcome, read


def rows(
    plan: Plan, songs: Iterable[str], found: Mapping[str, Outcome], results: Path, limits: gates.Limits | None
) -> list[dict[str, Any]]:
    """A row for each song (see `unbraid.page.songs`). found: what became of those of this run. limits: of the quality gates."""
    return [_row(plan, song, found.get(song), results, limits) for song in songs]


def _row(plan: Plan, song: str, outcome: Outcome | None, results: Path, limits: gates.Limits | None) -> dict[str, Any]:
    planned = plan.songs[song]
    folder = results / song
    # What lies there of a song that failed is of an earlier run, unless it failed for what was measured.
    stale = outcome is not None and outcome.status != "ok" and not outcome.measured
    quality, provenance = ({}, {}) if stale else _delivered(folder)
    tags = provenance.get("tags", {})
    sets = quality.get("residuals", [])
    levels = [one["residual_db"] for one in sets if one["residual_db"] is not None]
    scores = {stem: score["sdr"] for stem, score in quality.get("metrics", {}).items() if score["sdr"] is not None}
    return {
        "song": song,
        "page": quote(f"{song}/{PAGE}") if quality and (folder / PAGE).is_file() else None,
        "title": tags.get("title", ""),
        "artist": tags.get("artist", ""),
        "status": outcome.status if outcome else "ok" if quality else "",
        "audio_seconds": quality.get("audio_seconds", planned.mix.duration or None),
        "recipe": quality.get("recipe", planned.recipe.name),
        "preset": quality.get("preset", planned.preset),
        "models": quality.get("models", sorted({made.model.name for made in planned.separations.values()})),
        "residual_db": max(levels, default="exact" if sets and all(one["exact"] for one in sets) else None),
        "sdr": scores,
        "warnings": gates.judge(quality, limits),
        "reason": outcome.reason if outcome else "",
    }


def _delivered(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is known of a song's stems; nothing where one of them was delivered later than they were measured."""
    quality, provenance = read(folder / "qc.json"), read(folder / "provenance.json")
    try:
        measured = (folder / "qc.json").stat().st_mtime_ns
        later = [
            stem for stem in quality["stems"] if (folder / f"{stem}.{quality['format']}").stat().st_mtime_ns > measured
        ]
    except (OSError, LookupError):
        return {}, {}
    return ({}, {}) if later else (quality, provenance)
