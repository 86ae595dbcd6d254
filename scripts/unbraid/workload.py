"""What there is to do for songs: their jobs, how much work each is, and the files that it makes. From the plan alone."""

from collections.abc import Iterable

from unbraid.plan import Mix, Plan, PlannedSong, Segments

SAMPLE = 4
"""Bytes of a sample between the stages, which is float32."""
DELIVERED = {"16": 2, "24": 3, "float": 4, "auto": 4}
"""Bytes of a sample of a delivered file at the most: `auto` may come to a float."""
PAGE, PICTURES = 32_000, 300_000
"""Bytes of a page, for each second of a song, which its tracks' previews share, and for what else is on it."""

Job = tuple[str, str]  # (stage, what it is of: a song or a key)


def planned(plan: Plan, songs: Iterable[str], delivered: Iterable[str]) -> list[Job]:
    """The jobs of a run for these songs, but for those that are delivered already."""
    done = set(delivered)
    jobs: dict[Job, None] = {}
    for name in songs:
        if name in done:
            continue
        song = plan.songs[name]
        jobs["convert", song.mix.key] = None
        jobs |= {("have", have.key): None for have in (*song.haves.values(), *song.references.values())}
        for separation in song.separations.values():
            if not separation.complete:
                jobs["segment", separation.segments.key] = None
                jobs["separate", separation.work] = None
                jobs["merge", separation.key] = None
        for ensemble in song.ensembles.values():
            if not ensemble.complete:
                jobs["ensemble", ensemble.key] = None
        jobs["deliver", name] = None
        jobs["report", name] = None
        if song.page:
            jobs["page", name] = None
    return list(jobs)


def needed(plan: Plan, songs: Iterable[str]) -> dict[Job, list[str]]:
    """The songs that need each job; a run does it for the first of them, and the others have it."""
    users: dict[Job, list[str]] = {}
    for name in songs:
        for job in _jobs(plan.songs[name], name):
            users.setdefault(job, []).append(name)
    return users


def _jobs(song: PlannedSong, name: str) -> dict[Job, None]:
    jobs: dict[Job, None] = {("convert", song.mix.key): None, ("deliver", name): None, ("report", name): None}
    for made in song.separations.values():
        if made.complete:
            continue
        jobs |= {("model", made.model.name): None, ("segment", made.segments.key): None}
        jobs |= {("separate", made.work): None, ("merge", made.key): None}
        if made.prompt:
            jobs["prompt", made.prompt] = None
    jobs |= {("ensemble", made.key): None for made in song.ensembles.values() if not made.complete}
    jobs |= {("have", have.key): None for have in (*song.haves.values(), *song.references.values())}
    return {**jobs, ("preview", name): None, ("page", name): None, ("passed", name): None, ("stem", name): None}


def size(plan: Plan, job: Job) -> tuple[str, float]:
    """The kind of a job's work, and how much it is: million samples that it reads or writes.

    For the stages around the network, whose time goes with that (a prompt counts 1); ("", 0) for others, and for songs of
    unknown length.
    """
    stage, name = job
    if stage == "convert":
        return "", samples(plan.mixes[name]) / 1e6
    if stage == "have":
        return "", samples(plan.mixes[plan.haves[name].mix]) / 1e6
    if stage == "segment":
        segments = plan.segments[name]
        kind = "as it is" if _unchanged(plan, segments) else "made"
        return kind, samples(plan.mixes[segments.mix]) * len(segments.sources) / 1e6
    if stage == "merge":
        made = plan.separations[name]
        mix = plan.mixes[made.segments.mix]
        kind = "resampled" if made.model.rate not in (None, mix.rate) else ""
        return kind, samples(mix) * len(made.model.stems) / 1e6
    if stage == "ensemble":
        ensemble = plan.ensembles[name]
        return ensemble.method, samples(plan.mixes[ensemble.mix]) * len(ensemble.members) / 1e6
    if stage == "deliver":
        song = plan.songs[name]
        return song.format, samples(song.mix) * len(song.stems) / 1e6
    if stage in ("report", "page"):
        return "", samples(plan.songs[name].mix) * (1 + len(plan.songs[name].stems)) / 1e6
    if stage == "prompt":
        return plan.prompts[name].model.name, 1.0
    return "", 0.0


def samples(mix: Mix) -> float:
    return mix.duration * mix.rate * mix.channels


def stored(plan: Plan, job: Job) -> float:
    """Bytes that a job adds to the store."""
    stage, name = job
    if stage == "merge":
        made = plan.separations[name]
        return samples(plan.mixes[made.segments.mix]) * SAMPLE * len(made.model.stems)
    if stage == "ensemble":
        return samples(plan.mixes[plan.ensembles[name].mix]) * SAMPLE
    return 0.0


def passing(plan: Plan, job: Job) -> float:
    """Bytes that a job puts into work/, where they lie until the song is done with them."""
    stage, name = job
    if stage == "convert":
        return samples(plan.mixes[name]) * SAMPLE
    if stage == "have":
        return samples(plan.mixes[plan.haves[name].mix]) * SAMPLE
    if stage == "segment":
        segments = plan.segments[name]
        return 0.0 if _unchanged(plan, segments) else _shown(plan, segments)  # else it is a hard link
    if stage == "separate":
        made = plan.works[name]
        return _shown(plan, made.segments) * len(made.model.stems)
    return 0.0


def delivered(plan: Plan, job: Job, bit_depth: str) -> float:
    """Bytes that a job puts into results/; no format takes more."""
    stage, name = job
    if stage == "deliver":
        song = plan.songs[name]
        return samples(song.mix) * len(song.stems) * DELIVERED[bit_depth]
    return plan.songs[name].mix.duration * PAGE + PICTURES if stage == "page" else 0.0


def _shown(plan: Plan, segments: Segments) -> float:
    """Bytes of a separation's input."""
    mix = plan.mixes[segments.mix]
    return mix.duration * (segments.rate or mix.rate) * (segments.channels or mix.channels) * SAMPLE


def _unchanged(plan: Plan, segments: Segments) -> bool:
    mix, sources = plan.mixes[segments.mix], segments.sources
    same = segments.rate in (None, mix.rate) and segments.channels in (None, mix.channels)
    return same and len(sources) == 1 and sources[0].coefficient == 1
