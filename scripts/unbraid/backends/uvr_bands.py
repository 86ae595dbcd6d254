"""The spectrogram of a VR network: up to four bands, each at a rate and a resolution of its own, stacked by frequency."""

import math
from fractions import Fraction
from importlib import resources
from typing import Any

import librosa
import numpy as np
from audio_separator.separator.uvr_lib_v5 import spec_utils
from audio_separator.separator.uvr_lib_v5.vr_network.model_param_init import ModelParameters

from unbraid.backends.session import Audio
from unbraid.errors import UnbraidError, suggest

RATE = 44100
POLYPHASE = "polyphase"
# Upstream resamples between bands in a way that depends on the system, on most by a library that is not always there.
# This one is its choice on Apple silicon: in scipy, and the same everywhere.
spec_utils.wav_resolution = POLYPHASE


class Bands:
    """The bands of a set of parameters that audio-separator ships, by its name there (`4band_v3`).

    modern: of VR 5.1, which filters and mixes channels otherwise.
    hop: frames between columns, 1 where it is no whole number. reach: columns on each side that a sample depends on.
    Raises: UnbraidError for a name that does not exist.
    """

    def __init__(self, name: str, *, modern: bool) -> None:
        folder = resources.files("audio_separator.separator.uvr_lib_v5.vr_network") / "modelparams"
        names = {entry.name.removesuffix(".json") for entry in folder.iterdir()}
        if name not in names:
            raise UnbraidError(f"There are no VR parameters {name!r} (vr_model_param).", remedy=suggest(name, names))
        with resources.as_file(folder / f"{name}.json") as path:
            self.parameters = ModelParameters(str(path))
        self.modern = modern
        self._bands: dict[int, dict[str, Any]] = self.parameters.param["band"]
        self._top = max(self._bands)
        top = self._bands[self._top]
        self._hop = Fraction(top["hl"] * RATE, top["sr"])
        self.hop = int(self._hop) if self._hop.denominator == 1 else 1
        self.reach = 1 + max(math.ceil(band["n_fft"] / band["hl"] / 2) for band in self._bands.values())
        self.split = self._bands[1]["crop_stop"]

    def frames(self, columns: int) -> int:
        """Frames at RATE that this many hops take."""
        return math.ceil(columns * self._hop)

    def spectrum(self, wave: Audio) -> Any:
        """[2, frames] → [2, bins, columns], complex64."""
        spectra, rate = {}, RATE
        for number in range(self._top, 0, -1):
            band = self._bands[number]
            wave, rate = _resampled(wave, rate, band["sr"]), band["sr"]
            spectra[number] = spec_utils.wave_to_spectrogram(
                wave, band["hl"], band["n_fft"], self.parameters, band=number, is_v51_model=self.modern
            )
        return spec_utils.combine_spectrograms(spectra, self.parameters, is_v51_model=self.modern)

    def wave(self, spectrum: Any, frames: int) -> Audio:
        """[2, bins, columns] → [2, frames]."""
        wave = spec_utils.cmb_spectrogram_to_wave(spectrum, self.parameters, is_v51_model=self.modern)
        wave = _resampled(wave, self._bands[self._top]["sr"], RATE)[:, :frames]
        return np.pad(wave, ((0, 0), (0, frames - wave.shape[1]))).astype(np.float32)


def _resampled(wave: Any, rate: int, target: int) -> Any:
    return librosa.resample(wave, orig_sr=rate, target_sr=target, res_type=POLYPHASE)
