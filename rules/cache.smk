# What the store holds: targets to ask for by name. They make no files.
rule cache_list:
    log:
        f"{LOGS}/cache_list.log",
    conda:
        STACK
    threads: 1
    resources:
        mem_mb=500,
    message:
        "The store"
    script:
        "../scripts/cache_list.py"


rule cache_verify:
    log:
        f"{LOGS}/cache_verify.log",
    conda:
        STACK
    threads: 1
    resources:
        mem_mb=500,
    message:
        "Verifying the store"
    script:
        "../scripts/cache_verify.py"


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


onerror:
    note_uses()
