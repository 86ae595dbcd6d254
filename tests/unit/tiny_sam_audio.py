"""Small, random networks of SAM-Audio's classes for MLX, with a small T5, as the files that a model of the catalogue has."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import torch
from mlx.utils import tree_flatten
from mlx_audio.sts.models.sam_audio.config import SAMAudioConfig
from mlx_audio.sts.models.sam_audio.model import SAMAudio
from mlx_audio.sts.models.sam_audio.text_encoder import T5Config, T5Encoder
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from unbraid.catalogue import Model, Source, Weights
from unbraid.fetch import fetch

CATALOGUE = Path(__file__).parents[2] / "config/models.yaml"
RATE = 48000
HOP = 80
CHUNK = 1600  # frames: a thirtieth of a second
WORDS = ["<pad>", "</s>", "<unk>", "bass", "guitar", "singing", "voice"]
CONFIG: dict[str, Any] = {
    "in_channels": 48,
    "audio_codec": {
        "encoder_dim": 4,
        "encoder_rates": [8, 10],
        "latent_dim": 16,
        "decoder_dim": 64,
        "decoder_rates": [10, 8],
        "codebook_dim": 8,
        "sample_rate": RATE,
    },
    "text_encoder": {"name": "t5-base", "dim": 16},
    "transformer": {
        "dim": 32,
        "n_heads": 4,
        "n_layers": 1,
        "context_dim": 32,
        "out_channels": 16,
        "frequency_embedding_dim": 16,
        "multiple_of": 8,
        "max_positions": 400,
    },
    "num_anchors": 3,
    "anchor_embedding_dim": 8,
}
T5 = {
    "model_type": "t5",
    "vocab_size": len(WORDS),
    "d_model": 16,
    "d_kv": 8,
    "d_ff": 32,
    "num_layers": 1,
    "num_heads": 2,
    "relative_attention_num_buckets": 8,
}


def parameters(idle: bool = False) -> dict[str, mx.array]:
    """Of the network: random, but loud enough that prompt, anchors and noise can be told from rounding.

    idle: with those of the codec's watermark, which are most of them and do nothing.
    """
    mx.random.seed(0)
    drawn = dict(tree_flatten(SAMAudio(SAMAudioConfig.from_dict(CONFIG)).parameters()))
    generator = np.random.default_rng(0)
    for name, value in drawn.items():
        if not name.startswith("audio_codec"):
            noise = generator.standard_normal(value.shape).astype(np.float32)
            drawn[name] = mx.array(noise) * (1 / max(value.shape[-1], 1) ** 0.5 if value.ndim > 1 else 0.5)
    drawn["audio_codec.decoder.conv_out.weight_g"] = drawn["audio_codec.decoder.conv_out.weight_g"] * 10
    return {name: value for name, value in drawn.items() if idle or "wm_model" not in name}


def files(folder: Path) -> dict[str, Path]:
    """The five files, by their names in the catalogue."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {
        "config": folder / "config.json",
        "network": folder / "model.safetensors",
        "t5-config": folder / "t5.json",
        "t5-model": folder / "t5.safetensors",
        "t5-tokenizer": folder / "tokenizer.json",
    }
    paths["config"].write_text(json.dumps(CONFIG))
    mx.save_safetensors(str(paths["network"]), parameters())
    paths["t5-config"].write_text(json.dumps(T5))
    mx.random.seed(1)
    sizes = {name: value for name, value in T5.items() if name != "model_type"}
    t5 = T5Encoder(T5Config(**sizes, is_gated_act=False, dense_act_fn="relu"))
    tensors = dict(tree_flatten(t5.parameters()))
    # As upstream's file: a decoder that nobody needs.
    mx.save_safetensors(str(paths["t5-model"]), {**tensors, "decoder.final_layer_norm.weight": mx.ones((16,))})
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer.save(str(paths["t5-tokenizer"]))
    return paths


def model(paths: dict[str, Path]) -> Model:
    return Model(
        name="tiny-sam",
        backend="sam_audio",
        architecture="SAM-Audio",
        description="untrained",
        stems=("target",),
        licence="CC0, made for a test",
        rate=RATE,
        segment=CHUNK / RATE,
        weights=tuple(Weights(name, (Source("file", str(path)),)) for name, path in paths.items()),
    )


def fetched(folder: Path, **changes: Path) -> tuple[Model, Path]:
    """The model and its folder. changes: other files than those of `files`, by their names in the catalogue."""
    made = model({**files(folder / "source"), **changes})
    fetch(made, folder / "model", log=lambda text: None)
    return made, folder / "model"


def changed(folder: Path, name: str, drop: str = "", add: dict[str, mx.array] | None = None) -> Path:
    """A file of tensors without `drop` and with `add`."""
    source = files(folder)[name]
    tensors = {key: value for key, value in mx.load(str(source)).items() if key != drop} | (add or {})
    target = folder / "changed.safetensors"
    mx.save_safetensors(str(target), tensors)
    return target


def replace(made: Model, **changes: Any) -> Model:
    return dataclasses.replace(made, **changes)


RENAMED = [
    (r"^(audio_codec\.encoder)\.conv_in\.", r"\1.block.0."),
    (
        r"^(audio_codec\.encoder)\.blocks\.(\d)\.res(\d)\.",
        lambda m: f"{m[1]}.block.{int(m[2]) + 1}.block.{int(m[3]) - 1}.",
    ),
    (r"^(audio_codec\.encoder)\.blocks\.(\d)\.snake\.", lambda m: f"{m[1]}.block.{int(m[2]) + 1}.block.3."),
    (r"^(audio_codec\.encoder)\.blocks\.(\d)\.conv\.", lambda m: f"{m[1]}.block.{int(m[2]) + 1}.block.4."),
    (r"^(audio_codec\.encoder)\.snake_out\.", r"\1.block.5."),
    (r"^(audio_codec\.encoder)\.conv_out\.", r"\1.block.6."),
    (r"^(audio_codec\.decoder)\.conv_in\.", r"\1.model.0."),
    (r"^(audio_codec\.decoder)\.blocks\.(\d)\.block_(\d+)\.", lambda m: f"{m[1]}.model.{int(m[2]) + 1}.block.{m[3]}."),
    (r"^(audio_codec\.decoder)\.snake_out\.", r"\1.wm_model.encoder_block.pre.0."),
    (r"^(audio_codec\.decoder)\.conv_out\.", r"\1.wm_model.encoder_block.pre.1."),
    (r"^(audio_codec)\.quantizer_(in|out)_proj\.", r"\1.quantizer.\2_proj."),
    (r"\.act(\d)\.", lambda m: f".block.{2 * int(m[1]) - 2}."),
    (r"(?<!block1)(?<!block2)\.conv(\d)\.", lambda m: f".block.{2 * int(m[1]) - 1}."),
]


def checkpoint(path: Path) -> Path:
    """The network of `files` as upstream stores it: a pickle, upstream's names and shapes, and its parts for video."""
    state = {}
    for name, value in parameters().items():
        tensor = torch.from_numpy(np.array(value))
        if (tensor.ndim == 3 and "audio_codec" in name) or ("x_embedder" in name and tensor.ndim == 3):
            transposed = ".block_1." in name or ".block_3." in name
            tensor = tensor.permute(2, 0, 1) if transposed else tensor.permute(0, 2, 1)
        for pattern, renamed in RENAMED:
            name = re.sub(pattern, renamed, name)
        state[name] = tensor
    shared = torch.ones(4)
    torch.save({**state, "vision_encoder.a": shared, "vision_encoder.b": shared}, path)
    return path
