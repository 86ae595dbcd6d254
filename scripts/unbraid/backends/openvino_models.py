"""Torch networks compiled by OpenVINO for this machine's CPU, each compiled once and kept beside its weights.

A chunk is one thread's work, so its bits do not depend on the number of cores; the cores take several chunks at once.
"""

import hashlib
import io
import json
import logging
import os
import tempfile
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import openvino
import torch

log = logging.getLogger("unbraid")

CONVERSION = 1  # counted up when `_converted` makes something else
DIGEST = hashlib.sha256().digest_size


def precision(core: openvino.Core, *, exact: bool) -> str:
    """What the network is computed in: bf16 where it is allowed and the processor has instructions for it, else f32."""
    fast = not exact and "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "bf16" if fast else "f32"


def compiled(
    network: torch.nn.Module,
    examples: Sequence[torch.Tensor],
    *,
    place: Path,
    tensors: str,
    exact: bool,
    streams: int,
) -> openvino.CompiledModel:
    """`network`, for inputs of exactly the examples' shapes, able to compute `streams` of them at once.

    place: a folder for what was compiled, which is for this machine's kind of CPU only. tensors: digest of the weights.
    """
    core = openvino.Core()
    hint = precision(core, exact=exact)
    identity = {
        "conversion": CONVERSION,
        "openvino": version("openvino"),
        "tensors": tensors,
        "shapes": [list(example.shape) for example in examples],
        "precision": hint,
        "processor": [core.get_property("CPU", "FULL_DEVICE_NAME"), torch.backends.cpu.get_cpu_capability()],
        "able": sorted(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")),
    }
    name = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:20]
    path = place / f"{name}.blob"
    settings = {"INFERENCE_PRECISION_HINT": hint, "NUM_STREAMS": streams, "INFERENCE_NUM_THREADS": streams}
    blob = _read(path)
    if blob is None:
        log.info("OpenVINO compiles the network for this machine; that is done once.")
        exported = io.BytesIO()
        core.compile_model(_converted(network, examples), "CPU", settings).export_model(exported)
        blob = exported.getvalue()
        _keep(blob, path)
    # Also what was compiled just now is loaded as it will be next time, so that both give the same bits.
    return core.import_model(blob, "CPU", settings)


def _converted(network: torch.nn.Module, examples: Sequence[torch.Tensor]) -> openvino.Model:
    jit: Any = torch.jit  # untyped
    # The fused attention of torch's fast path is not an operation that OpenVINO knows.
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        # Its warnings are of branches on shapes, which are always the same here.
        with torch.no_grad(), warnings.catch_warnings(action="ignore", category=jit.TracerWarning):
            traced = jit.trace(network.eval(), tuple(examples), check_trace=False)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    return openvino.convert_model(
        traced, example_input=tuple(examples), input=[tuple(example.shape) for example in examples]
    )


def _read(path: Path) -> bytes | None:
    """What was kept, if it is whole: the file begins with the digest of the rest."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    blob: Any = memoryview(content)[DIGEST:]
    return bytes(blob) if hashlib.sha256(blob).digest() == content[:DIGEST] else None


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
