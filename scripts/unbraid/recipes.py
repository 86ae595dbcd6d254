"""Recipes: named steps over models, and the stems to deliver as sums and differences.

A stem expression is linear, so it is kept as coefficients: `{Term: integer}`, where a term is the mix or one output of
one step. `<step>.residual` is no file of its own: it is the step's input minus the sum of its outputs.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from unbraid.errors import UnbraidError, suggest
from unbraid.files import read_yaml


class Term(NamedTuple):
    """One output of one step; the mix is the term without a step."""

    step: str = ""
    stem: str = "mix"


Linear = dict[Term, int]
MIX: Linear = {Term(): 1}

# Recipes and stems name files.
NAME, NAMING = r"\w[\w-]*", "Use letters, digits, underscores and dashes."


@dataclass(frozen=True)
class Step:
    """One application of one model to one input."""

    name: str
    model: str
    input: Linear


@dataclass(frozen=True)
class Recipe:
    """steps are in an order in which each follows those it needs; stems are what is delivered."""

    name: str
    steps: tuple[Step, ...]
    stems: dict[str, Linear]


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


def compile_recipe(name: str, written: dict[str, Any], stems_of: Mapping[str, tuple[str, ...]]) -> Recipe:
    """Resolve names and order.

    stems_of: the stems of each known model.
    Raises: UnbraidError that names the recipe and the step for unknown names, cycles and what is missing.
    """
    if not re.fullmatch(NAME, name):
        raise UnbraidError(f"{name!r} is not a name for a recipe.", remedy=NAMING)
    parts = _closed(name, "recipe", written, {"steps", "stems"})
    steps = _mapping(name, "steps", parts["steps"])
    for step, entry in steps.items():
        if not re.fullmatch(r"\w+", step) or step == "mix":
            raise _wrong(name, step, "is not a name for a step", "Use letters, digits and underscores (not `mix`).")
        steps[step] = _closed(name, f"step {step!r}", entry, {"model", "input"})
        model = str(entry["model"])
        if model not in stems_of:
            raise _wrong(name, step, f"asks for an unknown model {model!r}", suggest(model, stems_of))

    outputs = {step: stems_of[entry["model"]] for step, entry in steps.items()}
    done: dict[str, Step] = {}

    def visit(step: str, path: tuple[str, ...]) -> Step:
        if step in path:
            raise _wrong(name, step, f"needs itself ({' ← '.join((*path, step))})", "Break the cycle.")
        if step not in done:
            linear = expand(steps[step]["input"], step, (*path, step))
            done[step] = Step(step, steps[step]["model"], linear)
        return done[step]

    def expand(expression: str, where: str, path: tuple[str, ...]) -> Linear:
        total: Linear = {}

        def add(linear: Linear, factor: int) -> None:
            for term, coefficient in linear.items():
                total[term] = total.get(term, 0) + factor * coefficient

        for sign, step, stem in _tokens(name, where, expression):
            if step == "mix":
                add(MIX, sign)
                continue
            if step not in steps:
                raise _wrong(name, where, f"refers to an unknown step {step!r}", suggest(step, [*steps, "mix"]))
            source = visit(step, path)
            if stem == "residual":
                add(source.input, sign)
                add({Term(step, output): 1 for output in outputs[step]}, -sign)
            elif stem in outputs[step]:
                add({Term(step, stem): 1}, sign)
            else:
                known = [*outputs[step], "residual"]
                raise _wrong(name, where, f"refers to {step}.{stem}, which does not exist", suggest(stem, known))
        linear = {term: coefficient for term, coefficient in total.items() if coefficient}
        if not linear:
            raise _wrong(name, where, f"comes to nothing ({expression})", "Write what should be left.")
        return linear

    stems = {stem: expand(expression, stem, ()) for stem, expression in _mapping(name, "stems", parts["stems"]).items()}
    for stem in stems:
        if not re.fullmatch(NAME, stem):
            raise _wrong(name, stem, "is not a name for a stem", NAMING)
    for step in steps:
        visit(step, ())
    return Recipe(name, tuple(done.values()), stems)


def _tokens(recipe: str, where: str, expression: str) -> list[tuple[int, str, str]]:
    part = r"(\w+\.\w+|mix)"
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


def _closed(recipe: str, where: str, entry: Any, keys: set[str]) -> dict[str, Any]:
    mapping = _mapping(recipe, where, entry)
    for key in mapping:
        if key not in keys:
            raise UnbraidError(f"Recipe {recipe!r}: {where} has an unknown key {key!r}.", remedy=suggest(key, keys))
    for key in sorted(keys - set(mapping)):
        raise UnbraidError(f"Recipe {recipe!r}: {where} lacks {key!r}.", remedy="See config/README.md.")
    return mapping


def _wrong(recipe: str, where: str, what: str, remedy: str) -> UnbraidError:
    return UnbraidError(f"Recipe {recipe!r}: {where!r} {what}.", remedy=remedy)
