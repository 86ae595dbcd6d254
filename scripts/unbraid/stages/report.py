"""Stage report: what was delivered, measured on the delivered files, and where it came from."""

import os
import platform
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from unbraid.audio.measure import Meter
from unbraid.audio.read import read
from unbraid.audio.resample import resampled_frames
from unbraid.compare import Sources, residuals, scores
from unbraid.files import read_json, write_json
from unbraid.gates import PASSED
from unbraid.page import FILE as PAGE
from unbraid.stages.merge import versions

PROVENANCE = ("key", "model", "licence", "weights", "content", "created", "files", "versions")  # of a manifest
HAVE = ("rate", "channels", "frames", "codec")  # of what is said of a given stem


def report(
    stems: Mapping[str, Path],
    mix: Path,
    delivery: Path,
    manifests: Mapping[str, Path],
    haves: Mapping[str, Path],
    references: Mapping[str, tuple[Path, Path]],
    quality: Path,
    provenance: Path,
    *,
    song: Mapping[str, Any],
) -> None:
    """Write `quality` (qc.json) and `provenance` (provenance.json).

    stems: the delivered files by stem. delivery: what deliver said. manifests: of what they are made of, by step.
    haves: what was said of each stem that the user gave. references: true stems in the form of the mix, and
    what was said of each.
    song: what the plan knows: id, path, recipe, preset, the mix's key and what went into it, each stem's sources, and
    path, sha256 and key of those that the user gave.
    """
    # What these said is of files that are no more; where they are made, that comes after this.
    for name in (PAGE, PASSED):
        (quality.parent / name).unlink(missing_ok=True)
    expressions: Mapping[str, Sources] = song["expressions"]
    delivered = read_json(delivery)
    source = delivered["song"]
    made = {step: read_json(path) for step, path in manifests.items()}
    separations = {step: one for step, one in made.items() if one["stage"] == "merge"}
    given = {stem: read_json(path) for stem, path in haves.items()}
    origins = _origins(song["haves"])
    seconds = _seconds(source, delivered, made, given)
    length = source["frames"] / source["rate"]
    total = sum(stage["seconds"] for stage in seconds.values() if not stage["reused"])
    measured = {stem: _measured(path, source, delivered["clipped_by_delivery"][stem]) for stem, path in stems.items()}
    whole = {
        stem: path for stem, path in stems.items() if measured[stem]["frames"] == measured[stem]["expected_frames"]
    }
    true = {stem: audio for stem, (audio, _) in references.items() if stem in whole}
    told = [read_json(info) for _, info in references.values()]
    measurements = {
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
        "stems": measured,
        "have": {stem: {**origins[stem], **{name: one[name] for name in HAVE}} for stem, one in given.items()},
        "mix": _measured(mix, source, 0),
        "residuals": residuals(whole, mix, delivered["gain"], expressions, song["mix"], separations),
        "metrics": scores(whole, true, mix, delivered["gain"]),
        "notices": _notices(source, delivered, [*separations.values(), *given.values(), *told]),
        "seconds": seconds,
        "real_time_factor": round(length / total, 3) if total else None,
    }
    write_json(quality, measurements)
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
            "references": _origins(song["references"]),
            "separations": {step: {name: one[name] for name in PROVENANCE} for step, one in separations.items()},
            "ensembles": {
                step: {name: one[name] for name in ("key", "content", "created", "files", "versions")}
                for step, one in made.items()
                if one["stage"] == "ensemble"
            },
            "versions": {**versions(), "python": platform.python_version(), "platform": platform.platform()},
        },
    )


def _origins(given: Mapping[str, Any]) -> dict[str, Any]:
    """Where stems of the user come from, by name."""
    return {
        stem: {"path": _printable(one["path"]), "sha256": one["sha256"], "key": one["key"]}
        for stem, one in given.items()
    }


def _printable(path: str) -> str:
    """JSON is UTF-8; a name on disk need not be."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _measured(path: Path, song: Mapping[str, Any], clipped: int) -> dict[str, Any]:
    rate, channels, blocks = read(path)
    meter, frames = Meter(rate, channels), 0
    for block in blocks:
        meter.add(block)
        frames += len(block)
    expected = resampled_frames(song["frames"], song["rate"], rate)
    return {
        "frames": frames,
        "expected_frames": expected,
        "rate": rate,
        "channels": channels,
        **meter.result(),
        "clipped_by_delivery": clipped,
    }


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
