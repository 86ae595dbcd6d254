"""Keys: names of files made from all that decides their bytes."""

import hashlib
import json
import re
from typing import Any

# A stage's version is bumped when its numerics change, and only then; tests/unit/test_golden.py notices a forgotten bump.
STAGE_VERSIONS = {"convert": 2, "segment": 1, "separate": 1, "merge": 1, "ensemble": 1, "prompt": 1, "have": 2}

DIGITS = 32  # hex digits of sha256 kept: 128 bits, so that a chance collision is out of reach


def key(stage: str, content: dict[str, Any], prefix: str = "") -> str:
    """The key of what `stage` makes from `content`.

    content: JSON values only; paths, names, dates, threads and devices never belong in it.
    prefix: a readable name in front of the hash; it does not enter the hash.
    """
    text = json.dumps(record(stage, content), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    digest = hashlib.sha256(text.encode()).hexdigest()[:DIGITS]
    return f"{prefix}-{digest}" if prefix else digest


def record(stage: str, content: dict[str, Any]) -> dict[str, Any]:
    """All that is hashed for a key: enough to make it again."""
    return {"stage": stage, "version": STAGE_VERSIONS[stage], **content}


def pattern(prefix: str = "") -> str:
    """Regular expression that every key with this prefix matches."""
    digits = f"[0-9a-f]{{{DIGITS}}}"
    return f"{re.escape(prefix)}-{digits}" if prefix else digits


def only(wanted: list[str], all_of_them: list[str], form: str) -> str:
    """Regular expression that matches `wanted` of all these names, before a slash; each name matches `form`.

    As short as can be: Snakemake goes through its text for every file of every job.
    """
    others = set(all_of_them) - set(wanted)
    if not others:
        return form
    if len(others) < len(wanted):
        return f"(?!(?:{one_of(list(others))})/){form}"
    return one_of(wanted)


def one_of(names: list[str]) -> str:
    """Regular expression that matches exactly these names, and nothing when there are none."""
    return "|".join(re.escape(name) for name in sorted(names)) or "(?!)"
