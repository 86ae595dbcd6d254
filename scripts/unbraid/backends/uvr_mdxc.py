"""MDX23C, BS-RoFormer and Mel-Band-RoFormer: waveform to waveform in torch, in audio-separator's network classes."""

import inspect
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unbraid.backends import uvr_config
from unbraid.backends.session import Pass, Statistics, passes
from unbraid.backends.torch_session import TorchSession
from unbraid.backends.uvr_weights import load_tensors, order, read_tensors
from unbraid.backends.weights import damaged, verify
from unbraid.catalogue import Model
from unbraid.errors import UnbraidError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of the package's own dependencies, about torch's deprecations
    from audio_separator.separator.uvr_lib_v5.roformer.bs_roformer import BSRoformer
    from audio_separator.separator.uvr_lib_v5.roformer.mel_band_roformer import MelBandRoformer
    from audio_separator.separator.uvr_lib_v5.tfc_tdf_v3 import TFC_TDF_net
    from ml_collections import ConfigDict

LOUD = 0.9
"""The peak at which a network sees every song. audio-separator turns louder songs down to it and leaves quieter ones,
so that its stems depend on the level of the mix; here they do not."""

_MALFORMED = (ValueError, KeyError, AttributeError, TypeError, AssertionError, RuntimeError)


class MdxcSession(TorchSession):
    """The one network of a model, evaluated on chunks of the length that it was trained on."""

    def __init__(self, model: Model, folder: Path, settings: dict[str, Any], device: str, threads: int) -> None:
        super().__init__(settings, device, threads)
        paths = verify(folder, model)
        config_path = _the(paths, (".yaml",), model)
        config = uvr_config.read(config_path)
        given, self._rest = uvr_config.outputs(config, config_path)
        self._order = order(model, (*given, self._rest) if self._rest else given)
        self.networks = [_network(config, config_path, _the(paths, (".ckpt", ".pth"), model), len(given))]
        self._chunk = _chunk(config, config_path)
        self._settings = settings

    def begin(self, statistics: Statistics, prompt_file: Path | None = None) -> None:
        super().begin(statistics, prompt_file)
        self.passes = passes([(self._chunk, [1.0] * len(self._order))], self._settings, statistics.rate)

    def level(self) -> tuple[np.float32, np.float32]:
        return np.float32(0), np.float32(self.statistics.peak / LOUD)

    def valid_length(self, one: Pass, length: int) -> int:
        return self._chunk

    def evaluate(self, network: int, audio: torch.Tensor) -> torch.Tensor:
        stems: torch.Tensor = self.networks[network](audio)
        mix = audio[:, None]
        stems = stems.reshape(len(audio), -1, *audio.shape[1:])
        if self._rest:
            stems = torch.cat([stems, mix - stems], dim=1)
        elif stems.shape[1] == 2:
            # The nearest pair that adds up to the mix: where both are estimates, each takes half of what is left over.
            stems = stems + (mix - stems.sum(dim=1, keepdim=True)) / 2
        return stems[:, self._order]


def _the(paths: dict[str, Path], suffixes: tuple[str, ...], model: Model) -> Path:
    found = [path for path in paths.values() if path.suffix in suffixes]
    if len(found) != 1:
        raise UnbraidError(
            f"The model {model.name!r} needs one {' or '.join(suffixes)} file among its weights, and has {len(found)}.",
            remedy="Name it in its entry in the catalogue, under `weights:`.",
        )
    return found[0]


def _chunk(config: dict[str, Any], path: Path) -> int:
    """Frames of a chunk, as audio-separator has them: dim_t columns of the network's own transform."""
    audio, inference = uvr_config.section(config, "audio", path), config.get("inference") or {}
    hop = uvr_config.section(config, "model", path).get("stft_hop_length") or audio.get("hop_length")
    columns = inference.get("dim_t") or audio.get("dim_t")
    if not (isinstance(hop, int) and isinstance(columns, int)):
        raise damaged(path, ValueError("it has no hop_length or no dim_t"))
    return hop * (columns - 1)


def _network(config: dict[str, Any], config_path: Path, checkpoint: Path, stems: int) -> torch.nn.Module:
    tensors = read_tensors(checkpoint)
    kind = uvr_config.architecture(config, config_path)
    try:
        if kind == uvr_config.MDX23C:
            network = TFC_TDF_net(ConfigDict(config), device="cpu")
        else:
            network = _roformer(BSRoformer if kind == uvr_config.BS else MelBandRoformer, config["model"])
            if network.num_stems != stems:
                raise ValueError(f"it has {network.num_stems} masks for {stems} stems")
    except _MALFORMED as error:
        raise damaged(config_path, error) from error
    loaded: torch.nn.Module = load_tensors(network, tensors, checkpoint)
    return loaded


def _roformer(klass: Any, arguments: dict[str, Any]) -> Any:
    # Arguments of a training code that this class does not know change no output that it could give; where they change
    # tensors, these do not fit and it is said.
    known = inspect.signature(klass.__init__).parameters
    chosen = {key: value for key, value in arguments.items() if key in known}
    return klass(**{key: tuple(value) if isinstance(value, list) else value for key, value in chosen.items()})
