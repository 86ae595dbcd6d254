"""MDX-Net: an ONNX graph on the spectrogram, run by onnxruntime; everything around it in torch on the CPU."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from audio_separator.separator.uvr_lib_v5.stft import STFT

from unbraid.backends import uvr_config
from unbraid.backends.session import Audio, Pass, Plain, Statistics, passes
from unbraid.backends.uvr_weights import order, parameters
from unbraid.backends.weights import damaged, verify
from unbraid.catalogue import Model
from unbraid.errors import UnbraidError
from unbraid.grid import Chunk

HOP = 1024  # frames between columns, of every MDX-Net
LOUD = 0.9  # see uvr_mdxc
DARK = 3  # lowest bins, that upstream never shows the network


class MdxSession(Plain):
    """The one network of a model. It finds one stem; the other one is the rest of the mix."""

    engine = "onnxruntime"
    batch = 1

    def __init__(self, model: Model, folder: Path, settings: dict[str, Any], device: str, threads: int) -> None:
        torch.set_num_threads(threads)
        paths = verify(folder, model)
        checkpoint = next(path for path in paths.values() if path.suffix == ".onnx")
        tables = [path for path in paths.values() if path.suffix == ".json"]
        known = parameters(model, uvr_config.MDX, checkpoint, tables)
        bins, columns = int(known["mdx_dim_f_set"]), 2 ** int(known["mdx_dim_t_set"])
        transform = int(known["mdx_n_fft_scale_set"])
        primary = uvr_config.stem_name(known["primary_stem"])
        self._order = order(model, (primary, uvr_config.complement(primary)))
        # UVR has measured how much too quiet a network's stem comes out, and corrects it before it takes the rest.
        self._compensate = float(known["compensate"])
        self._shown = HOP * (columns - 1)
        self._trim = transform // 2  # the edges, where the transform sees too little
        self._stft = STFT(None, transform, HOP, bins, "cpu")
        self._settings = settings
        self.device, self.notices, providers = _providers(device)
        self._run = _graph(checkpoint, providers, threads, (bins, columns))

    def begin(self, statistics: Statistics, prompt_file: Path | None = None) -> None:
        super().begin(statistics, prompt_file)
        self.passes = passes([(self._shown - 2 * self._trim, [1.0, 1.0])], self._settings, statistics.rate)

    def level(self) -> tuple[np.float32, np.float32]:
        return np.float32(0), np.float32(self.statistics.peak / LOUD)

    def valid_length(self, one: Pass, length: int) -> int:
        return length + 2 * self._trim

    def separate(self, one: Pass, audio: Audio, chunks: Sequence[Chunk]) -> Audio:
        length = audio.shape[-1]
        with torch.inference_mode():
            mix = torch.from_numpy(audio)
            spectrum = self._stft(torch.nn.functional.pad(mix, (0, self._shown - length)))
            spectrum[:, :, :DARK] = 0
            masked = self._run.run(None, {self._run.get_inputs()[0].name: spectrum.numpy()})[0]
            stem = self._stft.inverse(torch.from_numpy(masked))[..., :length] * self._compensate
            stems: Audio = torch.stack([stem, mix - stem], dim=1)[:, self._order].numpy()
        return stems

    def close(self) -> None:
        del self._run


def _providers(device: str) -> tuple[str, list[str], list[Any]]:
    """The device, notices, and onnxruntime's names for it. Raises: UnbraidError for one that onnxruntime does not offer."""
    kind, _, index = device.partition(":")
    has_cuda = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    if kind == "cuda" or (kind == "auto" and has_cuda):
        if not has_cuda:
            raise UnbraidError(
                f"device={device} was asked for, but onnxruntime {onnxruntime.__version__} has no CUDA here, and MDX-Net"
                " runs on it.",
                remedy="Install onnxruntime-gpu in place of onnxruntime, or set device=auto or cpu.",
            )
        return device if kind == "cuda" else "cuda", [], [("CUDAExecutionProvider", {"device_id": int(index or 0)})]
    if kind not in ("auto", "cpu"):
        raise UnbraidError(
            f"MDX-Net has no engine for device={device}: it runs on onnxruntime.", remedy="Set device=auto or cpu."
        )
    notices = [f"Running on the CPU: onnxruntime {onnxruntime.__version__} offers no GPU."] if kind == "auto" else []
    return "cpu", notices, ["CPUExecutionProvider"]


def _graph(path: Path, providers: list[Any], threads: int, shape: tuple[int, int]) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(path), sess_options=options, providers=providers)
    except Exception as error:  # onnxruntime has a class of its own for each, all of them derived from this
        raise damaged(path, error) from error
    declared = session.get_inputs()[0].shape[2:]
    if any(isinstance(size, int) and size != wanted for size, wanted in zip(declared, shape, strict=True)):
        raise UnbraidError(
            f"{path} takes spectrograms of {declared}, but its parameters say {list(shape)}.",
            remedy="Correct mdx_dim_f_set and mdx_dim_t_set in its entry in the catalogue.",
        )
    return session
