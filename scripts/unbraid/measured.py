"""What a run has measured of this machine's speed, as lines for `unbraid.speeds`."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby, pairwise
from typing import Any

from unbraid import estimates, speeds, workload
from unbraid.backends import registry
from unbraid.config import Config
from unbraid.forecast import MEASURED, Machine, share_of
from unbraid.plan import Plan
from unbraid.speeds import Line
from unbraid.workload import Job

KEPT = 4
"""Measurements of a kind that a run leaves: of its smallest and largest songs and two between, so that files stay small."""


@dataclass(frozen=True)
class Ran:
    """A job that came to a good end: when it began (seconds since 1970) and how many seconds it took, start of process and all;
    0 where that is not known."""

    job: Job
    begun: float
    seconds: float


def lines(
    plan: Plan,
    ran: Iterable[Ran],
    starting: float,
    manifest: Callable[[str], dict[str, Any]],
    config: Config,
    machine: Machine,
) -> list[Line]:
    """What the jobs of a run tell.

    starting: seconds until the first one. manifest: of a key of the store, {} for none. machine: where they ran.
    """
    given = sorted((one for one in ran if one.seconds), key=lambda one: one.begun)
    found = [_line("run", "", 1, starting)]
    for one in given:
        if one.job[0] in MEASURED:
            kind, units = workload.size(plan, one.job)
            found.append(_line(one.job[0], kind, units, one.seconds))
    parts: dict[str, list[Ran]] = defaultdict(list)
    for one in given:
        if one.job[0] == "separate":
            parts[one.job[1]].append(one)
    separate = [one for jobs in parts.values() for one in jobs]
    ready: dict[str, float] = {}  # when a worker had loaded each model
    for work, jobs in parts.items():
        made = plan.works[work]
        written = manifest(made.key)
        # Not what was separated in part by an earlier run, or by several engines, or is silent.
        alike = all(len(written.get(name, ())) == 1 for name in ("devices", "engines"))
        if len(jobs) != made.segments.count or not alike or not written.get("chunks"):
            continue
        computed = max(written["seconds"]["separate"] - written["loading"], 0.0)
        besides = max(sum(job.seconds for job in jobs) - computed, 0.0)
        if share_of(plan, made, machine, config).joint:
            computed *= sum(_alone(job, separate) for job in jobs) / sum(job.seconds for job in jobs)
        found.append(_network(made.model.name, made.segments.count, computed, written, machine.gpu))
        # The first job of a run also waits for the network to be loaded; so do those that begin meanwhile, and tell nothing.
        model, begun = made.model.name, min(job.begun for job in jobs)
        if not (config.worker and registry.find(made.model.backend).warm):
            found.append(_line("load", model, 1, besides / len(jobs)))
        elif model not in ready:
            ready[model] = begun + besides
            found.append(_line("load", model, 1, besides))
        elif begun >= ready[model]:
            found.append(_line("start", model, 1, besides / len(jobs)))
    return [line for group in _by_kind(found) for line in _spread(group)]


def _alone(job: Ran, others: Iterable[Ran]) -> float:
    """Seconds that a job would have taken without those beside it, with which it shared a worker evenly."""
    ends = {job.begun, job.begun + job.seconds}
    near = [one for one in others if one.begun < max(ends) and one.begun + one.seconds > job.begun]
    ends |= {end for one in near for end in (one.begun, one.begun + one.seconds) if min(ends) < end < max(ends)}
    return sum(
        (stop - start) / sum(one.begun <= start and stop <= one.begun + one.seconds for one in near)
        for start, stop in pairwise(sorted(ends))
    )


def _network(model: str, segments: int, seconds: float, written: dict[str, Any], gpu: bool) -> Line:
    engine, threads = written["engines"][0], max(written["threads"])
    units = estimates.rounds(written["chunks"], segments, speeds.lanes(engine, threads))
    return {
        **_line("separate", model, units, seconds),
        "settings": speeds.matter(written["settings"]),
        "gpu": gpu,
        "device": written["devices"][0],
        "engine": engine,
        "threads": threads,
        "passes": max(1, written["passes"] // max(1, written["settings"].get("shifts", 0))),
        "chunk_seconds": written["chunk_seconds"],
    }


def _line(stage: str, what: str, units: float, seconds: float) -> Line:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"time": now, "stage": stage, "what": what, "units": round(units, 4), "seconds": round(seconds, 3)}


def _by_kind(found: list[Line]) -> list[list[Line]]:
    def kind(line: Line) -> str:
        return repr([line["stage"], line["what"], *(line.get(name) for name in speeds.NETWORK)])

    return [list(group) for _, group in groupby(sorted(found, key=kind), key=kind)]


def _spread(group: list[Line]) -> list[Line]:
    """At most `KEPT` of these, from the smallest to the largest."""
    by_size = sorted(group, key=lambda line: float(line["units"]))
    if len(by_size) <= KEPT:
        return by_size
    return [by_size[round(index * (len(by_size) - 1) / (KEPT - 1))] for index in range(KEPT)]
