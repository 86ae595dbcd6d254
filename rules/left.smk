# Jobs that a killed run has left on a cluster: they take nothing from the run that has begun since. Where they do not inherit the
# run's environment (pods) nobody knows them. No rules here.
import os
import sys

from snakemake.jobs import Job

from unbraid import run_note
from unbraid.errors import UnbraidError

prepare_job, clean_up_after_job = Job.prepare, Job.cleanup


def end_if_left():
    """At once: whatever Snakemake does before its end may remove a file."""
    try:
        run_note.check()
    except UnbraidError as error:
        print(error, file=sys.stderr, flush=True)
        os._exit(1)


async def prepare_unless_left(job):
    end_if_left()
    await prepare_job(job)


async def clean_up_unless_left(job, *arguments, **options):
    end_if_left()
    await clean_up_after_job(job, *arguments, **options)


if workflow.remote_exec and workflow.modifier.is_main_snakefile():
    Job.prepare, Job.cleanup = prepare_unless_left, clean_up_unless_left
