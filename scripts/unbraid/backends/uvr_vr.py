"""VR: a network in torch that finds a mask on the magnitudes of a spectrogram of one to four bands."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from audio_separator.separator.uvr_lib_v5.spec_utils import adjust_aggr
from audio_separator.separator.uvr_lib_v5.vr_network.nets import CascadedASPPNet
from audio_separator.separator.uvr_lib_v5.vr_network.nets_new import CascadedNet

from unbraid.backends import uvr_config
from unbraid.backends.session import Audio, Pass, Statistics, passes
from unbraid.backends.torch_session import TorchSession
from unbraid.backends.uvr_bands import Bands
from unbraid.backends.uvr_weights import load_tensors, order, parameters, read_tensors
from unbraid.backends.weights import damaged, verify
from unbraid.catalogue import Model
from unbraid.errors import UnbraidError

WINDOW = 512  # columns that the network sees at once, audio-separator's default; `parameters: window_size` changes it
AGGRESSION = 5  # how far a mask is sharpened, likewise; `parameters: aggression`, from -100 to 100
ACCOMPANIED = "vocals other bass drums guitar piano synthesizer strings woodwinds brass wind_inst".split()
"""Stems that are a part of a mix rather than what is left of it; upstream sharpens their masks otherwise."""


class VrSession(TorchSession):
    """The one network of a model. It masks one stem; the other one is the rest of the mix.

    The network sees a window of columns and knows the mask of those in the middle. A chunk is what these suffice to rebuild,
    so it is shown with as much real audio around it as the rest of the window needs.
    """

    def __init__(self, model: Model, folder: Path, settings: dict[str, Any], device: str, threads: int) -> None:
        super().__init__(settings, device, threads)
        paths = verify(folder, model)
        checkpoint = next(path for path in paths.values() if path.suffix == ".pth")
        tables = [path for path in paths.values() if path.suffix == ".json"]
        known = parameters(model, uvr_config.VR, checkpoint, tables)
        primary = uvr_config.stem_name(known["primary_stem"])
        self._order = order(model, (primary, uvr_config.complement(primary)))
        tensors = read_tensors(checkpoint)
        self._bands = Bands(str(known["vr_model_param"]), modern="stg1_low_band_net.0.enc1.conv.0.weight" in tensors)
        network = _network(tensors, self._bands, checkpoint)
        self.networks = [network]
        self._sharpness = {
            "value": int(known.get("aggression", AGGRESSION)) / 100,
            "split_bin": self._bands.split,
            "aggr_correction": self._bands.parameters.param.get("aggr_correction"),
        }
        self._part_of_mix = primary in ACCOMPANIED
        self._edge = network.offset  # columns at each end of the window whose mask is not known
        self._window = int(known.get("window_size", WINDOW))
        surplus = self._edge + self._bands.reach
        if self._window <= 2 * surplus + 1:
            raise UnbraidError(
                f"A window_size of {self._window} columns is too small for this network, which needs the {surplus} at each"
                " end to know the others.",
                remedy=f"Set it to {WINDOW} in the entry of {model.name!r}.",
            )
        self._chunk, self._pad = self._bands.frames(self._window - 1 - 2 * surplus), self._bands.frames(surplus)
        self._known = slice(surplus, self._window - surplus)
        self._settings = settings

    def begin(self, statistics: Statistics, prompt_file: Path | None = None) -> None:
        super().begin(statistics, prompt_file)
        self._peak = 1.0
        self.passes = passes([(self._chunk, [1.0, 1.0])], self._settings, statistics.rate, multiple=self._bands.hop)

    def survey(self, blocks: Iterator[Audio]) -> None:
        """The highest magnitude of the whole song's spectrogram, by which upstream normalises what the network sees."""
        windows = _windows(blocks, self._chunk, self._pad)
        highest = max(float(np.abs(self._bands.spectrum(audio)[..., self._known]).max()) for audio in windows)
        self._peak = highest or 1.0

    def valid_length(self, one: Pass, length: int) -> int:
        return length + 2 * self._pad

    def evaluate(self, network: int, audio: torch.Tensor) -> torch.Tensor:
        length = audio.shape[-1]
        shown = self._chunk + 2 * self._pad
        waves = torch.nn.functional.pad(audio, (0, shown - length)).cpu().numpy()
        spectra = [self._bands.spectrum(wave) for wave in waves]
        magnitudes = np.stack([self._fitted(np.abs(spectrum) / np.float32(self._peak)) for spectrum in spectra])
        masks = self.networks[network].predict_mask(torch.from_numpy(magnitudes).to(audio.device)).cpu().numpy()
        found = [self._masked(spectrum, mask, length) for spectrum, mask in zip(spectra, masks, strict=True)]
        stem = torch.from_numpy(np.stack(found)).to(audio.device)
        return torch.stack([stem, audio - stem], dim=1)[:, self._order]

    def _fitted(self, magnitudes: Any) -> Any:
        """Exactly the window: where a band's rate is no multiple of the hop there may be one column more or less."""
        columns = magnitudes[..., : self._window]
        return np.pad(columns, ((0, 0), (0, 0), (0, self._window - columns.shape[-1]))).astype(np.float32)

    def _masked(self, spectrum: Any, mask: Any, length: int) -> Audio:
        sharpened = adjust_aggr(mask, self._part_of_mix, self._sharpness)
        whole = np.zeros(spectrum.shape, dtype=np.float32)
        middle = slice(self._edge, min(self._edge + sharpened.shape[-1], spectrum.shape[-1]))
        whole[..., middle] = sharpened[..., : middle.stop - middle.start]
        return self._bands.wave(whole * spectrum, length)


