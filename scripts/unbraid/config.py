"""The configuration: its keys, their meaning and defaults, and errors that say what to type instead.

`Config` is the one place where keys are defined. `config/config.yaml` and the table in `config/README.md` are rendered
from it (`python -m unbraid.config`), and a test holds them together.
"""

import json
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from unbraid import naming
from unbraid.audio import formats
from unbraid.backends import registry
from unbraid.errors import UnbraidError, suggest

Seconds = Annotated[float, Field(gt=0)]


def _folder(value: str) -> str:
    """Home filled in, no slash at the end: paths are joined as text."""
    return str(Path(value).expanduser()) if value else value


def _parsed_by(name: str) -> AfterValidator:
    """A text that a function of humanfriendly must understand, if it is not empty."""

    def check(value: str) -> str:
        if value:
            import humanfriendly  # few configurations have such a text

            try:
                getattr(humanfriendly, name)(value)
            except (humanfriendly.InvalidSize, humanfriendly.InvalidTimespan) as error:
                raise ValueError(value) from error
        return value

    return AfterValidator(check)


Folder = Annotated[str, Field(min_length=1), AfterValidator(_folder)]


def _with_unit(value: str) -> str:
    """A number alone would be bytes or seconds, and M minutes: a whole store can be cleared by mistake."""
    if value and not re.search(r"[^\d.\s]", value):
        raise ValueError(value)
    return value


def _no_capital(value: str) -> str:
    if re.search(r"\dM|\d\s+M", value):
        raise ValueError(value)
    return value


def _off(value: Any) -> Any:
    """YAML takes `off` for false."""
    return "off" if value is False else value


Size = Annotated[str, AfterValidator(_with_unit), _parsed_by("parse_size")]
Span = Annotated[str, AfterValidator(_with_unit), AfterValidator(_no_capital), _parsed_by("parse_timespan")]
TEXT = (
    *("songs", "prompts", "filter", "recipe", "preset", "store", "models", "temp_dir", "bit_depth", "names"),
    *("store_limit", "store_free", "older_than"),
)


