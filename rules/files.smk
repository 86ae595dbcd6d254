# Where each file is: the paths of what is passed on, kept, delivered and fetched, by key or song. No rules here.
def passing(path):
    """A file that only passes from stage to stage: temporary, unless all are kept."""
    return path if settings.keep == "all" else temp(path)


def model_file(name):
    return f"{settings.models}/{name}/model.json"


def mix_file(key, name="mix.wav"):
    return f"{WORK}/mix/{key}/{name}"


def have_file(key, name="have.wav"):
    return f"{WORK}/have/{key}/{name}"


def segment_file(key, name="mix.wav"):
    return f"{WORK}/segments/{key}/{name}"


def made_file(key, name):
    """A file of a key that this run makes. It goes to the store as well, but no job's output is ever there (store.py)."""
    return f"{WORK}/stems/{key}/{name}"


def complete(key):
    return (plan.separations.get(key) or plan.ensembles[key]).complete


def kept_file(key, name="manifest.json"):
    """A file of a key of the store: there, where it is complete, else where this run makes it."""
    return (
        f"{settings.store}/stems/{key}/{name}"
        if complete(key)
        else made_file(key, name)
    )


def source_file(source):
    if source.is_mix:
        return mix_file(source.key)
    if source.key in plan.haves:
        return have_file(source.key)
    return kept_file(source.key, f"{source.stem}.wav")


def awaited_file(source):
    """What says that a source is there: of a key that is complete its manifest, for all its files."""
    if source.is_mix or source.key in plan.haves or not complete(source.key):
        return source_file(source)
    return kept_file(source.key)


def delivered_files(song):
    made = plan.songs[song]
    return {stem: f"{RESULTS}/{song}/{stem}.{made.format}" for stem in made.stems}


def delivery_file(song):
    made = plan.songs[song]
    return f"{WORK}/delivered/{song}/{made.format}.{made.recipe.name}.json"


def songs_of(recipe):
    """Regular expression of the songs that a recipe is for."""
    if len(plan.recipes) == 1:
        return r".+"
    return keys.one_of(
        [song for song, made in plan.songs.items() if made.recipe.name == recipe]
    )


def manifest_files(song):
    """The manifests of all that the song's stems are made of, by step."""
    made = plan.songs[song].separations | plan.songs[song].ensembles
    return {step: kept_file(one.key) for step, one in made.items()}


def previewed(model):
    return registry.find(model.backend).previewed


def preview_files(song):
    """Of each segment that is still to be separated by a model that takes long, in songs of several segments."""
    return [
        f"{RESULTS}/{song}/preview/{step}.{part}.{stem}.flac"
        for step, made in plan.songs[song].separations.items()
        if previewed(made.model) and made.segments.count > 1 and not made.complete
        for part in range(made.segments.count)
        for stem in made.model.stems
    ]


def preview_input(wildcards):
    made = plan.songs[wildcards.song].separations[wildcards.step]
    return f"{WORK}/separated/{made.work}/{wildcards.part}.wav"


def quality_file(song):
    return f"{RESULTS}/{song}/qc.json"


def page_file(song):
    return f"{RESULTS}/{song}/{PAGE}"


def song_targets(song):
    measured = [quality_file(song), f"{RESULTS}/{song}/provenance.json"]
    return [
        *delivered_files(song).values(),
        *preview_files(song),
        *measured,
        *([page_file(song)] if settings.pages else []),
        *([f"{RESULTS}/{song}/{gates.PASSED}"] if settings.qc == "fail" else []),
    ]


def is_unreadable(separation):
    """Whether the song cannot be read: its first job will say so, and no model is fetched for it."""
    return plan.mixes[separation.segments.mix].sha256 is None


def model_targets(songs):
    made = [
        separation
        for song in songs
        for separation in plan.songs[song].separations.values()
    ]
    return sorted(
        {
            local(model_file(separation.model.name))
            for separation in made
            if separation.model.weights and not is_unreadable(separation)
        }
    )


def linear(sources):
    """A sum of files as (coefficient, file) pairs."""
    return [(source.coefficient, source_file(source)) for source in sources]


def prompt_file(key):
    return f"{WORK}/prompts/{key}.safetensors"
