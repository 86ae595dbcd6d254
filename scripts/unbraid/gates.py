"""Quality gates: what of a song's qc.json is beyond its limits."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from unbraid.audio.resample import resampled_frames
from unbraid.errors import UnbraidError


@dataclass(frozen=True)
class Limits:
    """Of the configuration (`qc_…`). residual: dB. clipped, lag: samples. silence: share of a stem."""

    residual: float
    clipped: int
    silence: float
    lag: int


def judge(quality: Mapping[str, Any], limits: Limits) -> list[str]:
    """A sentence for each gate that fires, with stem, number and limit. quality: what qc.json holds.

    Samples that are no numbers, and a length that is not the song's, are wrong whatever the limits.
    """
    return [*_stems(quality, limits), *_sets(quality, limits)]


def fail(warnings: list[str]) -> None:
    """Raises: UnbraidError with all that is beyond its limits, if anything is."""
    if warnings:
        raise UnbraidError(
            f"The stems are delivered, but not as they should be (qc: fail). {' '.join(warnings)}",
            remedy="Listen to them. Then raise the limit, or set qc=warn.",
        )


def is_whole(song: Mapping[str, Any], stem: Mapping[str, Any]) -> bool:
    """Whether a delivered stem is as long as its song, at its own rate."""
    return bool(stem["frames"] == resampled_frames(song["frames"], song["rate"], stem["rate"]))


def _stems(quality: Mapping[str, Any], limits: Limits) -> Iterator[str]:
    quiet = quality["mix"]["silent_share"] > limits.silence
    for stem, found in quality["stems"].items():
        if found["nonfinite_samples"]:
            yield f"{stem}: {found['nonfinite_samples']} samples are no numbers (limit 0)."
        if not is_whole(quality, found):
            lengths = (
                f"{found['frames']} frames at {found['rate']} Hz, its song {quality['frames']} at {quality['rate']} Hz"
            )
            yield f"{stem}: it is not as long as its song ({lengths})."
        if found["clipped_by_delivery"] > limits.clipped:
            yield f"{stem}: {found['clipped_by_delivery']} samples were clipped (qc_clipped={limits.clipped})."
        if found["silent_share"] > limits.silence and not quiet:
            yield f"{stem}: {found['silent_share']:.1%} of it is silent (qc_silence={limits.silence:g})."


def _sets(quality: Mapping[str, Any], limits: Limits) -> Iterator[str]:
    for one in quality["residuals"]:
        stems = " + ".join(one["stems"])
        if one["residual_db"] is not None and one["residual_db"] > limits.residual:
            yield f"{stems}: differ from the mix by {one['residual_db']:.1f} dB (qc_residual={limits.residual:g})."
        if one["lag"] and abs(one["lag"]) > limits.lag:
            way = "late" if one["lag"] > 0 else "early"
            yield f"{stems}: {abs(one['lag'])} samples too {way} (qc_lag={limits.lag})."
