"""Networks compiled by OpenVINO for this machine's CPU, each compiled once and kept beside its weights.

A chunk is one thread's work, so its bits do not depend on the number of cores; the cores take several chunks at once.
"""

import hashlib
import io
import json
import logging
import os
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import openvino
from numpy.typing import NDArray

log = logging.getLogger("unbraid")

Bytes = NDArray[np.uint8]

CONVERSION = 5  # counted up when what `convert` gives changes
DIGEST = hashlib.sha256().digest_size


class Compiled(NamedTuple):
    """A network ready to compute. It reads its weights from `blob`, which must be kept as long as its requests."""

    model: openvino.CompiledModel
    precision: str
    blob: Bytes


def precision(core: openvino.Core, *, exact: bool) -> str:
    """What the network is computed in: bf16 where it is allowed and the processor has instructions for it, else f32."""
    fast = not exact and "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "bf16" if fast else "f32"


def compiled(
    convert: Callable[[], openvino.Model], *, place: Path, weights: str, exact: bool, streams: int
) -> Compiled:
    """What `convert` gives, able to compute `streams` inputs at once. It is called only when nothing is kept yet.

    place: a folder for what was compiled, which is for this machine's kind of CPU only. weights: sha256 of their file.
    """
    core = openvino.Core()
    hint = precision(core, exact=exact)
    identity = {
        "conversion": CONVERSION,
        "openvino": version("openvino"),
        "weights": weights,
        "precision": hint,
        "processor": [core.get_property("CPU", "FULL_DEVICE_NAME"), _instructions()],
        "able": sorted(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")),
    }
    name = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:20]
    path = place / f"{name}.blob"
    settings = {"INFERENCE_PRECISION_HINT": hint, "NUM_STREAMS": streams, "INFERENCE_NUM_THREADS": streams}
    blob = _read(path)
    if blob is None:
        log.info("OpenVINO compiles the network for this machine; that is done once.")
        exported = io.BytesIO()
        core.compile_model(convert(), "CPU", settings).export_model(exported)
        _keep(exported.getvalue(), path)
        blob = np.frombuffer(exported.getbuffer(), np.uint8)
    # Also what was compiled just now is loaded as it will be next time, so that both give the same bits.
    return Compiled(core.import_model(openvino.Tensor(blob, shared_memory=True), "CPU", settings), hint, blob)


def _instructions() -> list[str]:
    """The extensions of this processor's instruction set: its name does not tell what a virtual machine hides of it."""
    found: Any = np.show_config(mode="dicts")
    known = found["SIMD Extensions"]
    return [*known.get("baseline", []), *known.get("found", [])]


def _read(path: Path) -> Bytes | None:
    """What was kept, if it is whole: the file begins with the digest of the rest. Mapped, so that it is in memory once.

    (Copied on write, since OpenVINO takes no read-only memory.)
    """
    try:
        content: Bytes = np.memmap(path, np.uint8, "c")
    except (OSError, ValueError):  # none, or an empty one
        return None
    rest: Any = content[DIGEST:]
    return rest if hashlib.sha256(rest).digest() == content[:DIGEST].tobytes() else None


def _keep(blob: bytes, path: Path) -> None:
    """Written under a name of its own, since several jobs may compile at once. Where it cannot be, each job compiles."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, partial = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with open(descriptor, "wb") as file:
                file.write(hashlib.sha256(blob).digest() + blob)
            os.chmod(partial, 0o644)
            os.replace(partial, path)
        except BaseException:
            os.unlink(partial)
            raise
    except OSError as error:
        log.warning("What OpenVINO compiled cannot be kept (%s), so each job compiles it again.", error)
