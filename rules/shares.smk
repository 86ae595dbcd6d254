# What a separation is given of this machine: cores, GPUs, and what of them others may have beside it. No rules here.
import functools

from unbraid import shares


# Snakemake knows where jobs run, and with how many cores, only when it makes the DAG.
def cores():
    """Those that this run was given of this machine; where its jobs are sent elsewhere, those of each separation."""
    return (workflow.local_exec and workflow.resource_settings.cores) or THREADS


@functools.cache
def share_of_key(key):
    separation = plan.works[key]
    segments = separation.segments
    return shares.share(
        separation.model.backend,
        separation.settings,
        settings.device,
        here=workflow.local_exec,
        warm=is_warm(separation.model),
        seconds=plan.mixes[segments.mix].duration / segments.count,
        cores=cores(),
        only=len(kinds_of_workers()) <= 1,
        gpus=max(1, (limit_of("gpu_percent") or 100) // 100),
    )


@functools.cache
def kinds_of_workers():
    """What is left to separate of the songs needs these."""
    made = [one for song in wanted for one in plan.songs[song].separations.values()]
    return {
        (one.model.name, one.settings.get("engine"), one.settings.get("precision"))
        for one in made
        if not one.complete
    }


def limit_of(resource):
    """Of this run, as its profile or command line has it; None where it has none."""
    given = workflow.global_resources.get(resource)
    value = getattr(given, "value", given)
    return None if value is None else int(value)


def on_gpu():
    """GPUs that what runs a network asks for."""
    return int(shares.uses_gpu(settings.device, here=workflow.local_exec))


def share_of(wildcards):
    return share_of_key(wildcards.key)
