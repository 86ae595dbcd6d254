"""Quality gates: what of a song's qc.json is beyond its limits."""

from collections.abc import Iterator, Mapping
from typing import Any

PASSED = "passed.json"
Limits = Mapping[str, Any]
"""Of the configuration (`qc_…`). residual: dB. clipped, lag: samples. silence: share of a stem."""


def judge(quality: Mapping[str, Any], limits: Limits | None) -> list[str]:
    """A sentence for each gate that fires, with stem, number and limit. quality: what qc.json holds; limits: None for none.

    Samples that are no numbers, and a length that is not the song's, are wrong whatever the limits.
    """
    return [*_stems(quality, limits), *_sets(quality, limits)] if limits and quality else []


def _stems(quality: Mapping[str, Any], limits: Limits) -> Iterator[str]:
    clipped, silence = limits["clipped"], limits["silence"]
    quiet = quality["mix"]["silent_share"] > silence
    for stem, found in quality["stems"].items():
        # A file that was written before these were measured lacks them.
        if strange := found.get("nonfinite_samples"):
            yield f"{stem}: samples that are no numbers: {strange} (limit 0)."
        if found["frames"] != (expected := found.get("expected_frames", found["frames"])):
            yield f"{stem}: frames: {found['frames']} (limit: {expected}, as many as its song)."
        if found["clipped_by_delivery"] > clipped:
            yield f"{stem}: samples that were clipped: {found['clipped_by_delivery']} (qc_clipped={clipped})."
        if found["silent_share"] > silence and not quiet:
            yield f"{stem}: {found['silent_share']:.1%} of it is silent (qc_silence={silence:g})."


def _sets(quality: Mapping[str, Any], limits: Limits) -> Iterator[str]:
    residual, lag = limits["residual"], limits["lag"]
    for one in quality["residuals"]:
        stems, level = " + ".join(one["stems"]), one["residual_db"]
        if level is None and not one["exact"]:
            yield f"{stems}: they sound where the song is silent, or are no numbers."
        if level is not None and level > residual:
            yield f"{stems}: what they leave of the song is at {level:.1f} dB (qc_residual={residual:g})."
        if abs(off := one.get("lag") or 0) > lag:
            yield f"{stems}: {'late' if off > 0 else 'early'} by {abs(off)} samples (qc_lag={lag})."
