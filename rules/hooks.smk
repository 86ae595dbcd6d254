# What a run does before its first job and after its last.
from unbraid.run import Run

this_run = Run(settings, plan, logger.warning, logger.info)


# The keys that these jobs put into the store.
def published_by(jobs):
    rules = ("merge_", "ensemble")
    return {job.wildcards.key for job in jobs if job.rule.name.startswith(rules)}


# Before the first job, and so neither in a dry run nor in a remote job.
onstart:
    # What limits the jobs of a second looks again after one, and Snakemake waits for that at its end. Jobs of this machine
    # are limited by its cores.
    if workflow.local_exec:
        workflow.scheduler.job_rate_limiter = None
    jobs = list(workflow.dag.needrun_jobs())
    try:
        this_run.begin(published_by(jobs), songs=any(map(job_of, jobs)))
    except UnbraidError as error:
        raise WorkflowError(str(error)) from None
    expect()


# The songs of which these jobs delivered.
def delivered_by(jobs):
    return sorted(
        {job.wildcards.song for job in jobs if job.rule.name.startswith("deliver_")}
    )


onsuccess:
    this_run.end(delivered_by(workflow.dag.finished_jobs))
    account()


onerror:
    this_run.end(delivered_by(workflow.dag.finished_jobs))
    account()
