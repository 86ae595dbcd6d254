"""Stage report: what was delivered, measured on the delivered files, and where it came from."""

import os
import platform
from collections.abc import Iterable, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from unbraid.audio import wav
from unbraid.audio.measure import Meter
from unbraid.audio.read import read
from unbraid.audio.resample import resample, resampled_frames
from unbraid.audio.wav import reblocked
from unbraid.files import read_json, write_json
from unbraid.stages.merge import versions

PROVENANCE = ("key", "model", "licence", "weights", "content", "created", "files", "versions")  # of a manifest
HAVE = ("rate", "channels", "frames", "codec")  # of what is said of a given stem

Sources = list[tuple[int, str, str]]  # (coefficient, key, stem); the mix is the stem `mix` of the mix's key


def report(
    stems: Mapping[str, Path],
    mix: Path,
    delivery: Path,
    manifests: Mapping[str, Path],
    haves: Mapping[str, Path],
    quality: Path,
    provenance: Path,
    *,
    song: Mapping[str, Any],
) -> None:
    """Write `quality` (qc.json) and `provenance` (provenance.json).

    stems: the delivered files by stem. delivery: what deliver said. manifests: of what they are made of, by step.
    haves: what was said of each stem that the user gave.
    song: what the plan knows: id, path, recipe, preset, the mix's key and what went into it, each stem's sources, and
    path, sha256 and key of those that the user gave.
    """
    expressions: Mapping[str, Sources] = song["expressions"]
    delivered = read_json(delivery)
    source = delivered["song"]
    made = {step: read_json(path) for step, path in manifests.items()}
    separations = {step: one for step, one in made.items() if one["stage"] == "merge"}
    given = {stem: read_json(path) for stem, path in haves.items()}
    origins = {
        stem: {"path": _printable(one["path"]), "sha256": one["sha256"], "key": one["key"]}
        for stem, one in song["haves"].items()
    }
    seconds = _seconds(source, delivered, made, given)
    length = source["frames"] / source["rate"]
    total = sum(stage["seconds"] for stage in seconds.values() if not stage["reused"])
    write_json(
        quality,
        {
            "song": song["id"],
            "recipe": song["recipe"],
            "preset": song["preset"],
            "models": sorted({separation["model"] for separation in separations.values()}),
            "devices": sorted({device for separation in separations.values() for device in separation["devices"]}),
            "engines": sorted({engine for separation in separations.values() for engine in separation["engines"]}),
            # Stems that were stored before this was recorded say nothing of it.
            "arithmetics": sorted({one for made in separations.values() for one in made.get("arithmetics", [])}),
            "frames": source["frames"],
            "rate": source["rate"],
            "channels": source["channels"],
            "source_channels": source["source_channels"],
            "audio_seconds": round(length, 3),
            "format": delivered["format"],
            "bit_depth": delivered["bit_depth"],
            "bitrate": delivered["bitrate"],
            "gain": delivered["gain"],
            "stems": {stem: _measured(path, delivered["clipped_by_delivery"][stem]) for stem, path in stems.items()},
            "have": {stem: {**origins[stem], **{name: one[name] for name in HAVE}} for stem, one in given.items()},
            "mix": _measured(mix, 0),
            "residuals": _residuals(stems, mix, delivered["gain"], expressions, song["mix"], separations),
            "notices": _notices(source, delivered, [*separations.values(), *given.values()]),
            "seconds": seconds,
            "real_time_factor": round(length / total, 3) if total else None,
        },
    )
    write_json(
        provenance,
        {
            "song": song["id"],
            "path": _printable(song["path"]),
            "source_sha256": song["sha256"],
            "window": {"start": song["start"], "end": song["end"]},
            "recipe": song["recipe"],
            "preset": song["preset"],
            "delivery": song["delivery"],
            "tags": source["tags"],
            "mix": {"key": song["mix"], "content": song["content"]},
            "stems": expressions,
            "have": origins,
            "separations": {step: {name: one[name] for name in PROVENANCE} for step, one in separations.items()},
            "ensembles": {
                step: {name: one[name] for name in ("key", "content", "created", "files", "versions")}
                for step, one in made.items()
                if one["stage"] == "ensemble"
            },
            "versions": {**versions(), "python": platform.python_version(), "platform": platform.platform()},
        },
    )


def _printable(path: str) -> str:
    """JSON is UTF-8; a name on disk need not be."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _measured(path: Path, clipped: int) -> dict[str, Any]:
    rate, channels, blocks = read(path)
    meter, frames = Meter(rate, channels), 0
    for block in blocks:
        meter.add(block)
        frames += len(block)
    return {"frames": frames, "rate": rate, "channels": channels, **meter.result(), "clipped_by_delivery": clipped}


def _seconds(
    source: Any, delivered: Any, made: Mapping[str, Any], given: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Seconds per stage. What was separated before this song was converted was reused, and is marked so."""
    stages: dict[str, dict[str, Any]] = {"convert": {"seconds": source["seconds"], "reused": False}}
    for step, one in made.items():
        reused = one["created"] < source["created"]
        for stage, value in one["seconds"].items():
            name = stage if len(made) == 1 else f"{step}.{stage}"
            stages[name] = {"seconds": value, "reused": reused}
    for stem, one in given.items():
        stages[f"{stem}.have"] = {"seconds": one["seconds"], "reused": False}
    stages["deliver"] = {"seconds": delivered["seconds"], "reused": False}
    return stages


def _notices(source: Any, delivered: Any, made: Iterable[Any]) -> list[str]:
    notices = [notice for one in made for notice in one["notices"]]
    if source["damaged"]:
        length = source["frames"] / source["rate"]
        notices.append(f"The source is damaged; the {length:.2f} s before that were taken (truncated: accept).")
    if source["downmixed"]:
        notices.append(f"The source has {source['source_channels']} channels; it was downmixed to stereo.")
    if delivered["gain"] != 1.0:
        notices.append(f"All stems were turned down by {-20 * np.log10(delivered['gain']):.2f} dB to fit full scale.")
    return notices


def _residuals(
    stems: Mapping[str, Path],
    mix: Path,
    gain: float,
    expressions: Mapping[str, Sources],
    mix_key: str,
    separations: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """mix − Σ stems, for each set of delivered stems that should add up to the mix.

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
    ]


def _sum(linears: Any) -> dict[Any, int]:
    total: dict[Any, int] = {}
    for terms in linears:
        for term, factor in terms.items():
            total[term] = total.get(term, 0) + factor
    return {term: factor for term, factor in total.items() if factor}


def _residual(paths: list[Path], mix: Path, gain: float) -> dict[str, Any]:
    """Level of mix − Σ stems against the mix in dB; None when it is exactly zero (`exact` says so)."""
    energy = rest = 0.0
    info, stems = soundfile.info(mix), [read(path) for path in sorted(paths)]
    (rate,) = {rate for rate, _, _ in stems}
    frames = resampled_frames(info.frames, info.samplerate, rate)
    references = resample(wav.blocks(mix), info.samplerate, rate, frames)
    for reference, *blocks in zip(reblocked(references), *(blocks for _, _, blocks in stems), strict=True):
        original = reference.astype(np.float64) * gain
        left = original - np.sum(blocks, axis=0, dtype=np.float64)
        energy += float((original**2).sum())
        rest += float((left**2).sum())
    level = round(10 * np.log10(rest / energy), 2) if rest and energy else None
    return {"residual_db": level, "exact": rest == 0.0}
