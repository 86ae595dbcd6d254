"""Small, untrained checkpoints of each architecture of audio-separator, and models of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
import yaml
from audio_separator.separator.uvr_lib_v5.roformer.bs_roformer import BSRoformer
from audio_separator.separator.uvr_lib_v5.roformer.mel_band_roformer import MelBandRoformer
from audio_separator.separator.uvr_lib_v5.tfc_tdf_v3 import TFC_TDF_net
from audio_separator.separator.uvr_lib_v5.vr_network.nets import CascadedASPPNet
from audio_separator.separator.uvr_lib_v5.vr_network.nets_new import CascadedNet
from ml_collections import ConfigDict

from unbraid.backends import uvr_config
from unbraid.catalogue import Model, Source, Weights
from unbraid.fetch import fetch

ROFORMER = {"dim": 8, "depth": 1, "stereo": True, "dim_head": 4, "heads": 2, "stft_n_fft": 512, "stft_hop_length": 256,
            "stft_win_length": 512, "mask_estimator_depth": 1, "time_transformer_depth": 1, "freq_transformer_depth": 1}  # fmt: skip
NETWORKS = {
    uvr_config.MDX23C: {"act": "gelu", "bottleneck_factor": 2, "growth": 2, "norm": "InstanceNorm", "num_channels": 4,
                        "num_blocks_per_scale": 1, "num_scales": 2, "num_subbands": 2, "scale": [2, 2]},
    uvr_config.BS: {**ROFORMER, "freqs_per_bands": (32, 64, 161)},
    uvr_config.MEL: {**ROFORMER, "num_bands": 8, "sample_rate": 44100},
}  # fmt: skip
AUDIO = {"dim_f": 128, "hop_length": 256, "n_fft": 512, "num_channels": 2, "sample_rate": 44100}


class _Writer(yaml.SafeDumper):
    """Writes tuples as training code does."""


_Writer.add_representer(
    tuple, lambda writer, value: writer.represent_sequence("tag:yaml.org,2002:python/tuple", value, flow_style=True)
)


def config(kind: str, instruments: tuple[str, ...] = ("Vocals", "Instrumental"), target: str | None = None) -> dict:
    count = 1 if target else len(instruments)
    network = {**NETWORKS[kind], **({} if kind == uvr_config.MDX23C else {"num_stems": count})}
    return {
        "audio": AUDIO,
        "model": network,
        "training": {"instruments": list(instruments), "target_instrument": target},
        "inference": {"dim_t": 64, "num_overlap": 2, "batch_size": 1},
    }


def write_yaml(path: Path, content: dict) -> Path:
    path.write_text(yaml.dump(content, Dumper=_Writer))
    return path


def save(path: Path, network: torch.nn.Module) -> Path:
    torch.save(network.state_dict(), path)
    return path


def configured(folder: Path, kind: str, seed: int = 0, **options: Any) -> tuple[Path, Path]:
    """`tiny.ckpt` and `tiny.yaml`."""
    torch.manual_seed(seed)
    content = config(kind, **options)
    classes = {uvr_config.BS: BSRoformer, uvr_config.MEL: MelBandRoformer}
    if kind == uvr_config.MDX23C:
        network = TFC_TDF_net(ConfigDict(content), "cpu")
    else:
        network = classes[kind](**content["model"])
    return save(folder / "tiny.ckpt", network), write_yaml(folder / "tiny.yaml", content)


def vr(folder: Path, *, modern: bool, bins: int, seed: int = 0, depth: int = 31191) -> Path:
    torch.manual_seed(seed)
    if modern:
        return save(folder / "tiny.pth", CascadedNet(bins * 2, nout=4, nout_lstm=4))
    widths = [(2, 2), (2, 2), (4, 1, 1, 1, 0), (1, 2), (6, 2, 1, 1, 0), (2, 4), (4, 2, 1), (2, 2, 1), (2, 2, 1)]
    return save(folder / "tiny.pth", CascadedASPPNet(bins * 2, widths, depth))


MDX = {
    "mdx_dim_f_set": 512,
    "mdx_dim_t_set": 5,
    "mdx_n_fft_scale_set": 4096,
    "compensate": 1.03,
    "primary_stem": "Vocals",
}


def mdx(folder: Path, seed: int = 0) -> Path:
    """An ONNX graph of MDX-Net's form: the spectrogram times a mask that a convolution finds in it."""
    kernel = np.random.default_rng(seed).standard_normal((4, 4, 3, 3)).astype(np.float32) / 4
    shape = ["batch_size", 4, MDX["mdx_dim_f_set"], 2 ** MDX["mdx_dim_t_set"]]
    value = onnx.helper.make_tensor_value_info
    nodes = [
        onnx.helper.make_node("Conv", ["input", "kernel"], ["found"], pads=[1, 1, 1, 1]),
        onnx.helper.make_node("Sigmoid", ["found"], ["mask"]),
        onnx.helper.make_node("Mul", ["input", "mask"], ["output"]),
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "tiny",
        [value("input", 1, shape)],
        [value("output", 1, shape)],
        [onnx.numpy_helper.from_array(kernel, "kernel")],
    )
    made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(made, folder / "tiny.onnx")
    return folder / "tiny.onnx"


def model(kind: str, *paths: Path, stems: tuple[str, ...] = ("vocals", "instrumental"), **parameters: Any) -> Model:
    return Model(
        name="tiny",
        backend="audio_separator",
        architecture=kind,
        description="untrained",
        stems=stems,
        licence="CC0, made for a test",
        rate=44100,
        channels=2,
        weights=tuple(Weights(path.name, (Source("file", str(path)),)) for path in paths),
        parameters=parameters,
    )


def _configured(kind: str, **options: Any) -> Callable[[Path], Model]:
    return lambda folder: model(kind, *configured(folder, kind, **options))


def _vr(name: str, bins: int, **options: Any) -> Callable[[Path], Model]:
    return lambda folder: model(
        uvr_config.VR, vr(folder, bins=bins, **options), vr_model_param=name, primary_stem="Vocals", window_size=320
    )


TINY: dict[str, Callable[[Path], Model]] = {
    "VR 5.1": _vr("1band_sr44100_hl256", 256, modern=True),
    "VR, older": _vr("1band_sr44100_hl256", 256, modern=False),
    "MDX-Net": lambda folder: model(uvr_config.MDX, mdx(folder), **MDX),
    "MDX23C": _configured(uvr_config.MDX23C),
    "BS-RoFormer": _configured(uvr_config.BS, target="Vocals"),
    "Mel-Band-RoFormer": _configured(uvr_config.MEL, target="Vocals"),
}


def ready(folder: Path, made: Model) -> tuple[Model, Path]:
    fetch(made, folder / "model", log=lambda text: None)
    return made, folder / "model"


def tiny(folder: Path, name: str) -> tuple[Model, Path]:
    """A model of this name in TINY, fetched into a folder."""
    return ready(folder, TINY[name](folder))
