# Songs that share an allocation (`--group-components song=20`): one that fails stops no other, and takes nothing from it. To
# Snakemake they are one job, which fails as a whole. No rules here.
import sys
from pathlib import Path

from snakemake.dag import DAG
from snakemake.jobs import Job

from unbraid import run_note
from unbraid.job import took


def ended_well(job):
    """Whether a job that shared its allocation came to its end, in this run: its log says so.

    The times are those of one file system, so that no clock of another machine is asked.
    """
    log, begun = Path(job.log[0]) if job.log else None, run_note.begun()
    try:
        return bool(
            log and begun and log.stat().st_mtime >= begun and took(log) is not None
        )
    except OSError:
        return False


def finished_jobs():
    """Those of this run, and of allocations that failed those that came to their end."""
    yield from workflow.dag.finished_jobs
    for failed in workflow.scheduler.failed:
        if failed.is_group():
            yield from filter(ended_well, failed)


remove_outputs = Job.cleanup


async def remove_outputs_unless_whole(job, skip_outputs):
    """What Snakemake does with each job of an allocation that failed."""
    if workflow.dag.get_job_group(job) is None or not ended_well(job):
        await remove_outputs(job, skip_outputs)


update_groups = DAG.update_groups


def update_groups_of_allocation(dag):
    """In an allocation, which is not told of these settings: without the first, each song is a step of it, with a Snakemake of
    its own to start; without the second, a song that fails is the last."""
    dag.workflow.group_settings.group_components = dict.fromkeys(GROUPS, sys.maxsize)
    dag.workflow.execution_settings.keep_going = True
    update_groups(dag)


if SENT and workflow.modifier.is_main_snakefile():
    Job.cleanup = remove_outputs_unless_whole
if workflow.remote_exec and workflow.modifier.is_main_snakefile():
    DAG.update_groups = update_groups_of_allocation
