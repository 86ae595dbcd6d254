# Jobs that a killed run has left on a cluster: they take nothing from the run that has begun since. Where they do not inherit the
# run's environment (pods) nobody knows them. No rules here.
from snakemake.jobs import Job

from unbraid import run_note
from unbraid.errors import UnbraidError

prepare_job, clean_up_after_job = Job.prepare, Job.cleanup


# It would remove what the job is to make.
async def prepare_unless_left(job):
    try:
        run_note.check()
    except UnbraidError as error:
        raise WorkflowError(str(error)) from None
    await prepare_job(job)


# It would remove what the job was to make, and has not.
async def clean_up_unless_left(job, *arguments, **options):
    try:
        run_note.check()
    except UnbraidError:
        return
    await clean_up_after_job(job, *arguments, **options)


if workflow.remote_exec and workflow.modifier.is_main_snakefile():
    Job.prepare, Job.cleanup = prepare_unless_left, clean_up_unless_left
