"""The plan: config and songs compiled into keys. Rules only look things up in it.

Pure Python; its only I/O is one memoised probe per song and given stem, a look into the folders of given stems and, where
asked, one look into the store per key.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unbraid import have, keys
from unbraid.audio import formats
from unbraid.backends import registry
from unbraid.catalogue import Model
from unbraid.config import Config
from unbraid.errors import UnbraidError
from unbraid.grid import segment_count
from unbraid.have import HAVE, Have
from unbraid.presets import Preset
from unbraid.recipes import ENSEMBLE, Ensemble, Linear, Recipe, Step, Term
from unbraid.songs import Probed, Song

Probing = Callable[[str], Probed | UnbraidError]
PREVIEWED = 120.0  # seconds of a segment that is heard before its song is done, where nothing is configured


@dataclass(frozen=True)
class Mix:
    """What `convert` makes: a window of a source. sha256 is None for a song that could not be probed.

    song: of the songs that share this mix, the first by id. content: what went into the key.
    problem: what is wrong with the song's row in the table, and what to do about it. reason: why it cannot be read.
    duration (seconds), rate (Hz), channels: by its headers, enough to estimate by; 0 for a song that could not be probed.
    """

    key: str
    content: dict[str, Any]
    song: str
    path: str
    sha256: str | None
    start: float | None
    end: float | None
    duration: float
    problem: tuple[str, str] | None
    rate: int = 0
    channels: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Source:
    """One file of a linear combination at the song's own rate: the mix of a key, a stem of a stored key, or one that was given."""

    coefficient: int
    key: str
    stem: str

    @property
    def is_mix(self) -> bool:
        return self.stem == "mix"


@dataclass(frozen=True)
class Segments:
    """What `segment` makes: a linear combination of files in one model format, cut into `count` segments."""

    key: str
    song: str
    mix: str
    sources: tuple[Source, ...]
    rate: int | None
    channels: int | None
    count: int


@dataclass(frozen=True)
class Separation:
    """One application of one model: what `separate` and `merge` make.

    key: of the store. work: of the segments' parts. prompt: of what `prompt` makes, for a model that is asked in words.
    """

    key: str
    work: str
    model: Model
    segments: Segments
    settings: dict[str, Any]
    content: dict[str, Any]
    complete: bool
    prompt: str | None


@dataclass(frozen=True)
class PlannedEnsemble:
    """What `ensemble` makes: several versions of one stem, each a linear combination of files, made into one."""

    key: str
    song: str
    mix: str
    members: tuple[tuple[Source, ...], ...]
    method: str
    weights: tuple[float, ...]
    content: dict[str, Any]
    complete: bool


@dataclass(frozen=True)
class PlannedSong:
    """A song with its recipe compiled into files.

    separations, ensembles: those that it needs, by step. stems: the sources of each. haves: the stems that were given.
    references: true stems to measure against, by stem. page: whether it gets one.
    delivery: what is asked of the delivered files, as plain values: format, bit_depth, bitrate, clip.
    """

    song: Song
    recipe: Recipe
    preset: str
    delivery: dict[str, Any]
    mix: Mix
    separations: dict[str, Separation]
    ensembles: dict[str, PlannedEnsemble]
    stems: dict[str, tuple[Source, ...]]
    haves: dict[str, Have]
    references: dict[str, Have]
    page: bool

    @property
    def format(self) -> str:
        """Of its delivered files, where a target does not name another."""
        return str(self.delivery["format"])

    @property
    def expressions(self) -> dict[str, list[list[Any]]]:
        """What each stem is made of, as plain values: [coefficient, key, stem] of each source."""
        return {stem: _named(sources) for stem, sources in self.stems.items()}

    @property
    def kept(self) -> dict[str, bool]:
        """The keys of the store that the song is made of, and whether each was finished before this run."""
        made: list[Separation | PlannedEnsemble] = [*self.separations.values(), *self.ensembles.values()]
        return {one.key: one.complete for one in made}


@dataclass
class Plan:
    """Everything that rules look up, by song id and by key.

    rows: the songs as they were given, by id. probed: what was found of each file that was looked at.
    """

    songs: dict[str, PlannedSong] = field(default_factory=dict)
    mixes: dict[str, Mix] = field(default_factory=dict)
    segments: dict[str, Segments] = field(default_factory=dict)
    separations: dict[str, Separation] = field(default_factory=dict)
    ensembles: dict[str, PlannedEnsemble] = field(default_factory=dict)
    works: dict[str, Separation] = field(default_factory=dict)
    prompts: dict[str, Separation] = field(default_factory=dict)
    haves: dict[str, Have] = field(default_factory=dict)
    rows: dict[str, Song] = field(default_factory=dict)
    probed: dict[str, Probed | UnbraidError] = field(default_factory=dict)

    @property
    def models(self) -> dict[str, Model]:
        """The models that this plan uses, by name."""
        return {separation.model.name: separation.model for separation in self.separations.values()}

    @property
    def recipes(self) -> dict[str, Recipe]:
        """The recipes that this plan uses, by name."""
        return {planned.recipe.name: planned.recipe for planned in self.songs.values()}


