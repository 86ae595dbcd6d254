# What a cluster is told of a job: the others with which it shares an allocation, and what it may take. No rules here.
import re

from unbraid import allocations

MIX_OF = {key: key for key in plan.mixes}
MIX_OF |= {key: made.mix for key, made in plan.segments.items()}
MIX_OF |= {key: made.mix for key, made in plan.haves.items()}
MIX_OF |= {key: made.mix for key, made in plan.ensembles.items()}
MIX_OF |= {key: made.segments.mix for key, made in plan.works.items()}
MIX_OF |= {key: made.segments.mix for key, made in plan.separations.items()}

# `lanes` of a job: what it takes of an allocation's two (profiles/slurm, profiles/kubernetes).

# A run that sends its jobs elsewhere was told how many at a time. Others get constants: each function is called for each job.
SENT = workflow.resource_settings.nodes is not None

# Songs in several segments, each of which is long enough for an allocation of its own, on whatever node.
SPLIT = {made.segments.mix for made in plan.works.values() if made.segments.count > 1}


# What jobs that share an allocation are called.
GROUPS = ("song", "segments", "chained", "results")


def mix_of(wildcards):
    """Of a job that has a key or a song."""
    if key := wildcards.get("key"):
        return MIX_OF[key]
    return plan.songs[wildcards.song].mix.key


def allocation(split=lambda wildcards: None):
    """The group of a job: all jobs of a song are one allocation, with one warm network, unless its segments are spread over
    nodes; `split` tells which it is then.

    None where jobs run on this machine, which has no allocations.
    """

    def group(wildcards):
        return split(wildcards) if mix_of(wildcards) in SPLIT else "song"

    return group if SENT else None


def arrays():
    """The rules whose jobs are sent as arrays."""
    return getattr(workflow.executor_settings, "array_jobs", None) or ""


def segments_of(made):
    """Several segments may share an allocation (`--group-components segments=4`), but not with those that wait for them.

    No job of a group can be in an array (`--slurm-array-jobs separate`).
    """
    if {"separate", "all"} & set(re.split(r"[,;\s]+", arrays())):
        return None
    return (
        "segments"
        if all(source.is_mix for source in made.segments.sources)
        else "chained"
    )


def separate_segments(wildcards):
    return segments_of(plan.works[wildcards.key])


def preview_segments(wildcards):
    return segments_of(plan.songs[wildcards.song].separations[wildcards.step])


def results(wildcards):
    return "results"


def memory(mb):
    """A job that had too little is tried again with more."""
    return (lambda wildcards, attempt: mb * attempt) if SENT else mb


def minutes_around(wildcards, attempt):
    return allocations.around(plan.mixes[mix_of(wildcards)].duration, attempt)


def minutes_of_network(wildcards, attempt):
    made = plan.works[wildcards.key]
    return allocations.network(
        plan.mixes[made.segments.mix].duration / made.segments.count,
        attempt,
        gpu=share_of(wildcards).gpu > 0,
        slow=previewed(made.model),
        passes=allocations.passes(made.settings, len(made.model.weights)),
    )


def minutes_of_prompt(wildcards, attempt):
    return allocations.network(0, attempt, gpu=True, slow=True) * 10


def disk_of_mix(wildcards, attempt):
    return allocations.disk(plan.mixes[mix_of(wildcards)].duration, 0, attempt)


def disk_of_network(wildcards, attempt):
    segments = plan.works[wildcards.key].segments
    seconds = plan.mixes[segments.mix].duration
    return allocations.disk(seconds, seconds / segments.count, attempt)


def disk_of_stems(wildcards, attempt):
    seconds = plan.mixes[mix_of(wildcards)].duration
    return allocations.disk(seconds, seconds, attempt)


# Of jobs that share none with others; an allocation of several asks for as much as the one that needs most.
MIX_DISK, NETWORK_DISK, STEMS_DISK = (
    {"disk_mb": disk} if SENT and STORAGE else {}
    for disk in (disk_of_mix, disk_of_network, disk_of_stems)
)

# Of a stage around the network, of one with it, and of a prompt.
AROUND, NETWORK, PROMPT = (
    (minutes_around, minutes_of_network, minutes_of_prompt) if SENT else (0, 0, 0)
)
