"""Stage merge: the segments of a song joined into stems at the song's own rate, channels and frame count."""

import datetime
import importlib.metadata
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

import unbraid
from unbraid.audio import wav
from unbraid.audio.resample import resample
from unbraid.backends.session import Audio
from unbraid.files import read_json, replacing, sha256, write_json
from unbraid.progress import Progress
from unbraid.stages.segment import arrange

PACKAGES = (
    *("torch", "demucs", "audio-separator", "onnxruntime", "mlx", "mlx-audio", "demucs-mlx", "sam_audio"),
    *("numpy", "soxr", "soundfile", "av"),
)


def merge(
    parts: list[Path],
    reports: list[Path],
    info: Path,
    stems: list[Path],
    manifest: Path,
    *,
    model: str,
    licence: str,
    key: str,
    content: dict[str, Any],
    settings: dict[str, Any],
) -> None:
    """Join `parts` (what separate wrote, in order) into one file per stem of the model, and write the manifest last.

    Joining is concatenation: every crossfade happened inside separate, on the grid. The stems are float32.
    info: what segment wrote. model, licence, key, content, settings: for the manifest.
    """
    begun = time.monotonic()
    segmented = read_json(info)
    song, channels = segmented["song"], segmented["channels"]
    joined = (block for part in parts for block in wav.blocks(part))
    with ExitStack() as files:
        outputs = [
            files.enter_context(wav.create(files.enter_context(replacing(stem)), song["rate"], song["channels"]))
            for stem in stems
        ]
        whole = resample(joined, segmented["rate"], song["rate"], song["frames"])
        for block in Progress(song["frames"] / song["rate"], "joining").of(whole, song["rate"]):
            for index, output in enumerate(outputs):
                output.write(_channels(block, index, channels, song["channels"]))
    runs = [read_json(report) for report in reports]
    write_json(
        manifest,
        {
            "key": key,
            "stage": "merge",
            "model": model,
            "weights": runs[0]["weights"],
            "licence": licence,
            "content": content,
            "settings": settings,
            "frames": song["frames"],
            "rate": song["rate"],
            "channels": song["channels"],
            "files": {stem.name: {"bytes": stem.stat().st_size, "sha256": sha256(stem)} for stem in stems},
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
            "seconds": {
                "segment": segmented["seconds"],
                "separate": round(sum(run["seconds"] for run in runs), 3),
                "merge": round(time.monotonic() - begun, 3),
            },
            "devices": sorted({run["device"] for run in runs}),
            "engines": sorted({run["engine"] for run in runs}),
            "arithmetics": sorted({run["arithmetic"] for run in runs}),
            "threads": sorted({run["threads"] for run in runs}),
            # What was separated by an older version, before an interruption, does not tell.
            "loading": round(sum(run.get("loading", 0.0) for run in runs), 3),
            "passes": max(run.get("passes", 0) for run in runs),
            "chunks": sum(run.get("chunks", 0) for run in runs),
            "chunk_seconds": max(run.get("chunk_seconds", 0.0) for run in runs),
            "notices": list(dict.fromkeys(notice for run in runs for notice in run["notices"])),
            "versions": versions(),
        },
    )


def versions() -> dict[str, str]:
    """Versions of what can change the bytes, as installed here."""
    found = {"unbraid": unbraid.__version__}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _channels(block: Audio, index: int, channels: int, wanted: int) -> Audio:
    own = arrange(block[:, index * channels : (index + 1) * channels], wanted)
    return np.stack(list(own.T), axis=1)  # contiguous; copied by columns it takes a tenth of the time
