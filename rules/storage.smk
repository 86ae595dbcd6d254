# Runs whose files a storage carries from job to job (profiles/kubernetes). Songs, models and the store are then on a volume that
# all jobs have, and no job's inputs: Snakemake would look for them in the storage. No rules here.
from snakemake_interface_executor_plugins.settings import SharedFSUsage

from unbraid import run_note

STORAGE = workflow.storage_settings.default_storage_provider is not None

if STORAGE:
    if workflow.is_main_process:
        run_note.share(settings.store)

    envvars:
        run_note.PLACE,


def inputs_among(files):
    """Those that are a job's inputs, of the files that it needs."""
    shared = f"{settings.store}/"
    return [file for file in files if not (STORAGE and file.startswith(shared))]


def model_inputs(model):
    if not STORAGE:
        return {"model": ancient(model_file(model.name))}
    if workflow.is_main_process and not Path(model_file(model.name)).exists():
        raise WorkflowError(
            f"The model {model.name} is not in {settings.models}, and a job whose files a storage carries fetches none. Run"
            " `snakemake models` first, with the same models=."
        )
    return {}


def check_places(songs):
    """Of jobs that share no working directory with this run, which must find songs, models and the store where it does."""
    shares = SharedFSUsage.INPUT_OUTPUT in workflow.storage_settings.shared_fs_usage
    places = {"models": settings.models, "store": settings.store}
    for song in songs:
        made = plan.songs[song]
        places[f"the song {song}"] = made.song.path
        for name, one in (made.haves | made.references).items():
            places[f"the stem {name} of {song}"] = one.path
    for what, place in places.items():
        if not shares and not Path(place).is_absolute():
            raise WorkflowError(
                f"{what} is at {place!r}, and pods do not share this folder. Set songs=, models= and store= to folders of a"
                " volume that all of them have, from the root (profiles/kubernetes/README.md)."
            )


def delivered_inputs(song):
    """The delivered files, where a job must name them to have them: elsewhere one file stands for all (`delivery_file`)."""
    return list(delivered_files(song).values()) if STORAGE else []


def facts_of_old(wildcards):
    """For what must not outlive a report: a job on this machine deletes it (stages/report.py), one in a pod cannot."""
    return song_facts(wildcards.song) if STORAGE else None
