# What a run does before its first job and after its last.
from unbraid import lock, store


# Before the first job, and so neither in a dry run nor in a remote job.
onstart:
    try:
        lock.hold(Path(".snakemake/unbraid.lock"))
    except UnbraidError as error:
        raise WorkflowError(str(error)) from None
    expect()


def uses_of(jobs):
    """The keys of the store that the songs were made of which these jobs delivered: (key, song, there before)."""
    songs = {job.wildcards.song for job in jobs if job.rule.name.startswith("deliver_")}
    return [
        (key, song, before)
        for song in sorted(songs)
        for key, before in plan.songs[song].kept.items()
    ]


# Which keys a run used is known when it ends; a dry run ends without this.
def note_uses():
    if not settings.track_access:
        return
    try:
        store.record(Path(settings.store), uses_of(workflow.dag.finished_jobs))
    except OSError as error:
        logger.warning(f"The store cannot note what was used: {error}")


onsuccess:
    note_uses()
    account()


onerror:
    note_uses()
    account()