class Config(BaseModel):
    """What a run is asked for. Threads, memory, cores and partitions belong to profiles, not here."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    songs: Folder = Field("songs", description="folder to scan for songs, or a table (.tsv)")
    recipe: str = Field("stems", description="which recipe of config/recipes.yaml to make")
    preset: str = Field("balanced", description="fast, balanced, quality or reference (config/presets.yaml)")
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?|mps|mlx)$",
        description="where networks run: auto, cpu, cuda, cuda:N, mps or mlx",
    )
    engine: str = Field("auto", description=f"what executes the networks: auto, {', '.join(registry.engines())}")
    prompts: str = Field(
        "", description="what the prompted steps of the recipe look for, in their order, separated by `;`"
    )
    format: Literal["wav", "flac", "mp3", "ogg", "opus", "m4a", "same"] = Field(
        "wav",
        description="format of the files that `all` delivers: wav, flac, mp3, ogg, opus, m4a, or same as the song's",
    )
    bit_depth: Literal["auto", "16", "24", "float"] = Field(
        "auto",
        description="auto (the source's; 24 for lossy sources; float as soon as a stem passes full scale), 16, 24, float",
    )
    bitrate: str = Field(
        "auto",
        pattern=r"^(auto|\d{1,3}k)$",
        description="of mp3, ogg, opus and m4a: auto (V0 of mp3, quality 8 of ogg, 192k of opus, 256k of m4a), or"
        " as 192k (constant in mp3, about that in opus and m4a, in ogg the quality that gives it at 44.1 kHz)",
    )
    clip: Literal["scale", "error", "clip"] = Field(
        "scale",
        description="what all formats but float wav do with samples over full scale: scale (all stems alike), error, clip",
    )
    qc: Annotated[Literal["off", "warn", "fail"], BeforeValidator(_off)] = Field(
        "warn",
        description="what comes of stems beyond these limits, of a wrong length, or with samples that are no numbers: off"
        " (nothing), warn, or fail (the song; its stems, measurements and page stay)",
    )
    qc_residual: float = Field(
        -10.0,
        allow_inf_nan=False,
        description="highest null residual in dB: what stems that add up to the mix may differ from it",
    )
    qc_clipped: Annotated[int, Field(ge=0)] = Field(0, description="most samples of a stem that may be clipped")
    qc_silence: Annotated[float, Field(ge=0, le=1)] = Field(
        0.99, description="largest share of a stem that may be silent, when the song is not"
    )
    qc_lag: Annotated[int, Field(ge=0)] = Field(0, description="most samples by which stems may lag behind the mix")
    pages: bool = Field(
        True, description="whether each song gets a page to hear and see its stems on, and a run a list of them"
    )
    names: Annotated[str, AfterValidator(naming.check)] = Field(
        "{artist} - {title} ({stem})",
        description=f"names of the files that the target `named` makes; `/` makes folders; of {', '.join(naming.FIELDS)}",
    )
    shifts: Annotated[int, Field(ge=0, le=100)] | None = Field(
        None, description="number of seeded random shifts to average; overrides the preset's"
    )
    overlap: Annotated[float, Field(ge=0, le=0.95)] | None = Field(
        None, description="share of a chunk that overlaps the next; overrides the preset's"
    )
    seed: int = Field(0, description="seed of the random shifts")
    truncated: Literal["error", "accept"] = Field(
        "error", description="what to do with a damaged song: error, or accept what is whole"
    )
    segment_seconds: Literal["auto"] | Seconds = Field(
        "auto", description="length of the stretch that one job separates; auto or a number of seconds"
    )
    segment_min: Seconds = Field(30.0, description="shortest segment in seconds that auto makes")
    segment_max: Seconds = Field(600.0, description="longest segment in seconds that auto makes")
    max_segments: Annotated[int, Field(ge=1)] = Field(1000, description="most segments of a song")
    store: Folder = Field("store", description="folder of the lasting outputs; working directories may share it")
    models: Folder = Field("models", description="folder of the models; working directories may share it")
    keep: Literal["stems", "all"] = Field(
        "stems",
        description="stems empties work/; all keeps decoded songs, segments and their parts there for other recipes: about"
        " 110 MB for each minute of a song and model of four stems",
    )
    reuse: bool = Field(True, description="false computes afresh what the store already holds")
    track_access: bool = Field(
        True, description="whether the store notes which runs used what; false leaves it at the time of its files"
    )
    store_limit: Size = Field(
        "",
        description="how much the store may hold (200GB): after a run, what was used least recently goes; empty: all",
    )
    store_free: Size = Field(
        "", description="how much of the store's disk stays free (50GB), in the same way; empty: no such care"
    )
    older_than: Span = Field("", description="what `cache_clean` removes: what nobody used for so long (30d, 12h, 2w)")
    yes: bool = Field(
        False, description="whether `cache_clean` and `cache_clear` remove what they list; false: they only list it"
    )
    worker: bool = Field(
        True,
        description="on keeps each loaded network in a process for the run's other songs; off loads it in every job",
    )
    temp_dir: Annotated[str, AfterValidator(_folder)] = Field(
        "",
        description="folder for scratch files of a job, `${song}` in it being the song's id; empty means beside its output",
    )
    filter: str = Field(
        "",
        description="which models `models_list` shows: words, or `licence:MIT`, `stems:vocals`, `backend:spleeter` …",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="how much jobs write to their logs"
    )

    @property
    def bits_a_second(self) -> int | None:
        """The bitrate as a number; None for `auto`."""
        return None if self.bitrate == "auto" else 1000 * int(self.bitrate.removesuffix("k"))

    @property
    def limits(self) -> dict[str, Any] | None:
        """Of the quality gates, as plain values (see `unbraid.gates`); None where there are to be none."""
        if self.qc == "off":
            return None
        return {name: getattr(self, f"qc_{name}") for name in ("residual", "clipped", "silence", "lag")}

    def delivery(self, name: str) -> dict[str, Any]:
        """What is asked of files of the format `name`; None where that does not concern it."""
        lossy = formats.FORMATS[name].lossy
        bit_depth, bitrate = (None, self.bits_a_second) if lossy else (self.bit_depth, None)
        return {"bit_depth": bit_depth, "bitrate": bitrate, "clip": self.clip}


def load(raw: dict[str, Any]) -> Config:
    """Check a parsed configuration.

    `${VAR}` in a value becomes the environment variable's value. Numbers may come as text, as `--config` gives them.

    Raises: UnbraidError that names each wrong key, with the nearest known one.
    """
    values = {str(key): _expand(str(key), value) for key, value in raw.items()}
    for key, value in values.items():
        # `--config songs=2024 bit_depth=16`: what is text by its meaning comes as a number.
        if key in TEXT and isinstance(value, int) and not isinstance(value, bool):
            values[key] = str(value)
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        problems = {str(item["loc"][0]): item for item in error.errors()}
        what = "; ".join(_problem(key, item) for key, item in problems.items())
        raise UnbraidError(f"The configuration is wrong: {what}.", remedy="See config/README.md.") from None
    if (config.format, config.bit_depth) == ("flac", "float"):
        raise UnbraidError(
            "The configuration is wrong: FLAC cannot hold float samples.",
            remedy="Set bit_depth=24 or auto, or format=wav.",
        )
    if config.engine not in (known := ["auto", *registry.engines()]):
        raise UnbraidError(
            f"The configuration is wrong: there is no engine {config.engine!r}.", remedy=suggest(config.engine, known)
        )
    if config.segment_min > config.segment_max:
        raise UnbraidError(
            f"The configuration is wrong: segment_min ({config.segment_min:g}) is above segment_max ({config.segment_max:g}).",
            remedy="Lower segment_min or raise segment_max.",
        )
    return config


def _expand(key: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value

    def variable(match: re.Match[str]) -> str:
        name = match.group(1)
        if (key, name) == ("temp_dir", "song"):
            return match.group()  # the job knows its song
        if name not in os.environ:
            raise UnbraidError(
                f"The configuration key {key!r} uses ${{{name}}}, which is not set.",
                remedy=f"Set the environment variable {name} or write the value out.",
            )
        return os.environ[name]

    return re.sub(r"\$\{(\w+)\}", variable, value)


def _problem(key: str, item: Any) -> str:
    if item["type"] == "extra_forbidden":
        return f"unknown key {key!r} ({suggest(key, Config.model_fields).rstrip('.')})"
    allowed = Config.model_fields[key].description
    value = item["input"]
    choices = item.get("ctx", {}).get("expected", "")
    near = suggest(str(value), re.findall(r"'([^']+)'", choices)) if choices else ""
    return f"{key}={value!r} is not allowed: {allowed}. {near}".rstrip(". ")


def default_yaml() -> str:
    """`config/config.yaml`: every key with its default, its description as a comment."""
    lines = ["# Every key with its default; what each means is above it. More in config/README.md."]
    for name, field in Config.model_fields.items():
        key = json.dumps(name) if name in ("yes", "no", "on", "off") else name  # which YAML would take for a boolean
        lines += [f"# {field.description}", f"{key}: {json.dumps(field.default)}"]  # JSON is YAML
    return "\n".join(lines) + "\n"


def markdown_table() -> str:
    """The table of keys in `config/README.md`."""
    rows = ["| key | default | meaning |", "|---|---|---|"]
    for name, field in Config.model_fields.items():
        default = "the preset's" if field.default is None else f"`{json.dumps(field.default)}`"
        rows.append(f"| `{name}` | {default} | {field.description} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    print(default_yaml())
    print(markdown_table())
