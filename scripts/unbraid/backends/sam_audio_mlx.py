"""SAM-Audio on MLX, through `mlx_audio`: Apple silicon's GPU, or any CPU with `mlx[cpu]`.

The network is driven a level below `SAMAudio.separate`, which draws its own noise, stops early at step sizes that do not
divide 1, and decodes a residual that nobody hears; and is loaded without `from_pretrained`, which only warns of weights
that do not fit.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten
from mlx_audio.sts.models.sam_audio.config import SAMAudioConfig
from mlx_audio.sts.models.sam_audio.model import SAMAudio, wired_limit
from mlx_audio.sts.models.sam_audio.processor import SAMAudioProcessor
from mlx_audio.sts.models.sam_audio.text_encoder import T5Config, T5Encoder
from tokenizers import Tokenizer

from unbraid.backends import sam_audio_weights
from unbraid.backends.sam_audio_options import Anchor, Options
from unbraid.backends.session import Audio
from unbraid.backends.weights import damaged
from unbraid.errors import UnbraidError
from unbraid.files import read_json

_MALFORMED = (ValueError, KeyError, TypeError, AttributeError, RuntimeError, OSError)
_IDLE = "wm_model"  # the codec's watermark, which is never applied here; conversions may leave it out


class Engine:
    """The network of one model. The interface is `unbraid.backends.sam_audio.Engine`."""

    name = "mlx"

    def __init__(self, paths: Mapping[str, Path], options: Options, precision: str, device: str) -> None:
        if options.candidates > 1:
            raise UnbraidError(
                f"The mlx engine cannot choose among {options.candidates} candidates: it has no rankers.",
                remedy="Set candidates: 1, or run on a CUDA GPU with engine=torch.",
            )
        self.device = _use(device)
        self._options = options
        config = _config(paths)
        self._network = SAMAudio(config)
        _fill(self._network, SAMAudio.sanitize(_read(paths["network"])), paths["network"], precision)
        kinds = {value.dtype for value in dict(tree_flatten(self._network.parameters())).values()}
        self.arithmetic = next((name for name in ("bfloat16", "float16") if getattr(mx, name) in kinds), "float32")
        self._processor = SAMAudioProcessor(config.audio_codec.hop_length, config.audio_codec.sample_rate)
        self.features = 2 * config.audio_codec.codebook_dim

    def separate(self, audio: Audio, text: Audio, anchors: list[Anchor], noise: Audio, seed: int) -> Audio:
        steps = noise.shape[1]
        ids, alignment = self._processor.process_anchors([anchors], mx.ones((1, steps), dtype=mx.bool_), 1)
        network, count = self._network, self._options.ode_steps
        step = network._ode_step_euler if self._options.ode_method == "euler" else network._ode_step_midpoint
        with wired_limit(network):
            conditions = {
                "audio_features": network._get_audio_features(mx.array(audio[None, None])),
                "text_features": mx.array(text[None]),
                "text_mask": mx.ones((1, len(text)), dtype=mx.bool_),
                "anchor_ids": ids,
                "anchor_alignment": alignment,
                "audio_pad_mask": None,
            }
            state = mx.array(noise)
            for index in range(count):
                state = step(t=index / count, dt=1 / count, noisy_audio=state, **conditions)
                mx.eval(state)  # or the graph of all steps piles up
            target = state[:, :, : self.features // 2]
            wave = network.audio_codec.decode(mx.transpose(target, (0, 2, 1)))
            mx.eval(wave)
        result: Audio = np.array(wave[0, :, 0].astype(mx.float32))
        mx.clear_cache()
        return result

    def close(self) -> None:
        del self._network
        mx.clear_cache()


def encode(paths: Mapping[str, Path], prompt: str, device: str) -> Audio:
    """What T5 makes of a prompt: [tokens, features]."""
    _use(device)
    path = paths["t5-model"]
    try:
        tokenizer = Tokenizer.from_file(str(paths["t5-tokenizer"]))
    except Exception as error:  # tokenizers raises nothing narrower
        raise damaged(paths["t5-tokenizer"], error) from error
    try:
        # What configurations of the first T5 do not say, because it had no other.
        known = {"is_gated_act": False, "dense_act_fn": "relu", **read_json(paths["t5-config"])}
        network = T5Encoder(T5Config(**{name: known[name] for name in T5Config.__dataclass_fields__ if name in known}))
    except _MALFORMED as error:
        raise damaged(paths["t5-config"], error) from error
    weights = {name: tensor for name, tensor in T5Encoder.sanitize(_read(path)).items() if name != "lm_head.weight"}
    _fill(network, weights, path, "exact")
    tokenizer.enable_truncation(_config(paths).text_encoder.max_length or 512)
    tokens = mx.array([tokenizer.encode(prompt).ids])
    features = network(input_ids=tokens, attention_mask=mx.ones(tokens.shape, dtype=mx.int32))
    result: Audio = np.array(features[0].astype(mx.float32))
    return result


def _use(device: str) -> str:
    if device == "cpu":
        mx.set_default_device(mx.cpu)
    return "cpu" if mx.default_device() == mx.Device(mx.cpu) else "mlx"


def _config(paths: Mapping[str, Path]) -> SAMAudioConfig:
    try:
        return SAMAudioConfig.from_dict(read_json(paths["config"]))
    except _MALFORMED as error:
        raise damaged(paths["config"], error) from error


def _read(path: Path) -> dict[str, mx.array]:
    try:
        weights: Any = mx.load(str(path), format="safetensors")
        return dict(weights)
    except _MALFORMED as error:
        raise damaged(path, error) from error


def _fill(network: Any, weights: dict[str, mx.array], path: Path, precision: str) -> None:
    """Set every parameter of a network. Raises: UnbraidError unless file and network match to the last tensor."""
    parameters = dict(tree_flatten(network.parameters()))
    weights = {name: value for name, value in parameters.items() if _IDLE in name} | weights
    missing, unexpected = parameters.keys() - weights.keys(), weights.keys() - parameters.keys()
    sam_audio_weights.complete(path, missing, {name for name in unexpected if _IDLE not in name})
    if precision == "exact":  # conversions are in half precision; `fast` computes with them as they are
        weights = {name: value.astype(mx.float32) for name, value in weights.items()}
    try:
        network.load_weights(list(weights.items()), strict=True)
    except ValueError as error:  # a tensor of another shape
        raise damaged(path, error) from error
    mx.eval(network.parameters())
    network.eval()