@dataclass(frozen=True)
class Planner:
    """Compiles songs into a plan.

    model, recipe, preset: look-ups by name that raise UnbraidError for unknown ones; preset also returns the name to report.
    probe: what is known of a source file, or the error that it gave.
    complete: whether a key of the store is there whole. Remote jobs pass a function that always says no.
    results: where stems are delivered.
    """

    config: Config
    model: Callable[[str], Model]
    recipe: Callable[[str], Recipe]
    preset: Callable[[str], tuple[str, Preset]]
    probe: Probing
    complete: Callable[[str, tuple[str, ...]], bool]
    results: Path = Path("results")

    def compile(self, songs: Iterable[Song]) -> Plan:
        plan = Plan()
        for song in songs:
            plan.rows[song.id] = song
            try:
                plan.songs[song.id] = self._song(plan, song)
            except UnbraidError as error:
                if not (song.recipe or song.preset or song.prompts or song.have):
                    raise
                # The song's own choice, not the configuration's, is wrong: its first job will say so, the others go on.
                plain = dataclasses.replace(song, recipe=None, preset=None, prompts=None, have=None)
                plan.songs[song.id] = self._song(plan, plain, (error.what, error.remedy))
        return plan

    def _song(self, plan: Plan, song: Song, problem: tuple[str, str] | None = None) -> PlannedSong:
        recipe = self.recipe(song.recipe or self.config.recipe)
        preset_name, preset = self.preset(song.preset or self.config.preset)

        def probe(path: str) -> Probed | UnbraidError:
            return plan.probed.setdefault(str(path), self.probe(path))

        mix = self._mix(song, problem, probe)
        haves = have.find(song, HAVE, recipe, mix.key, probe, self.results)
        references = self._references(song, recipe, mix, probe)
        prompts = self._prompts(song, recipe)
        # After these, so that a row which is wrong in them adds nothing to the plan.
        mix = plan.mixes.setdefault(mix.key, mix)
        for one in (*haves.values(), *references.values()):
            plan.haves.setdefault(one.key, one)
        separations: dict[str, Separation] = {}
        ensembles: dict[str, PlannedEnsemble] = {}
        given = {term: Source(1, one.key, HAVE) for term, one in have.outputs(recipe, haves).items()}
        files = {Term(): Source(1, mix.key, "mix")} | given
        needed = recipe.needed(recipe.stems.keys() - haves.keys(), given.keys())
        for step in recipe.steps:
            if step.name not in needed:
                continue
            if isinstance(step, Ensemble):
                ensemble = self._ensemble(step, mix, files)
                ensembles[step.name] = plan.ensembles.setdefault(ensemble.key, ensemble)
                files = {Term(step.name, ENSEMBLE): Source(1, ensemble.key, ENSEMBLE)} | files
                continue
            model = self.model(step.model)
            segments = self._segments(mix, _sources(step.input, files), model)
            segments = plan.segments.setdefault(segments.key, segments)
            separation = self._separation(segments, model, preset, {**step.options, **prompts.get(step.name, {})}, plan)
            separations[step.name] = separation
            # What was given comes before what is made.
            files = {Term(step.name, stem): Source(1, separation.key, stem) for stem in model.stems} | files
        stems = {
            stem: (Source(1, haves[stem].key, HAVE),) if stem in haves else _sources(linear, files)
            for stem, linear in recipe.stems.items()
        }
        name = formats.of(self.config.format, Path(song.path))
        delivery = {"format": name, **self.config.delivery(name)}
        return PlannedSong(
            song,
            recipe,
            preset_name,
            delivery,
            mix,
            separations,
            ensembles,
            stems,
            haves,
            references,
            self.config.pages,
        )

    def _references(self, song: Song, recipe: Recipe, mix: Mix, probe: Probing) -> dict[str, Have]:
        """True stems are only measured against: wrong ones cost the song no stem."""
        try:
            return have.find(song, "references", recipe, mix.key, probe, self.results)
        except UnbraidError as error:
            return {"references": have.missing(song, "references", mix.key, error)}

    def _prompts(self, song: Song, recipe: Recipe) -> dict[str, dict[str, str]]:
        """The song's own prompts (or the configuration's), for the recipe's prompted steps in the order written there."""
        given = [prompt.strip() for prompt in (song.prompts or self.config.prompts).split(";") if prompt.strip()]
        if not given:
            return {}
        prompted = [step.name for step in recipe.steps if isinstance(step, Step) and "prompt" in step.options]
        if len(given) != len(prompted):
            raise UnbraidError(
                f"There are {len(given)} prompt(s), and the recipe {recipe.name!r} has {len(prompted)} prompted step(s).",
                remedy="Give one prompt per prompted step, separated by `;`, or write a recipe of your own.",
            )
        return {step: {"prompt": prompt} for step, prompt in zip(prompted, given, strict=True)}

    def _ensemble(self, step: Ensemble, mix: Mix, files: Mapping[Term, Source]) -> PlannedEnsemble:
        members = tuple(_sources(linear, files) for linear in step.members)
        content = {
            "members": [_named(member) for member in members],
            "method": step.method,
            "weights": list(step.weights),
        }
        key = keys.key("ensemble", content, prefix="ensemble")
        record, complete = keys.record("ensemble", content), self.complete(key, (ENSEMBLE,))
        return PlannedEnsemble(key, mix.song, mix.key, members, step.method, step.weights, record, complete)

    def _mix(self, song: Song, problem: tuple[str, str] | None, probe: Probing) -> Mix:
        probed = probe(song.path)
        reason = ""
        if problem or isinstance(probed, UnbraidError):
            reason = problem[0] if problem else str(getattr(probed, "what", ""))
            # Its job fails with the reason; the key only has to be the same wherever this plan is made.
            content: dict[str, Any] = {"unreadable": song.id}
            sha256, duration, rate, channels = None, 0.0, 0, 0
        else:
            # Not how damage is taken: a damaged song completes no key but with `truncated: accept`.
            content = {"source": probed.sha256, "start": song.start or None, "end": song.end}
            stop = probed.duration if song.end is None else min(song.end, probed.duration)
            sha256, duration = probed.sha256, max(0.0, stop - (song.start or 0.0))
            rate, channels = probed.rate, min(probed.channels, 2)
        key = keys.key("convert", content)
        record = keys.record("convert", content)
        return Mix(
            key, record, song.id, song.path, sha256, song.start, song.end, duration, problem, rate, channels, reason
        )

    def _segments(self, mix: Mix, sources: tuple[Source, ...], model: Model) -> Segments:
        config = self.config
        seconds = None if config.segment_seconds == "auto" else config.segment_seconds
        shortest, longest = config.segment_min, config.segment_max
        if registry.find(model.backend).previewed:
            shortest, longest = min(shortest, PREVIEWED / 2), min(longest, PREVIEWED)
        count = segment_count(mix.duration, seconds, shortest, longest, config.max_segments)
        content = {**_format(sources, model), "segments": count}
        return Segments(keys.key("segment", content), mix.song, mix.key, sources, model.rate, model.channels, count)

    def _separation(
        self, segments: Segments, model: Model, preset: Preset, options: dict[str, Any], plan: Plan
    ) -> Separation:
        settings = self._settings(model, preset, options)
        content = {
            "stages": {stage: keys.STAGE_VERSIONS[stage] for stage in ("convert", "segment", "separate")},
            "input": _format(segments.sources, model),
            "model": {
                "backend": model.backend,
                "architecture": model.architecture,
                "weights": list(model.identity),
                "mixing": [list(row) for row in model.mixing] if model.mixing else None,
                "segment": model.segment,
                "stems": list(model.stems),
                "parameters": model.parameters,
            },
            "settings": settings,
        }
        key = keys.key("merge", content, prefix=model.name)
        if key not in plan.separations:
            work = keys.key("separate", {"key": key, "segments": segments.count}, prefix=model.name)
            complete = self.complete(key, model.stems)
            prompt = None
            if registry.find(model.backend).encoder:
                asked = {name: settings.get(name) for name in ("prompt", "engine")}
                prompt = keys.key("prompt", {"weights": model.identity, **asked}, prefix=model.name)
            record = keys.record("merge", content)
            separation = Separation(key, work, model, segments, settings, record, complete, prompt)
            plan.separations[key] = separation
            plan.works[work] = separation
            if prompt:
                plan.prompts.setdefault(prompt, separation)
        return plan.separations[key]

    def _settings(self, model: Model, preset: Preset, options: dict[str, Any]) -> dict[str, Any]:
        """All that is asked of a separation and changes its bytes, given what its backend looks at."""
        backend = registry.find(model.backend)
        asked = preset.model_dump()
        settings = {name: asked[name] for name in backend.settings}
        if backend.seeded or settings.get("shifts"):
            settings["seed"] = self.config.seed
        if self.config.engine != "auto" and backend.engines:
            if self.config.engine not in backend.engines:
                raise UnbraidError(
                    f"The model {model.name!r} cannot be run by engine={self.config.engine}.",
                    remedy=f"The backend {model.backend} has: {', '.join(backend.engines)}. Leave engine=auto.",
                )
            settings["engine"] = self.config.engine
        return {**settings, **options}


def _named(sources: tuple[Source, ...]) -> list[list[Any]]:
    return [[source.coefficient, source.key, source.stem] for source in sources]


def _format(sources: tuple[Source, ...], model: Model) -> dict[str, Any]:
    """What decides the bytes of a model's input."""
    return {"sources": _named(sources), "rate": model.rate, "channels": model.channels}


def _sources(linear: Linear, files: Mapping[Term, Source]) -> tuple[Source, ...]:
    """The files of a linear combination. files: of each term, once."""
    # The order is the recipe's: sums of floats depend on it, and so do keys.
    return tuple(dataclasses.replace(files[term], coefficient=coefficient) for term, coefficient in linear.items())
