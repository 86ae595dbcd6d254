# What a run is expected to take, and what it took: functions for the target `plan` and the hooks. No rules here.
import functools
import os
import time
from collections import Counter
from contextlib import suppress

import psutil

from unbraid import (
    forecast,
    measured,
    overview,
    plan_table,
    room,
    speeds,
    store,
    summary,
    workload,
)
from unbraid.files import read_json
from unbraid.job import took
from unbraid.page import songs as songs_page

SUMMARY, INDEX = f"{RESULTS}/summary.tsv", f"{RESULTS}/{PAGE}"
SPEEDS = speeds.place(Path(settings.store))
# Seconds by which the clocks of machines may differ.
CLOCKS = 60
# Of the run: when its first job began, what it was to do, and what was expected of it.
expectation = {"begun": time.time(), "jobs": [], "expected": {}, "wall": None}


def machine():
    return forecast.Machine(
        cores=cores(),
        here=workflow.local_exec,
        device=settings.device,
    )


def known_speeds():
    shipped = HOME / "config" / speeds.SHIPPED
    return speeds.Speeds(speeds.read(SPEEDS), speeds.read(shipped))


def expected_of(jobs, songs, known, parts):
    return forecast.forecast(plan, jobs, songs, known, machine(), settings, parts)


def parts_left(jobs):
    """The segments of each separation that no earlier run has left in work/."""
    return {
        key: sum(
            not Path(f"{WORK}/separated/{key}/{part}.json").exists()
            for part in range(plan.works[key].segments.count)
        )
        for stage, key in jobs
        if stage == "separate" and settings.reuse
    }


def separations_of(jobs):
    made = [plan.works[key] for stage, key in jobs if stage == "separate"]
    return [separation for separation in made if not is_unreadable(separation)]


def warnings_for(jobs, expected):
    """Where a run may not fit this machine; what jobs elsewhere have is not known here."""
    needed = room.needs(expected.values(), Path(settings.store))
    fits = room.memory_warnings(separations_of(jobs)) if workflow.local_exec else []
    return [*room.disk_warnings(needed), *fits]


# Asked for by two params of one job.
@functools.cache
def planned():
    known = known_speeds()
    done = plan_table.delivered(plan, wanted) if settings.reuse else set()
    jobs = workload.planned(plan, wanted, done)
    return jobs, done, known, expected_of(jobs, wanted, known, parts_left(jobs))


def plan_rows():
    _, done, _, expected = planned()
    return plan_table.rows(plan, expected, done)


def plan_notes():
    jobs, done, known, expected = planned()
    models = {made.model.name: made.model for made in separations_of(jobs)}
    return plan_table.notes(
        expected,
        forecast.wall(expected.values(), known, machine()),
        room.needs(expected.values(), Path(settings.store)),
        machine(),
        audio=sum(plan.songs[song].mix.duration for song in expected),
        done=len(done),
        fetched=sorted(
            name
            for name, model in models.items()
            if model.weights and not Path(model_file(name)).exists()
        ),
        unreadable={
            song: made.mix.reason
            for song, made in plan.songs.items()
            if song in expected and made.mix.sha256 is None
        },
        kept=settings.keep == "all",
        borrowed=known.borrowed,
        warnings=warnings_for(jobs, expected),
    )


def job_of(job):
    """Stage, and song or key; None for what is not done for songs."""
    for wildcard in ("song", "key", "model"):
        if name := job.wildcards.get(wildcard):
            return job.rule.name.partition("_")[0], name
    return None


def expect():
    """Before the first job: what the run is to do, what that will take, and whether there is room for it."""
    jobs = [job_of(job) for job in workflow.dag.needrun_jobs()]
    # Each part of a song is a job; together they are one thing to do.
    parts = Counter(job for job in jobs if job)
    jobs = list(parts)
    songs = sorted(
        {
            name
            for stage, name in jobs
            if stage in ("deliver", "report", "page", "passed", "stem")
        }
    )
    if not songs:
        return
    known = known_speeds()
    left = {key: count for (stage, key), count in parts.items() if stage == "separate"}
    expected = expected_of(jobs, songs, known, left)
    wall = forecast.wall(expected.values(), known, machine())
    expectation.update(begun=time.time(), jobs=jobs, expected=expected, wall=wall)
    if wall is not None:
        logger.info(f"Estimated time: {plan_table.duration(wall)}.")
    for warning in warnings_for(jobs, expected):
        logger.warning(warning)


def jobs_that_ran(jobs):
    """The finished jobs, with the times that Snakemake noted: the last output of each is written last."""
    # It remembers of the last job what it knew before it.
    workflow.persistence._clear_cache()
    for job in jobs:
        if found := job_of(job):
            noted = workflow.persistence.metadata(job.output[-1])
            if not workflow.local_exec:  # Snakemake knows only when it heard of the end
                yield measured.Ran(found, 0.0, took(Path(job.log[0])) or 0.0)
            elif noted and noted.starttime and noted.endtime:
                seconds = noted.endtime - noted.starttime
                yield measured.Ran(found, noted.starttime, seconds)
            else:  # --drop-metadata
                yield measured.Ran(found, 0.0, 0.0)


def log_of(job):
    """Where a storage carries files it is fetched from there; a job that was killed has sent none."""
    log = job.log[0]
    if STORAGE:
        with suppress(WorkflowError, OSError):
            workflow.async_run(log.retrieve_from_storage())
            written = workflow.async_run(log.mtime()).storage()
            os.utime(log, (written, written))
    return Path(log)


def manifest_of(key):
    try:
        return read_json(f"{settings.store}/stems/{key}/{store.MANIFEST}")
    except (OSError, ValueError):
        return {}


def songs_shown(found):
    """Of all songs, those of this run and others, and the demo song where it was in the run."""
    outcomes = {one.song: one for one in found}
    return overview.rows(
        plan,
        dict.fromkeys([*wanted, *outcomes]),
        outcomes,
        Path(RESULTS),
        settings.limits,
    )


def account(jobs):
    """After the last job: how fast this machine was, what became of each song, and how long all of it took."""
    if not expectation["jobs"]:
        return
    ended, started = time.time(), psutil.Process().create_time()
    ran = list(jobs_that_ran(jobs))
    failed = {}
    for one in workflow.scheduler.failed:
        together = getattr(one, "jobs", [one])  # they may come in groups
        failed |= summary.reasons(
            {
                job_of(job): log_of(job)
                for job in together
                if job_of(job) and job not in whole
            },
            since=expectation["begun"] - CLOCKS,
        )
    found = summary.outcomes(
        plan,
        expectation["expected"],
        expectation["jobs"],
        ran,
        failed,
        # What lies here of songs whose files a storage carries is of some other time.
        None if STORAGE else Path(RESULTS),
        settings.limits,
    )
    try:
        summary.write(Path(SUMMARY), found)
        for line in summary.told(found, ended - started, expectation["wall"], SUMMARY):
            logger.info(line)
        if workflow.local_exec and this_run.notes:
            lines = measured.lines(
                plan,
                ran,
                expectation["begun"] - started,
                manifest_of,
                settings,
                machine(),
            )
            speeds.note(SPEEDS, lines)
    except OSError as error:
        logger.warning(f"What the run took cannot be written down: {error}")
    if STORAGE or not settings.pages:
        return
    try:
        songs_page.write(Path(INDEX), songs_shown(found))
    except OSError as error:
        logger.warning(f"The list of songs cannot be written: {error}")
