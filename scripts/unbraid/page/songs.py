"""The list of all songs, with their pages."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unbraid.page import render


def write(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write `file`, the list, in the order of `rows`.

    Each row: song (its id), page (its address from `file`, None where there is none), title, artist, status (ok, failed,
    skipped or ""), audio_seconds, recipe, preset, models (a list), residual_db (or `exact`), sdr (by stem, in dB), warnings (a list),
    reason (why it failed). What is not known is None.
    """
    counts = {status: sum(row["status"] == status for row in rows) for status in ("ok", "failed", "skipped")}
    render.write(
        file,
        "songs.html",
        "songs.js",
        rows=rows,
        counts={status: count for status, count in counts.items() if count},
        warned=sum(bool(row["warnings"]) for row in rows),
        seconds=sum(row["audio_seconds"] or 0 for row in rows),
    )
