"""Recipes: named steps over models, ensembles of their stems, and the stems to deliver as sums and differences.

A stem expression is linear, so it is kept as coefficients: `{Term: integer}`, where a term is the mix, one output of
one step, or an ensemble. `<step>.residual` is no file of its own: it is the step's input minus the sum of its outputs.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from unbraid.backends import registry
from unbraid.catalogue import Model
from unbraid.errors import UnbraidError, suggest
from unbraid.files import read_yaml


class Term(NamedTuple):
    """One output of one step; the mix is the term without a step, an ensemble's one output is called `ensemble`."""

    step: str = ""
    stem: str = "mix"


Linear = dict[Term, int]
MIX: Linear = {Term(): 1}

ENSEMBLE = "ensemble"
METHODS = ("average", "median", "min", "max")

# Recipes and stems name files.
NAME, NAMING = r"\w[\w-]*", "Use letters, digits, underscores and dashes."


@dataclass(frozen=True)
class Step:
    """One application of one model to one input. options: what the step says to the model's backend."""

    name: str
    model: str
    input: Linear
    options: dict[str, Any]

    @property
    def inputs(self) -> tuple[Linear, ...]:
        return (self.input,)


@dataclass(frozen=True)
class Ensemble:
    """Several versions of one stem made into one (see `unbraid.stages.ensemble`). weights: of the average."""

    name: str
    members: tuple[Linear, ...]
    method: str
    weights: tuple[float, ...]

    @property
    def inputs(self) -> tuple[Linear, ...]:
        return self.members


@dataclass(frozen=True)
class Recipe:
    """steps are in an order in which each follows those it needs; stems are what is delivered."""

    name: str
    steps: tuple[Step | Ensemble, ...]
    stems: dict[str, Linear]

    @property
    def models(self) -> dict[str, str]:
        """The model of each step that has one."""
        return {step.name: step.model for step in self.steps if isinstance(step, Step)}

    def needed(self, stems: Iterable[str], given: Set[Term]) -> set[str]:
        """Names of the steps that these stems are made of. given: what need not be made."""
        terms = {term for stem in stems for term in self.stems[stem]}
        names = set()
        for step in reversed(self.steps):
            if step.name in {term.step for term in terms - given}:
                names.add(step.name)
                terms |= {term for linear in step.inputs for term in linear}
        return names


def load(paths: list[Path]) -> dict[str, dict[str, Any]]:
    """The recipes of several files as written; a later file's recipe replaces an earlier one of the same name."""
    recipes: dict[str, dict[str, Any]] = {}
    for path in paths:
        recipes.update(read_yaml(path))
    return recipes


def find(recipes: Mapping[str, dict[str, Any]], name: str) -> dict[str, Any]:
    if name not in recipes:
        raise UnbraidError(f"There is no recipe {name!r}.", remedy=suggest(name, recipes))
    return recipes[name]


def compile_recipe(name: str, written: dict[str, Any], find_model: Callable[[str], Model]) -> Recipe:
    """Resolve names and order.

    find_model: the model of a name; raises UnbraidError for an unknown one.
    Raises: UnbraidError that names the recipe and the step for unknown names, cycles and what is missing.
    """
    if not re.fullmatch(NAME, name):
        raise UnbraidError(f"{name!r} is not a name for a recipe.", remedy=NAMING)
    parts = _closed(name, "recipe", written, {"steps", "stems"})
    steps = {step: _checked_step(name, step, entry) for step, entry in _mapping(name, "steps", parts["steps"]).items()}
    compiler = _Compiler(name, steps, {step: _model(name, step, entry, find_model) for step, entry in steps.items()})
    written_stems = _mapping(name, "stems", parts["stems"])
    stems = {stem: compiler.expand(expression, stem, ()) for stem, expression in written_stems.items()}
    for stem in stems:
        if not re.fullmatch(NAME, stem) or stem == "mix":
            raise _wrong(name, stem, "is not a name for a stem", NAMING)
    for step in steps:
        compiler.visit(step, ())
    return Recipe(name, tuple(compiler.done.values()), stems)


@dataclass
class _Compiler:
    """Expands expressions into coefficients, visiting the steps that they name. models: None for an ensemble."""

    recipe: str
    steps: dict[str, dict[str, Any]]
    models: dict[str, Model | None]
    done: dict[str, Step | Ensemble] = field(default_factory=dict)

    def visit(self, step: str, path: tuple[str, ...]) -> Step | Ensemble:
        if step in path:
            raise _wrong(self.recipe, step, f"needs itself ({' ← '.join((*path, step))})", "Break the cycle.")
        if step not in self.done:
            entry, model = self.steps[step], self.models[step]
            if model is None:
                members = tuple(self.expand(member, step, (*path, step)) for member in entry[ENSEMBLE])
                weights = tuple(float(weight) for weight in entry.get("weights", [1] * len(members)))
                self.done[step] = Ensemble(step, members, entry.get("method", "average"), weights)
            else:
                options = {key: value for key, value in entry.items() if key not in ("model", "input")}
                self.done[step] = Step(step, model.name, self.expand(entry["input"], step, (*path, step)), options)
        return self.done[step]

    def expand(self, expression: str, where: str, path: tuple[str, ...]) -> Linear:
        total: Linear = {}
        for sign, step, stem in _tokens(self.recipe, where, expression):
            for term, coefficient in self._linear(where, step, stem, path).items():
                total[term] = total.get(term, 0) + sign * coefficient
        linear = {term: coefficient for term, coefficient in total.items() if coefficient}
        if not linear:
            raise _wrong(self.recipe, where, f"comes to nothing ({expression})", "Write what should be left.")
        return linear

    def _linear(self, where: str, step: str, stem: str, path: tuple[str, ...]) -> Linear:
        if (step, stem) == ("mix", ""):
            return MIX
        if step not in self.steps:
            known = suggest(step, [*self.steps, "mix"])
            raise _wrong(self.recipe, where, f"refers to an unknown step {step!r}", known)
        source, model = self.visit(step, path), self.models[step]
        if isinstance(source, Ensemble) or model is None:
            if stem:
                what = f"refers to {step}.{stem}, but {step!r} is an ensemble, which is one stem"
                raise _wrong(self.recipe, where, what, f"Write {step} alone.")
            return {Term(step, ENSEMBLE): 1}
        if stem == "residual":
            return {**source.input, **{Term(step, output): -1 for output in model.stems}}
        if stem not in model.stems:
            what = f"refers to {step}.{stem}, which does not exist" if stem else f"does not say which stem of {step!r}"
            raise _wrong(self.recipe, where, what, suggest(stem, [*model.stems, "residual"]))
        return {Term(step, stem): 1}


