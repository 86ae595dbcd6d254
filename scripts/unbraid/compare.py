"""Delivered stems against the mix, which sets of them should add up to, and against the true stems where there are any."""

from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from unbraid.audio import wav
from unbraid.audio.lag import Lag
from unbraid.audio.metrics import Scores
from unbraid.audio.read import read
from unbraid.audio.resample import resample, resampled_frames
from unbraid.audio.wav import Audio, reblocked

Sources = list[tuple[int, str, str]]  # (coefficient, key, stem); the mix is the stem `mix` of the mix's key


def residuals(
    stems: Mapping[str, Path],
    mix: Path,
    gain: float,
    expressions: Mapping[str, Sources],
    mix_key: str,
    separations: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """mix − Σ stems, for each set of delivered stems that should add up to the mix. stems: those of the right length.

    Such sets are the smallest whose expressions add up to the mix exactly, and all outputs of a step on the mix.
    """
    linear = {stem: {(key, name): factor for factor, key, name in terms} for stem, terms in expressions.items()}
    target = {(mix_key, "mix"): 1}
    sets = [frozenset(names) for size in range(1, min(len(linear), 4) + 1) for names in combinations(linear, size)]
    exact = [names for names in sets if _sum(linear[name] for name in sorted(names)) == target]
    chosen = [names for names in exact if not any(other < names for other in exact)]
    for made in separations.values():
        outputs = {(made["key"], name.removesuffix(".wav")): 1 for name in made["files"]}
        plain = frozenset(
            name for name, terms in linear.items() if len(terms) == 1 and terms.items() <= outputs.items()
        )
        on_the_mix = made["content"]["input"]["sources"] == [[1, mix_key, "mix"]]
        if on_the_mix and len(plain) == len(outputs) and plain not in chosen:
            chosen.append(plain)
    return [
        {"stems": [name for name in linear if name in names], **_residual([stems[name] for name in names], mix, gain)}
        for names in chosen
        if names <= stems.keys()
    ]


def _sum(linears: Any) -> dict[Any, int]:
    total: dict[Any, int] = {}
    for terms in linears:
        for term, factor in terms.items():
            total[term] = total.get(term, 0) + factor
    return {term: factor for term, factor in total.items() if factor}


def _residual(paths: list[Path], mix: Path, gain: float) -> dict[str, Any]:
    """Level of mix − Σ stems against the mix in dB, None when it is exactly zero (`exact` says so) or no number; and by how
    many samples Σ stems comes late, None where that cannot be told (see `unbraid.audio.lag`)."""
    energy = rest = 0.0
    lag = Lag()
    stems = [read(path) for path in sorted(paths)]
    (rate,) = {rate for rate, _, _ in stems}
    for reference, *blocks in zip(_at(rate, mix), *(blocks for _, _, blocks in stems), strict=True):
        original = reference.astype(np.float64) * gain
        made = np.sum(blocks, axis=0, dtype=np.float64)
        energy += float((original**2).sum())
        rest += float(((original - made) ** 2).sum())
        lag.add(original, np.asarray(made))
    level = round(10 * np.log10(rest / energy), 2) if rest > 0 and energy > 0 else None
    return {"residual_db": level, "exact": rest == 0.0, "lag": lag.result()}


def scores(
    stems: Mapping[str, Path], references: Mapping[str, Path], mix: Path, gain: float
) -> dict[str, dict[str, Any]]:
    """How near delivered stems are to the true ones (see `unbraid.audio.metrics`), and as `mix` how near the mix itself is.

    references: the true stems by name, in the form of the mix. gain: with which all stems were delivered.
    """
    if not references:
        return {}
    files = [read(stems[stem]) for stem in references]
    (rate,) = {rate for rate, _, _ in files}
    made, unprocessed = Scores(rate, list(references)), Scores(rate, list(references))
    true = [_at(rate, path) for path in references.values()]
    for mixed, *blocks in zip(_at(rate, mix), *true, *(blocks for _, _, blocks in files), strict=True):
        named = {stem: block * np.float32(gain) for stem, block in zip(references, blocks, strict=False)}
        made.add(named, dict(zip(references, blocks[len(named) :], strict=True)))
        unprocessed.add(named, dict.fromkeys(references, mixed * np.float32(gain)))
    baseline = unprocessed.result()
    return {stem: {**score, "mix": baseline[stem]} for stem, score in made.result().items()}


def _at(rate: int, path: Path) -> Iterator[Audio]:
    """A wav file at the rate of delivered files, in blocks as `read` gives them."""
    info = soundfile.info(path)
    frames = resampled_frames(info.frames, info.samplerate, rate)
    return reblocked(resample(wav.blocks(path), info.samplerate, rate, frames))
