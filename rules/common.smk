# Builds the plan, and the functions through which rules look things up in it. No rules here.
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

sys.path.insert(0, str(Path(workflow.basedir) / "scripts"))

from unbraid import keys
from unbraid.errors import UnbraidError
from unbraid.setup import set_up, stack

# A remote job makes the same plan, but must find its rule even when the store has meanwhile been filled.
try:
    settings, plan, wanted = set_up(
        config, Path(workflow.basedir), look=workflow.is_main_process, warn=logger.warning
    )
except UnbraidError as error:
    raise WorkflowError(str(error)) from None

if not settings.reuse:
    workflow.dag_settings.forcerun = {*workflow.dag_settings.forcerun, "convert"}

WORK, RESULTS, LOGS = "work", "results", "logs"
STEMS = f"{settings.store}/stems"
STACK = f"../envs/{stack(settings.device)}.yaml"
GPU = 0 if settings.device == "cpu" else 1


wildcard_constraints:
    # Song ids hold slashes, and delivered files lie below them: only ids of the plan are songs.
    song=keys.one_of(list(plan.songs)),
    key=rf"[\w-]*{keys.pattern()}",
    part=r"\d+",
    format="wav|flac",


def model_file(name):
    return f"{settings.models}/{name}/model.json"


def mix_file(key, name="mix.wav"):
    return f"{WORK}/mix/{key}/{name}"


def source_file(source):
    return mix_file(source.key) if source.is_mix else f"{STEMS}/{source.key}/{source.stem}.wav"


def source_files(sources):
    return [source_file(source) for source in sources]


def model_files(separation):
    return [model_file(separation.model.name)] if separation.model.weights else []


def delivered_files(song, file_format):
    stems = plan.songs[song].stems
    return {stem: f"{RESULTS}/{song}/{stem}.{file_format}" for stem in stems}


def song_targets(song):
    delivered = delivered_files(song, settings.format)
    return [*delivered.values(), f"{RESULTS}/{song}/qc.json", f"{RESULTS}/{song}/provenance.json"]


def expressions(song):
    """Each stem's sources as plain values: rules keep them as params, so that a changed recipe delivers again."""
    return {
        stem: [[source.coefficient, source.key, source.stem] for source in sources]
        for stem, sources in plan.songs[song].stems.items()
    }


def needed(song):
    """The files of all sources of a song's stems, each once, in a fixed order."""
    sources = [source for terms in plan.songs[song].stems.values() for source in terms]
    return list(dict.fromkeys(source_files(sources)))


def parts(separation, extension):
    return [f"{WORK}/separated/{separation.work}/{part}.{extension}" for part in range(separation.segments.count)]


def delivery_file(song):
    return f"{WORK}/delivered/{song}.{settings.format}.{plan.songs[song].recipe.name}.json"


def manifest_files(song):
    return {step: f"{STEMS}/{made.key}/manifest.json" for step, made in plan.songs[song].separations.items()}


def song_facts(song):
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
    }