def _checked_step(recipe: str, step: str, written: Any) -> dict[str, Any]:
    if not re.fullmatch(r"\w+", step) or step == "mix":
        raise _wrong(recipe, step, "is not a name for a step", "Use letters, digits and underscores (not `mix`).")
    entry = _mapping(recipe, f"step {step!r}", written)
    if ENSEMBLE not in entry:
        return entry
    _closed(recipe, f"step {step!r}", entry, {ENSEMBLE}, {"method", "weights"})
    members, method, weights = entry[ENSEMBLE], entry.get("method", "average"), entry.get("weights")
    if not isinstance(members, list) or len(members) < 2:
        raise _wrong(
            recipe, step, "is no ensemble of two or more stems", "Write it like `ensemble: [a.vocals, b.vocals]`."
        )
    if method not in METHODS:
        raise _wrong(recipe, step, f"has an unknown method {method!r}", suggest(str(method), METHODS))
    if weights is None:
        return entry
    if method != "average":
        raise _wrong(recipe, step, f"has weights, which the method {method!r} does not use", "Leave them out.")
    numbers = isinstance(weights, list) and all(
        isinstance(one, int | float) and not isinstance(one, bool) and 0 < one < float("inf") for one in weights
    )
    if not numbers or len(weights) != len(members):
        raise _wrong(recipe, step, "needs one weight above zero for each stem", "Write them like `weights: [1, 2]`.")
    return entry


def _model(recipe: str, step: str, entry: dict[str, Any], find_model: Callable[[str], Model]) -> Model | None:
    if ENSEMBLE in entry:
        return None
    if "model" not in entry:
        raise _wrong(recipe, step, "lacks 'model'", "A step has a model and an input, or is an ensemble.")
    try:
        model = find_model(str(entry["model"]))
    except UnbraidError as error:
        raise _wrong(
            recipe, step, f"asks for a model that cannot be had: {error.what.rstrip('.')}", error.remedy
        ) from None
    backend = registry.find(model.backend)
    _closed(recipe, f"step {step!r}", entry, {"model", "input", *backend.required}, set(backend.options))
    try:
        registry.check_options(backend, {key: value for key, value in entry.items() if key in backend.options})
    except UnbraidError as error:
        raise _wrong(recipe, step, f"says something that cannot be: {error.what.rstrip('.')}", error.remedy) from None
    return model


def _tokens(recipe: str, where: str, expression: str) -> list[tuple[int, str, str]]:
    """(sign, step, stem) of each part; no stem for the mix and for ensembles."""
    part = r"(\w+(?:\.\w+)?)"
    text = str(expression).strip()
    if not re.fullmatch(rf"-?\s*{part}(\s*[+-]\s*{part})*", text):
        raise _wrong(
            recipe, where, f"has an expression that cannot be read: {text!r}", "Write it like `mix - split.vocals`."
        )
    tokens = []
    for sign, name in re.findall(rf"([+-]?)\s*{part}", text):
        step, _, stem = name.partition(".")
        tokens.append((-1 if sign == "-" else 1, step, stem))
    return tokens


def _mapping(recipe: str, where: str, entry: Any) -> dict[str, Any]:
    if not isinstance(entry, dict) or not entry:
        raise UnbraidError(f"Recipe {recipe!r}: {where} is not a table.", remedy="See config/README.md.")
    return {str(key): value for key, value in entry.items()}


def _closed(recipe: str, where: str, entry: Any, needed: Set[str], allowed: Set[str] = frozenset()) -> dict[str, Any]:
    """The entry as a table of just these keys."""
    mapping, keys = _mapping(recipe, where, entry), needed | allowed
    for key in mapping:
        if key not in keys:
            raise UnbraidError(f"Recipe {recipe!r}: {where} has an unknown key {key!r}.", remedy=suggest(key, keys))
    for key in sorted(needed - set(mapping)):
        raise UnbraidError(f"Recipe {recipe!r}: {where} lacks {key!r}.", remedy="See config/README.md.")
    return mapping


def _wrong(recipe: str, where: str, what: str, remedy: str) -> UnbraidError:
    return UnbraidError(f"Recipe {recipe!r}: {where!r} {what}.", remedy=remedy)
