"""What became of the songs of a run: `results/summary.tsv`, and a few lines for the terminal."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unbraid import gates, workload
from unbraid.errors import UnbraidError
from unbraid.files import read_json, replacing
from unbraid.forecast import Expected
from unbraid.measured import Ran
from unbraid.plan import Plan
from unbraid.plan_table import UNKNOWN, duration
from unbraid.tables import aligned
from unbraid.workload import Job

COLUMNS = (
    *(
        "song",
        "status",
        "audio_seconds",
        "wall_seconds",
        "real_time_factor",
        "cached_share",
        "estimated_seconds",
        "sdr",
        "warnings",
        "reason",
    ),
)
TOLD = 20
"""Failed songs, and warnings, that the terminal tells of; the file has all."""
SILENT = "It ended without a word; it may have been killed, perhaps for want of memory. Run again."
ERROR = " ERROR "  # before the message in a job's log


@dataclass(frozen=True)
class Outcome:
    """Of one song. status: ok, failed, or skipped (the run ended before it was done). audio, wall: seconds, wall being the
    sum of its own jobs'. cached: the share of its keys that the store held before. estimated: seconds; None if unknown.
    measured: whether what its qc.json says is of this run. sdr: in dB, of each stem whose true stem was given.
    warnings: of the quality gates."""

    song: str
    status: str
    audio: float
    wall: float
    cached: float
    estimated: float | None
    measured: bool
    sdr: Mapping[str, float | None]
    warnings: Sequence[str]
    reason: str


def outcomes(
    plan: Plan,
    expected: Mapping[str, Expected],
    wanted: Iterable[Job],
    ran: Iterable[Ran],
    failed: Mapping[Job, str],
    results: Path | None,
    limits: gates.Limits | None,
) -> list[Outcome]:
    """Of the songs of a run, in the order of `expected`.

    wanted: the jobs that the run was to do. ran: those that came to a good end, each part of a song once. failed: the
    reasons of those that did not. results: where each song's qc.json is, if that is to be had here. limits: of the quality gates.
    """
    users = workload.needed(plan, expected)
    wall: dict[str, float] = defaultdict(float)
    finished: set[Job] = set()
    for one in ran:
        finished.add(one.job)
        if one.job in users:
            wall[users[one.job][0]] += one.seconds
    reasons = {song: reason for job, reason in failed.items() for song in users.get(job, ())}
    unfinished = {song for job in wanted if job not in finished for song in users.get(job, ())}

    def outcome(song: str) -> Outcome:
        status = "failed" if song in reasons else "skipped" if song in unfinished else "ok"
        kept = plan.songs[song].kept.values()
        reason = reasons.get(song, "The run ended before it was done." if status == "skipped" else "")
        cached = sum(kept) / len(kept) if kept else 1.0
        audio = plan.songs[song].mix.duration
        # What lies there of a song that was not measured now may be of an earlier run.
        measured = ("report", song) in finished or ("passed", song) in failed
        found = read(results / song / "qc.json") if measured and results else {}
        sdr = {stem: score["sdr"] for stem, score in found.get("metrics", {}).items()}
        warnings = gates.judge(found, limits)
        return Outcome(song, status, audio, wall[song], cached, expected[song].seconds, measured, sdr, warnings, reason)

    return [outcome(song) for song in expected]


def read(file: Path) -> dict[str, Any]:
    """What a report of a song says; nothing where it cannot be read, as when a run did not ask for it."""
    try:
        found: dict[str, Any] = read_json(file)
    except (OSError, ValueError):
        return {}
    return found


def reason(log: Path) -> str:
    """Why a job failed: the last error in its log, without its song, which the reader knows."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return f"{SILENT} It left no log at {log}."
    _, found, message = text.rpartition(ERROR)
    if not found:
        return f"{SILENT} Its log is {log}."
    return re.sub(r"^song '[^']*', ", "", " ".join(message.split()))


def reasons(logs: Mapping[Job, Path], since: float) -> dict[Job, str]:
    """Why jobs failed that went as one: of those whose logs tell of an error, the latest last; of all, where none does.

    since: seconds since 1970; a log from before that is of another run.
    """
    told = {
        job: reason(log) if _changed(log) >= since else f"{SILENT} It left no log at {log}."
        for job, log in sorted(logs.items(), key=lambda entry: _changed(entry[1]))
    }
    errors = {job: text for job, text in told.items() if not text.startswith(SILENT)}
    return errors or told


def _changed(log: Path) -> float:
    try:
        return log.stat().st_mtime
    except OSError:
        return 0.0


def write(file: Path, found: Iterable[Outcome]) -> None:
    """A line for each song, tab-separated, below the names of the columns."""
    lines = ["\t".join(COLUMNS), *("\t".join(_row(one)) for one in found)]
    with replacing(file) as partial:
        partial.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _row(one: Outcome) -> tuple[str, ...]:
    return (
        one.song,
        one.status,
        f"{one.audio:.1f}",
        f"{one.wall:.1f}",
        # Of what was done in part, now or before, it would say nothing.
        f"{one.audio / one.wall:.2f}" if one.wall and one.status == "ok" else "",
        f"{one.cached:.2f}",
        UNKNOWN if one.estimated is None else f"{one.estimated:.1f}",
        " ".join(f"{stem}={UNKNOWN if level is None else f'{level:.2f}'}" for stem, level in one.sdr.items()),
        " ".join(one.warnings),
        one.reason,
    )


def told(found: Iterable[Outcome], seconds: float, estimated: float | None, file: Path) -> list[str]:
    """The totals, and why songs failed. seconds: that the run took; estimated: that it was expected to."""
    given = list(found)
    bad = [one for one in given if one.status == "failed"]
    good = [one for one in given if one.status != "failed"]  # of others the reason says so already
    counts = [
        f"{count} {status}"
        for status in ("ok", "failed", "skipped")
        if (count := sum(one.status == status for one in given))
    ]
    guess = f"estimated {duration(estimated)}" if estimated is not None else "no estimate"
    lines = [f"Songs: {', '.join(counts)}; took {duration(seconds)} ({guess}). See {file}."]
    lines += _first([f"Failed: {one.song}: {one.reason}" for one in bad], "failed songs")
    return lines + _first(
        [f"Warning: {one.song}: {' '.join(one.warnings)}" for one in good if one.warnings], "warnings"
    )


def _first(lines: list[str], what: str) -> list[str]:
    return lines[:TOLD] + ([f"… and {len(lines) - TOLD} more {what}"] if len(lines) > TOLD else [])


def shown(file: Path) -> str:
    """The summary of the last run, for the terminal. Raises: UnbraidError when there was none."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise UnbraidError(
            f"There is no {file}.", remedy="It is written at the end of a run that makes songs."
        ) from None
    return aligned([line.split("\t") for line in lines])