def _windows(blocks: Iterator[Audio], chunk: int, pad: int) -> Iterator[Audio]:
    """The song in chunks that do not overlap, [channels, pad + chunk + pad], zeros where the song is not."""
    waiting: Audio | None = None
    for block in blocks:
        part = block.T
        waiting = np.pad(part, ((0, 0), (pad, 0))) if waiting is None else np.concatenate([waiting, part], axis=1)
        while waiting.shape[1] >= chunk + 2 * pad:
            yield waiting[:, : chunk + 2 * pad]
            waiting = waiting[:, chunk:]
    while waiting is not None and waiting.shape[1] > pad:
        part = waiting[:, : chunk + 2 * pad]
        yield np.pad(part, ((0, 0), (0, chunk + 2 * pad - part.shape[1])))
        waiting = waiting[:, chunk:]


def _network(tensors: dict[str, torch.Tensor], bands: Bands, path: Path) -> Any:
    """The network that these tensors are of. Upstream guesses its size from the file's; here the tensors tell it."""
    bins = bands.parameters.param["bins"] * 2
    try:
        if bands.modern:
            width = tensors["stg3_full_band_net.enc1.conv.0.weight"].shape[0]
            memory = 2 * tensors["stg3_full_band_net.lstm_dec2.lstm.weight_hh_l0"].shape[1]
            network = CascadedNet(bins, nout=width, nout_lstm=memory)
        else:
            network = CascadedASPPNet(bins, *_capacity(tensors))
    except (KeyError, IndexError) as error:
        raise damaged(path, ValueError("it is no VR network")) from error
    return load_tensors(network, tensors, path)


def _capacity(tensors: dict[str, torch.Tensor]) -> tuple[list[tuple[int, ...]], int]:
    """Upstream's table of the widths in an older network, and its number for the depth of its parts."""
    c = tensors["stg1_low_band_net.enc1.conv1.conv.0.weight"].shape[0]
    widths: list[tuple[int, ...]] = [
        (2, c), (2, c), (c + 2, c // 2, 1, 1, 0), (c // 2, c), (2 * c + 2, c, 1, 1, 0), (c, 2 * c), (2 * c, 2, 1), (c, 2, 1), (c, 2, 1)
    ]  # fmt: skip
    if any(".enc5." in name for name in tensors):
        return widths, 129605
    return widths, 33966 if any(".aspp.conv7." in name for name in tensors) else 31191
