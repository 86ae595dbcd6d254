"""SAM-Audio in torch, through upstream's own package `sam_audio`.

The network is built and filled here and not by `from_pretrained`, which needs the network, and an older huggingface_hub.
Neither the span predictor nor the visual ranker is built: both are fetched from elsewhere, and nothing here uses them.
"""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is imported, which sam_audio does

import torch
from safetensors.torch import load_file
from sam_audio import SAMAudio, SAMAudioProcessor
from sam_audio.model.text_encoder import T5TextEncoder

from unbraid.backends import sam_audio_weights
from unbraid.backends.sam_audio_options import Anchor, Options
from unbraid.backends.session import Audio
from unbraid.backends.weights import damaged
from unbraid.errors import UnbraidError
from unbraid.files import read_json

_MALFORMED = (ValueError, KeyError, TypeError, AttributeError, RuntimeError, OSError)
_ELSEWHERE = (
    "text_encoder.",
    "visual_ranker.",
    "text_ranker.",
    "span_predictor.",
)  # parts whose weights are not in the file
_LINKS = {"t5-config": "config.json", "t5-model": "model.safetensors", "t5-tokenizer": "tokenizer.json"}


class Engine:
    """The network of one model. The interface is `unbraid.backends.sam_audio.Engine`."""

    name = "torch"
    arithmetic = "float32"

    def __init__(self, paths: Mapping[str, Path], options: Options, precision: str, device: str) -> None:
        # Both classes of precision compute in float32: half of it was not measured on real weights. Nor TF32, which
        # torch takes for convolutions unless it is told not to.
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        self.device = device
        self._options = options
        with tempfile.TemporaryDirectory(prefix="unbraid-") as folder:
            config = _config(paths, Path(folder), ranked=options.candidates > 1)
            try:
                self._network = SAMAudio(config)
            except _MALFORMED as error:
                raise _not_built(paths, options, error) from error
        _fill(self._network, paths["network"])
        self._network.eval().to(device)
        codec = config.audio_codec
        self._processor = SAMAudioProcessor(
            audio_hop_length=sam_audio_weights.hop(paths), audio_sampling_rate=codec.sample_rate
        )
        self.features = 2 * codec.codebook_dim

    def separate(self, audio: Audio, text: Audio, anchors: list[Anchor], noise: Audio, seed: int) -> Audio:
        options = self._options
        batch = self._processor(
            descriptions=[options.prompt],
            audios=[torch.from_numpy(audio)[None]],
            anchors=[[list(anchor) for anchor in anchors]],
        ).to(self.device)
        self._network.text_encoder = _Encoded(torch.from_numpy(text).to(self.device))
        torch.manual_seed(seed)  # upstream's codec samples the audio's features too
        try:
            with torch.inference_mode():
                result = self._network.separate(
                    batch,
                    noise=torch.from_numpy(noise).to(self.device),
                    ode_opt={"method": options.ode_method, "options": {"step_size": 1 / options.ode_steps}},
                    reranking_candidates=options.candidates,
                )
        except torch.OutOfMemoryError as error:
            raise UnbraidError(
                f"The memory of {self.device} is too small for this SAM-Audio model.",
                remedy="Use a smaller one (sam-audio-small), fewer candidates, or a smaller `segment` in its catalogue entry.",
            ) from error
        found: Audio = result.target[0].reshape(-1).float().cpu().numpy()
        return found

    def close(self) -> None:
        del self._network
        if self.device.startswith("cuda"):
            torch.cuda.empty_cache()


class _Encoded(torch.nn.Module):
    """Stands where the network has its text encoder, and gives the one prompt's features without encoding it again."""

    def __init__(self, features: torch.Tensor) -> None:
        super().__init__()
        self._features = features

    def forward(self, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        features = self._features.expand(len(texts), *self._features.shape)
        return features, torch.ones(features.shape[:2], dtype=torch.bool, device=features.device)


def encode(paths: Mapping[str, Path], prompt: str, device: str) -> Audio:
    """What T5 makes of a prompt: [tokens, features]."""
    with tempfile.TemporaryDirectory(prefix="unbraid-") as folder:
        config = _config(paths, Path(folder), ranked=False)
        try:
            encoder = T5TextEncoder(config.text_encoder).eval().to(device)
        except _MALFORMED as error:
            raise damaged(paths["t5-model"], error) from error
        with torch.inference_mode():
            features, _ = encoder([prompt])
    found: Audio = features[0].float().cpu().numpy()
    return found


def _config(paths: Mapping[str, Path], folder: Path, *, ranked: bool) -> Any:
    """The network's configuration, with the T5 of these files (linked into `folder`) as its text encoder."""
    for name, link in _LINKS.items():
        (folder / link).symlink_to(paths[name].resolve())
    try:
        values = read_json(paths["config"])
        values |= {"span_predictor": None, "visual_ranker": None}
        if not ranked:
            values["text_ranker"] = None
        values["text_encoder"] = {**values.get("text_encoder", {}), "name": str(folder)}
        return SAMAudio.config_cls(**values)
    except _MALFORMED as error:
        raise damaged(paths["config"], error) from error


def _not_built(paths: Mapping[str, Path], options: Options, error: Exception) -> UnbraidError:
    if options.candidates == 1:
        return damaged(paths["config"], error)
    return UnbraidError(
        f"The rankers that choose among {options.candidates} candidates could not be loaded ({error}).",
        remedy="Put their models into the Hugging Face cache (see upstream's README), or set candidates: 1.",
    )


def _fill(network: Any, path: Path) -> None:
    """Set every parameter of the network. Raises: UnbraidError unless file and network match to the last tensor."""
    try:
        state = load_file(path)
        # Upstream's own method does nothing at all unless it is strict, and then hides what it found.
        result = torch.nn.Module.load_state_dict(network, state, strict=False)
    except Exception as error:  # of safetensors, or of torch for a tensor of another shape
        raise damaged(path, error) from error
    missing, unexpected = (
        {name for name in names if not name.startswith(_ELSEWHERE)}
        for names in (result.missing_keys, result.unexpected_keys)
    )
    sam_audio_weights.complete(path, missing, unexpected)
