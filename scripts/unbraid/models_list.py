"""The models as a table to read and to search: what `snakemake models_list` prints."""

from collections.abc import Mapping

from unbraid.catalogue import Model
from unbraid.errors import UnbraidError, suggest
from unbraid.tables import aligned

COLUMNS = ("name", "backend", "architecture", "stems", "SDR, dB", "licence")
LONGEST = 40  # characters of a licence; model.json has it whole


def matching(models: Mapping[str, Model], wanted: str) -> list[Model]:
    """The models in which every word of `wanted` is found, in any letter case; best published score first.

    The score is that of the stem that is asked for, where a word names one, else the model's best.

    A word `field:text` looks in one field only (name, backend, architecture, stems, licence, description).
    Raises: UnbraidError, with the nearest known word, when there is no such model.
    """
    words = wanted.split()
    found = [model for model in models.values() if all(_has(model, word) for word in words)]
    if not found:
        raise UnbraidError(f"No model matches {wanted!r}.", remedy=_nearest(models, words))
    asked = [word.rpartition(":")[2].lower() for word in words]

    def score(model: Model) -> float:
        return max(
            (model.score[word] for word in asked if word in model.score), default=max(model.score.values(), default=0)
        )

    return sorted(found, key=lambda model: (-score(model), model.name.lower()))


def _fields(model: Model) -> dict[str, str]:
    return {
        "name": model.name,
        "backend": model.backend,
        "architecture": model.architecture,
        "stems": " ".join(model.stems),
        "licence": model.licence,
        "description": model.description,
    }


def _has(model: Model, word: str) -> bool:
    fields = _fields(model)
    field, _, text = word.partition(":")
    if field in fields and text:
        return text.lower() in fields[field].lower()
    return word.lower() in " ".join(fields.values()).lower()


def _nearest(models: Mapping[str, Model], words: list[str]) -> str:
    known = {text for model in models.values() for text in " ".join(_fields(model).values()).lower().split()}
    unknown = [word for word in words if not any(_has(model, word) for model in models.values())]
    if not unknown:
        return "Each word is found in some model, but not all in one: leave one out."
    return suggest(unknown[0].partition(":")[2].lower() or unknown[0].lower(), known)


def table(models: list[Model]) -> str:
    """The models, a line each."""
    return aligned([COLUMNS, *(_row(model) for model in models)])


def _row(model: Model) -> tuple[str, ...]:
    score = ", ".join(f"{stem} {value:.1f}" for stem, value in model.score.items())
    licence = " ".join(model.licence.split())
    if len(licence) > LONGEST:
        licence = licence[: LONGEST - 1] + "…"
    return model.name, model.backend, model.architecture, " ".join(model.stems), score, licence
