"""What `results/index.html` lists: every song, as this run or an earlier one left it."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from unbraid import gates
from unbraid.files import read_json
from unbraid.page import FILE as PAGE
from unbraid.plan import Plan
from unbraid.summary import Outcome


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
    quality, provenance = ({}, {}) if stale else (_read(folder / "qc.json"), _read(folder / "provenance.json"))
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
        "audio_seconds": quality.get("audio_seconds", planned.mix.duration),
        "recipe": quality.get("recipe", planned.recipe.name),
        "preset": quality.get("preset", planned.preset),
        "models": quality.get("models", sorted({made.model.name for made in planned.separations.values()})),
        "residual_db": max(levels, default="exact" if sets and all(one["exact"] for one in sets) else None),
        "sdr": scores,
        "warnings": gates.judge(quality, limits),
        "reason": outcome.reason if outcome else "",
    }


def _read(file: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = read_json(file)
    except (OSError, ValueError):
        return {}
    return found
