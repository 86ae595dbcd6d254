# Builds the plan, and the functions through which rules look things up in it; where files are is in files.smk. No rules here.
import dataclasses
import functools
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

sys.path.insert(0, str(HOME / "scripts"))

from unbraid import gates, keys, shares, targets
from unbraid.audio import formats, stem_mp4
from unbraid.errors import UnbraidError
from unbraid.backends import registry
from unbraid.page import FILE as PAGE
from unbraid.setup import config_folders, found_by_jobs, set_up, stack
from unbraid.worker import owner

if not hasattr(workflow.current_basedir, "__fspath__"):  # sources.smk
    # Snakemake copies a job's script too, and it finds the library no more beside itself.
    found_by_jobs(HOME / "scripts")

# Where a workflow that imports this one may want them (`pathvars:`).
WORK, RESULTS, LOGS = map(workflow.pathvars.apply, ["<work>", "<results>", "<logs>"])

# A remote job makes the same plan, but must find its rule even when the store has meanwhile been filled (run_note.py).
try:
    settings, plan, wanted = set_up(
        config,
        HOME,
        look=workflow.is_main_process,
        warn=logger.warning,
        results=RESULTS,
        others=[WORK, LOGS],
    )
    if workflow.is_main_process and workflow.modifier.is_main_snakefile():
        # Snakemake knows its targets only after this, when it is too late to say what was meant.
        targets.check(sys.argv[1:], plan)
except UnbraidError as error:
    raise WorkflowError(str(error)) from None

# To whom the workers that jobs start belong, and with whom they end.
owner.declare(keep=workflow.subprocess_exec)

# Scripts take from here what changes no bytes (device, folders, log level): as params it would be a reason to run again.
config.update(settings.model_dump())


# What decodes, cuts, joins and delivers; a network's job takes that of its backend.
STACK = f"../envs/{stack(settings.device)}.yaml"
CATALOGUES = config_folders(HOME)
THREADS = shares.THREADS
CONVERT = workflow.modifier.modify_rulename("convert")


wildcard_constraints:
    # Ids hold slashes. A list of them would be gone through for every file; what is no song is told by targets.check.
    song=r".+",
    key=rf"[\w.-]*{keys.pattern()}",
    part=r"\d+",
    format="|".join(formats.FORMATS),


def nothing_unless_afresh(wildcards):
    """No input; but Snakemake is told to do `convert`, and so all that follows from it, in any case: for `reuse: false`.

    It is asked while the DAG is built, which is when Snakemake has its set of forced rules.
    """
    workflow.dag.forcerules.add(workflow.get_rule(CONVERT))
    return []


def stack_of(wildcards):
    made = plan.works.get(wildcards.key) or plan.prompts[wildcards.key]
    return f"../envs/{stack(settings.device, made.model.backend)}.yaml"


# One for all, where the plan's models agree: Snakemake asks a function for each job.
STACK_OF_NETWORK = (
    STACK
    if {stack(settings.device, model.backend) for model in plan.models.values()}
    <= {stack(settings.device)}
    else stack_of
)


def told(find):
    """A param that is no reason to run again: what of it changes bytes is in the job's key.

    Snakemake takes a param for such when its function asks for the outputs. All are plain values, never an object of the
    plan: to read one, a job would have to import the plan and all that it is made with.
    """
    return lambda wildcards, output: find(wildcards)


# One function per rule and directive, since Snakemake calls each for every job, several times.
def convert_task(wildcards):
    mix = plan.mixes[wildcards.key]
    return {
        "song": mix.song,
        "path": mix.path,
        "digest": mix.sha256,
        "problem": mix.problem,
        "start": mix.start,
        "end": mix.end,
    }


def have_task(wildcards):
    have = plan.haves[wildcards.key]
    return {
        "song": have.song,
        "path": have.path,
        "digest": have.sha256,
        "column": have.column,
        "start": have.start,
        "end": have.end,
        "seconds": have.seconds,
        "problem": have.problem,
    }


def segment_input(wildcards):
    segments = plan.segments[wildcards.key]
    return {
        "sources": inputs_among([source_file(source) for source in segments.sources]),
        "mix_info": mix_file(segments.mix, "mix.json"),
    }


def segment_task(wildcards):
    segments = plan.segments[wildcards.key]
    return {
        "song": segments.song,
        "sources": linear(segments.sources),
        "rate": segments.rate,
        "channels": segments.channels,
        "count": segments.count,
    }


def separate_input(wildcards):
    separation = plan.works[wildcards.key]
    key, model = separation.segments.key, separation.model
    files = {"mix": segment_file(key), "info": segment_file(key, "mix.json")}
    if model.weights and not is_unreadable(separation):
        files |= model_inputs(model)
    if separation.prompt and not is_unreadable(separation):
        files["prompt"] = prompt_file(separation.prompt)
    return files


def separate_task(wildcards):
    separation, share = plan.works[wildcards.key], share_of(wildcards)
    return {
        **network_task(separation),
        "song": separation.segments.song,
        "segments": separation.segments.count,
        "warm": is_warm(separation.model),
        "threads": share.threads,
        "joint": share.joint,
    }


@functools.cache
def model_fields(name):
    return dataclasses.asdict(plan.models[name])


def network_task(separation):
    return {
        "model": model_fields(separation.model.name),
        "settings": separation.settings,
    }


def is_warm(model):
    return settings.worker and registry.find(model.backend).warm


def prompt_input(wildcards):
    return model_inputs(plan.prompts[wildcards.key].model)


