"""The plan: config and songs compiled into keys. Rules only look things up in it.

Pure Python; its only I/O is one memoised probe per song and, where asked, one look into the store per key.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from unbraid import keys
from unbraid.catalogue import Model
from unbraid.config import Config
from unbraid.errors import UnbraidError
from unbraid.grid import segment_count
from unbraid.presets import Preset
from unbraid.recipes import Linear, Recipe, Term
from unbraid.songs import Song

MANIFEST = "manifest.json"  # written last: a key of the store is complete when it is there


class Probed(Protocol):
    """What the plan needs to know of a song (see `unbraid.audio.probe.Probe`)."""

    @property
    def sha256(self) -> str: ...
    @property
    def duration(self) -> float: ...


@dataclass(frozen=True)
class Mix:
    """What `convert` makes: a window of a source. sha256 is None for a song that could not be probed.

    song: of the songs that share this mix, the first by id. content: what went into the key.
    """

    key: str
    content: dict[str, Any]
    song: str
    path: str
    sha256: str | None
    start: float | None
    end: float | None
    duration: float


@dataclass(frozen=True)
class Source:
    """One file of a linear combination at the song's own rate: the mix of a key, or a stem of a stored key."""

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
    """One application of one model: what `separate` and `merge` make. `key` is the store's, `work` the parts'."""

    key: str
    work: str
    model: Model
    segments: Segments
    settings: dict[str, Any]
    content: dict[str, Any]
    complete: bool


@dataclass(frozen=True)
class PlannedSong:
    """A song with its recipe compiled into files: the separations it needs, by step, and the sources of each stem."""

    song: Song
    recipe: Recipe
    preset: str
    mix: Mix
    separations: dict[str, Separation]
    stems: dict[str, tuple[Source, ...]]


@dataclass
class Plan:
    """Everything that rules look up, by song id and by key."""

    songs: dict[str, PlannedSong] = field(default_factory=dict)
    mixes: dict[str, Mix] = field(default_factory=dict)
    segments: dict[str, Segments] = field(default_factory=dict)
    separations: dict[str, Separation] = field(default_factory=dict)
    works: dict[str, Separation] = field(default_factory=dict)

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
    """

    config: Config
    model: Callable[[str], Model]
    recipe: Callable[[str], Recipe]
    preset: Callable[[str], tuple[str, Preset]]
    probe: Callable[[str], Probed | UnbraidError]
    complete: Callable[[str, tuple[str, ...]], bool]

    def compile(self, songs: Iterable[Song]) -> Plan:
        plan = Plan()
        for song in songs:
            try:
                plan.songs[song.id] = self._song(plan, song)
            except UnbraidError as error:
                if song.recipe or song.preset:  # the song's own choice, not the configuration's
                    error.song = song.id
                raise
        return plan

    def _song(self, plan: Plan, song: Song) -> PlannedSong:
        recipe = self.recipe(song.recipe or self.config.recipe)
        preset_name, preset = self.preset(song.preset or self.config.preset)
        mix = self._mix(song)
        mix = plan.mixes.setdefault(mix.key, mix)
        separations: dict[str, Separation] = {}
        for step in recipe.steps:
            model = self.model(step.model)
            sources = _sources(step.input, mix, separations)
            segments = self._segments(mix, sources, model)
            segments = plan.segments.setdefault(segments.key, segments)
            separation = self._separation(segments, model, preset, plan)
            separations[step.name] = separation
        stems = {stem: _sources(linear, mix, separations) for stem, linear in recipe.stems.items()}
        return PlannedSong(song, recipe, preset_name, mix, separations, stems)

    def _mix(self, song: Song) -> Mix:
        probed = self.probe(song.path)
        if isinstance(probed, UnbraidError):
            # Its job fails with the reason; the key only has to be the same wherever this plan is made.
            content: dict[str, Any] = {"unreadable": song.id}
            sha256, duration = None, 0.0
        else:
            # Not how damage is taken: a damaged song completes no key but with `truncated: accept`.
            content = {"source": probed.sha256, "start": song.start or None, "end": song.end}
            stop = probed.duration if song.end is None else min(song.end, probed.duration)
            sha256, duration = probed.sha256, max(0.0, stop - (song.start or 0.0))
        key = keys.key("convert", content)
        return Mix(key, content, song.id, song.path, sha256, song.start, song.end, duration)

    def _segments(self, mix: Mix, sources: tuple[Source, ...], model: Model) -> Segments:
        config = self.config
        seconds = None if config.segment_seconds == "auto" else config.segment_seconds
        count = segment_count(mix.duration, seconds, config.segment_min, config.segment_max, config.max_segments)
        content = {**_format(sources, model), "segments": count}
        return Segments(keys.key("segment", content), mix.song, mix.key, sources, model.rate, model.channels, count)

    def _separation(self, segments: Segments, model: Model, preset: Preset, plan: Plan) -> Separation:
        settings: dict[str, Any] = preset.model_dump()
        if preset.shifts:
            settings["seed"] = self.config.seed
        if self.config.engine != "auto":
            settings["engine"] = self.config.engine
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
            },
            "settings": settings if model.weights else {},  # a model without weights has nothing to set
        }
        key = keys.key("merge", content, prefix=model.name)
        if key not in plan.separations:
            work = keys.key("separate", {"key": key, "segments": segments.count}, prefix=model.name)
            separation = Separation(key, work, model, segments, settings, content, self.complete(key, model.stems))
            plan.separations[key] = separation
            plan.works[work] = separation
        return plan.separations[key]


def _format(sources: tuple[Source, ...], model: Model) -> dict[str, Any]:
    """What decides the bytes of a model's input."""
    named = [[source.coefficient, source.key, source.stem] for source in sources]
    return {"sources": named, "rate": model.rate, "channels": model.channels}


def _sources(linear: Linear, mix: Mix, separations: Mapping[str, Separation]) -> tuple[Source, ...]:
    def source(term: Term, coefficient: int) -> Source:
        key = separations[term.step].key if term.step else mix.key
        return Source(coefficient, key, term.stem)

    # The order is the recipe's: sums of floats depend on it, and so do keys.
    return tuple(source(term, coefficient) for term, coefficient in linear.items())


def complete_in(store: Path) -> Callable[[str, tuple[str, ...]], bool]:
    """Whether a key with these stems is whole in this store."""

    def complete(key: str, stems: tuple[str, ...]) -> bool:
        folder = store / "stems" / key
        return all((folder / name).is_file() for name in (MANIFEST, *(f"{stem}.wav" for stem in stems)))

    return complete
