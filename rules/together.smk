# Songs that share an allocation (`--group-components song=20`): one that fails stops no other, and takes nothing from it. To
# Snakemake they are one job, which fails as a whole. No rules here.
import os
import sys
from pathlib import Path

from snakemake.dag import DAG
from snakemake.jobs import GroupJob, Job

from unbraid import run_note
from unbraid.job import took


def limits_of_allocation():
    """As the profile has them; Snakemake tells no allocation of them."""
    names = "gpu", "machine_percent", "lanes"
    return {name: limit_of(name) for name in names if limit_of(name) is not None}


# Of allocations that failed, the jobs that came to their end.
whole = set()


def written(job):
    """When a job's log was written last. Of a network file system, the folder is asked too: it may not know of the log yet."""
    log = Path(job.log[0])
    os.listdir(log.parent)
    return log.stat().st_mtime


def ended_well(job, group):
    """Whether a job came to its end, in this run and after those of its group whose files it takes: their logs say so.

    By the times of the file system that all of them share.
    """
    try:
        ended = written(job)
        before = [one for one in workflow.dag.dependencies[job] if one in group]
        begun = max([run_note.begun(), *map(written, before)])
        return ended >= begun and took(Path(job.log[0])) is not None
    except OSError:
        return False


finish_group, remove_outputs = GroupJob.postprocess, Job.cleanup


async def finish_group_by_its_jobs(group, error=False, **options):
    whole.difference_update(group)
    if error:
        members = set(group)
        whole.update(job for job in members if ended_well(job, members))
    await finish_group(group, error=error, **options)


async def remove_outputs_unless_whole(job, skip_outputs):
    if job not in whole:
        await remove_outputs(job, skip_outputs)


def finished_jobs():
    """Those of this run, and of allocations that failed those that came to their end."""
    failed = {
        job for group in workflow.scheduler.failed if group.is_group() for job in group
    }
    return [*workflow.dag.finished_jobs, *(whole & failed)]


update_groups = DAG.update_groups


def update_groups_of_allocation(dag):
    """In an allocation, which is told of none of this. Otherwise each song is a step of it, with a Snakemake of its own to start;
    a song that fails is the last; and a step asks for whatever the node has."""
    for name, limit in run_note.limits().items():
        workflow.register_resource(name, limit)
    workflow.group_settings.group_components = dict.fromkeys(GROUPS, sys.maxsize)
    # A pod that fails sends nothing.
    workflow.execution_settings.keep_going = not STORAGE
    update_groups(dag)


finish_job = Job.postprocess


async def finish_first_of_array(job, *arguments, **options):
    """The plugin for SLURM (2.8.0) takes the job of each task of an array for that of its first, whose files it would judge."""
    if os.environ.get("SLURM_ARRAY_TASK_ID") == os.environ.get("SLURM_ARRAY_TASK_MIN"):
        await finish_job(job, *arguments, **options)


if SENT and workflow.modifier.is_main_snakefile():
    GroupJob.postprocess = finish_group_by_its_jobs
    Job.cleanup = remove_outputs_unless_whole
    if workflow.remote_exec and "SLURM_ARRAY_TASK_ID" in os.environ:
        Job.postprocess = finish_first_of_array
if workflow.remote_exec and workflow.modifier.is_main_snakefile():
    DAG.update_groups = update_groups_of_allocation