def prompt_task(wildcards):
    return network_task(plan.prompts[wildcards.key])


def merge_input(wildcards):
    separation = plan.separations[wildcards.key]
    parts = [
        f"{WORK}/separated/{separation.work}/{part}"
        for part in range(separation.segments.count)
    ]
    return {
        "parts": [f"{part}.wav" for part in parts],
        "reports": [f"{part}.json" for part in parts],
        "info": segment_file(separation.segments.key, "mix.json"),
    }


def merge_task(wildcards):
    separation = plan.separations[wildcards.key]
    return {
        "song": separation.segments.song,
        "model": separation.model.name,
        "licence": separation.model.licence,
        "key": separation.key,
        "content": separation.content,
        "settings": separation.settings,
    }


# Snakemake's time grows with the files that jobs name, so where one can stand for several (`awaited_file`, `delivery_file`)
# it does.
def deliver_input(wildcards):
    planned = plan.songs[wildcards.song]
    sources = [source for terms in planned.stems.values() for source in terms]
    return {
        "sources": inputs_among(dict.fromkeys(map(awaited_file, sources))),
        "mix_info": mix_file(planned.mix.key, "mix.json"),
    }


def named_input():
    return [
        file
        for song in wanted
        for file in (
            *delivered_files(song).values(),
            f"{RESULTS}/{song}/provenance.json",
        )
    ]


def named_facts():
    return {
        song: [plan.songs[song].expressions, plan.songs[song].delivery]
        for song in wanted
    }


def stem_mp4_targets():
    fit = [song for song in wanted if stem_mp4.fits(plan.songs[song].stems)]
    if not fit:
        raise WorkflowError(
            f"No song's recipe has all stems of a stem file: {', '.join(stem_mp4.STEMS)}."
        )
    return [f"{RESULTS}/{song}/{stem_mp4.FILE}" for song in fit]


def stem_mp4_input(wildcards):
    planned = plan.songs[wildcards.song]
    if not stem_mp4.fits(planned.stems):
        raise WorkflowError(
            f"The recipe {planned.recipe.name!r} of {wildcards.song} lacks stems of a stem file: {', '.join(stem_mp4.STEMS)}."
        )
    sources = [source for stem in stem_mp4.STEMS for source in planned.stems[stem]]
    return {
        "sources": inputs_among(dict.fromkeys(map(awaited_file, sources))),
        "mix": mix_file(planned.mix.key),
        "mix_info": mix_file(planned.mix.key, "mix.json"),
    }


def stem_mp4_expressions(song):
    expressions = plan.songs[song].expressions
    return {stem: expressions[stem] for stem in stem_mp4.STEMS}


def stem_mp4_files(song):
    files = stem_files(song)
    return {stem: files[stem] for stem in stem_mp4.STEMS}


def ensemble_input(wildcards):
    made = plan.ensembles[wildcards.key]
    sources = [source_file(source) for member in made.members for source in member]
    return {
        "sources": inputs_among(dict.fromkeys(sources)),
        "mix_info": mix_file(made.mix, "mix.json"),
    }


def ensemble_task(wildcards):
    made = plan.ensembles[wildcards.key]
    return {
        "song": made.song,
        "members": [linear(member) for member in made.members],
        "method": made.method,
        "weights": list(made.weights),
        "key": made.key,
        "content": made.content,
    }


def deliver_task(wildcards):
    song = wildcards.song
    return {"stems": stem_files(song), "source": plan.songs[song].song.path}


def page_task(wildcards):
    """`limits`: a page tells of those that held when it was made."""
    return {"facts": song_facts(wildcards.song), "limits": settings.limits}


def stem_files(song):
    return {stem: linear(terms) for stem, terms in plan.songs[song].stems.items()}


def page_input(wildcards):
    song = wildcards.song
    return {
        "mix": mix_file(plan.songs[song].mix.key),
        "quality": quality_file(song),
        # Written after the stems that the page is made of.
        "provenance": f"{RESULTS}/{song}/provenance.json",
        "stems": delivered_inputs(song),
    }


def report_input(wildcards):
    song = wildcards.song
    return {
        "mix": mix_file(plan.songs[song].mix.key),
        "delivery": delivery_file(song),
        "manifests": inputs_among(manifest_files(song).values()),
        "stems": delivered_inputs(song),
        "haves": [have["info"] for have in have_facts(plan.songs[song].haves).values()],
        "references": [
            have_file(have.key, name)
            for have in plan.songs[song].references.values()
            for name in ("have.wav", "have.json")
        ],
    }


def have_facts(haves):
    """Stems that the user gave, by name, and where is what was made of each."""
    return {
        stem: {
            "path": have.path,
            "sha256": have.sha256,
            "key": have.key,
            "info": have_file(have.key, "have.json"),
            "audio": have_file(have.key),
        }
        for stem, have in haves.items()
    }


def song_facts(song):
    """What a report says of a song beyond what it measures: plain values, so that a change reports again."""
    planned = plan.songs[song]
    return {
        "id": planned.song.id,
        "path": planned.song.path,
        "recipe": planned.recipe.name,
        "preset": planned.preset,
        "mix": planned.mix.key,
        "content": planned.mix.content,
        "sha256": planned.mix.sha256,
        "start": planned.mix.start,
        "end": planned.mix.end,
        "delivery": planned.delivery,
        "stems": delivered_files(song),
        "haves": have_facts(planned.haves),
        "references": have_facts(planned.references),
        "expressions": planned.expressions,
    }
