# What a run does before its first job and after its last.
from unbraid.run import Run

this_run = Run(settings, plan, logger.warning, logger.info)


# The keys that these jobs put into the store.
def published_by(jobs):
    rules = ("merge_", "ensemble")
    return {job.wildcards.key for job in jobs if job.rule.name.startswith(rules)}


# What lists, cleans or plans does not: it may go on beside a run in the same working directory.
def works_on_songs(jobs):
    return any(map(job_of, jobs))


# Before the first job, and so neither in a dry run nor in a remote job.
onstart:
    # What limits the jobs of a second looks again after one, and Snakemake waits for that at its end. Jobs of this machine
    # are limited by its cores.
    if workflow.local_exec:
        workflow.scheduler.job_rate_limiter = None
    if SENT and arrays():
        # The plugin (2.8.0) breaks the lines of an array's script, so that each task does the job of the first.
        workflow.executor_settings.pass_command_as_script = False
    jobs = list(workflow.dag.needrun_jobs())
    if not works_on_songs(jobs):
        return
    check_places(
        song
        for stage, song in filter(None, map(job_of, jobs))
        if stage == "deliver"
    )
    try:
        this_run.begin(
            published_by(jobs),
            delivered_by(jobs),
            limits=None if workflow.local_exec else limits_of_allocation(),
        )
    except UnbraidError as error:
        raise WorkflowError(str(error)) from None
    expect()


# The songs of which these jobs delivered.
def delivered_by(jobs):
    known = filter(None, map(job_of, jobs))
    return sorted({song for stage, song in known if stage in ("deliver", "stem")})


def end():
    if this_run.began:
        jobs = finished_jobs()
        this_run.end(delivered_by(jobs))
        account(jobs)


onsuccess:
    end()


onerror:
    end()
