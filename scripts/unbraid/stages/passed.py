"""Stage passed: whether a song's stems are within the limits of the quality gates."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unbraid import gates
from unbraid.errors import UnbraidError
from unbraid.files import read_json, write_json


def passed(quality: Path, output: Path, *, limits: Mapping[str, Any]) -> None:
    """Write `output`, which holds the limits, when what qc.json says is within them.

    Raises: UnbraidError with everything that is not.
    """
    if warnings := gates.judge(read_json(quality), limits):
        raise UnbraidError(
            f"The stems are delivered, but not as they should be (qc: fail). {' '.join(warnings)}",
            remedy="Listen to them. Then raise the limit, or set qc=warn.",
        )
    write_json(output, {"limits": limits})
