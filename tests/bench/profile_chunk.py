"""Where the time of a chunk of htdemucs goes in OpenVINO: by kind of operation, on one thread, against what the CPU can do.

The least that a chunk could take is its floating-point operations at the speed of a large product of matrices, in the arithmetic
that OpenVINO computes in.
"""

import argparse
import os
import time
from collections import defaultdict

import numpy as np
import openvino
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import environment
import tables
from peers import MODELS, ready
from unbraid.backends import demucs_openvino_core, demucs_spectrum, demucs_weights
from unbraid.backends.openvino_models import precision

SIDE = 2048  # of the matrices


def operations(network: torch.nn.Module, audio: torch.Tensor) -> float:
    """Of a chunk: multiplications and additions, without the Fourier transforms and what is done element by element."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    # Only what attention is made of is counted, not attention as one operation.
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        network(audio)
    torch.backends.mha.set_fastpath_enabled(fast)
    return float(counter.get_total_flops())


def peak(threads: int, dtype: torch.dtype) -> float:
    """Floating-point operations a second of a product of two matrices."""
    torch.set_num_threads(threads)
    left, right = (torch.randn(SIDE, SIDE).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(8):
        begun = time.perf_counter()
        left @ right
        best = min(best, time.perf_counter() - begun)
    return 2 * SIDE**3 / best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exact", action="store_true", help="float32 also where the CPU has bfloat16")
    tables.add_option(parser)
    arguments = parser.parse_args()
    model = ready()
    path = MODELS / model.name / f"{model.weights[0].name}.safetensors"
    network, core = demucs_weights.load(path), openvino.Core()
    shape = 1, network.audio_channels, int(network.segment * network.samplerate)
    audio = torch.from_numpy(np.random.default_rng(0).standard_normal(shape).astype(np.float32))
    hint = precision(core, exact=arguments.exact)
    settings = {"INFERENCE_PRECISION_HINT": hint, "NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": 1, "PERF_COUNT": True}
    request = core.compile_model(demucs_openvino_core.convert(path), "CPU", settings).create_infer_request()
    shown = [audio.numpy(), demucs_spectrum.analyse(audio[0].numpy(), network.nfft)[None]]
    request.infer(shown)  # the first also allocates
    request.infer(shown)
    seconds: dict[str, float] = defaultdict(float)
    for done in request.get_profiling_info():
        seconds[done.node_type] += done.real_time.total_seconds()
    total, cores = sum(seconds.values()), os.cpu_count() or 1
    rows = [
        [kind, f"{taken:.2f}", f"{taken / total:.0%}"]
        for kind, taken in sorted(seconds.items(), key=lambda item: -item[1])
        if taken >= total / 200
    ]
    dtype = {"bf16": torch.bfloat16, "f32": torch.float32}[hint]
    work, alone, together = operations(network, audio), peak(1, dtype), peak(cores, dtype)
    text = (
        f"{tables.table(['operation', 's', 'share'], [*rows, ['all', f'{total:.2f}', '100%']])}\n\n"
        f"A chunk is {work / 1e9:.0f} GFLOP. A product of matrices in {hint} runs at {alone / 1e9:.0f} GFLOP/s on one thread"
        f" and {together / 1e9:.0f} on {cores}: {work / alone:.2f} s a chunk at the least on one thread, and {work / together:.2f}"
        f" with all. OpenVINO computed in {hint}."
    )
    tables.publish("chunk", f"{text}\n\n{environment.describe('cpu')}", arguments.write)


if __name__ == "__main__":
    main()
