"""The plan for people: `results/plan.tsv`, and the same on the terminal."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from unbraid.cache import size
from unbraid.files import read_json, replacing
from unbraid.forecast import Expected, Machine
from unbraid.page import FILE as PAGE
from unbraid.plan import Plan
from unbraid.tables import aligned

COLUMNS = ("song", "audio_seconds", "steps", "segments", "stored", "state", "seconds", "bytes")
SHOWN = 50
"""Songs that the terminal shows; the file has all."""
TOLD = 20
"""Songs of which is told why they cannot be read."""
BORROWED = "Some of these speeds were measured on another machine (config/speeds.jsonl); a run notes those of this one in the store."
UNKNOWN = "?"


def delivered(plan: Plan, songs: Iterable[str], results: Path = Path("results")) -> set[str]:
    """The songs whose results are there already, as this plan would make them; their keys may be gone from the store."""
    return {song for song in songs if _is_delivered(plan, song, results / song)}


def _is_delivered(plan: Plan, song: str, folder: Path) -> bool:
    planned = plan.songs[song]
    names = ["qc.json", *([PAGE] if planned.page else []), *(f"{stem}.{planned.format}" for stem in planned.stems)]
    if not all((folder / name).is_file() for name in names):
        return False
    told = {
        "recipe": planned.recipe.name,
        "preset": planned.preset,
        "stems": planned.expressions,
        "delivery": planned.delivery,
        "references": {stem: true.key for stem, true in planned.references.items()},
    }
    try:
        written = read_json(folder / "provenance.json")
        written["references"] = {stem: true["key"] for stem, true in written["references"].items()}
        return {name: written[name] for name in told} == told
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False


def rows(plan: Plan, expected: Mapping[str, Expected], done: set[str]) -> list[tuple[str, ...]]:
    """A row of `COLUMNS` for each song."""
    return [_row(plan, song, one, song in done) for song, one in expected.items()]


def _row(plan: Plan, song: str, expected: Expected, done: bool) -> tuple[str, ...]:
    planned = plan.songs[song]
    kept = planned.kept.values()
    if planned.mix.sha256 is None:
        state = "unreadable"
    elif done:
        state = "delivered"
    else:
        state = ("cached" if kept else "given") if all(kept) else "to run"
    return (
        song,
        f"{planned.mix.duration:.1f}",
        str(len(planned.separations) + len(planned.ensembles)),
        str(sum(made.segments.count for made in planned.separations.values())),
        f"{sum(kept)}/{len(kept)}",
        state,
        UNKNOWN if expected.seconds is None else f"{expected.seconds:.1f}",
        str(round(expected.stored + expected.delivered)),
    )


def notes(
    expected: Mapping[str, Expected],
    wall: float | None,
    needed: Mapping[Path, float],
    machine: Machine,
    *,
    audio: float,
    done: int,
    fetched: Sequence[str] = (),
    unreadable: Mapping[str, str] | None = None,
    kept: bool = False,
    borrowed: bool = False,
    warnings: Sequence[str] = (),
) -> list[str]:
    """What there is to say of all songs. audio: seconds of theirs. done: of them, delivered already. fetched: models to fetch.
    unreadable: songs, and why. kept: whether what passes from stage to stage stays."""
    known = duration(wall) if wall is not None else f"{UNKNOWN} (a run on this machine measures it)"
    told = [
        f"{len(expected)} songs ({duration(audio)} of audio), {done} of them delivered already.",
        f"Time: {known}, on {machine}.",
        "Disk: "
        + ", ".join(f"{folder} {size(round(count))}" for folder, count in needed.items())
        + f", at the most; what is in work {'stays (keep: all)' if kept else 'goes with the run'}.",
    ]
    if fetched:
        told.append(f"To be fetched first, which is not in the time: {', '.join(fetched)}.")
    if borrowed and wall is not None:
        told.append(BORROWED)
    reasons = [f"Unreadable: {song}: {reason}" for song, reason in (unreadable or {}).items()]
    more = [f"… and {len(reasons) - TOLD} more unreadable songs"] if len(reasons) > TOLD else []
    return [*told, *reasons[:TOLD], *more, *(f"Warning: {warning}" for warning in warnings)]


def duration(seconds: float) -> str:
    """Seconds for people: 9 s, 1:30 min, 2:05:00 h."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    clock: str = tqdm.format_interval(round(seconds))
    return f"{clock.removeprefix('0')} {'min' if seconds < 3600 else 'h'}"


def write(file: Path, table: Iterable[Sequence[str]], said: Iterable[str]) -> None:
    """The rows, tab-separated, below their names; what was said above them, in lines that begin with `#`."""
    lines = [*(f"# {line}" for line in said), "\t".join(COLUMNS), *("\t".join(row) for row in table)]
    with replacing(file) as partial:
        partial.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def shown(table: Sequence[Sequence[str]], said: Iterable[str]) -> str:
    """For the terminal."""
    more = [f"… and {len(table) - SHOWN} more songs"] if len(table) > SHOWN else []
    first = [[*row[:-1], size(int(row[-1]))] for row in table[:SHOWN]]
    return "\n".join([aligned([COLUMNS, *first]), *more, "", *said])
