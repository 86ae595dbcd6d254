"""SAM-Audio: what a prompt describes, generated from noise under the mix, chunk by chunk (Shi et al. 2025, arXiv 2512.18099).

Its one stem is the target. The residual that the network generates beside it is not offered: the two do not add up to the
mix, and a step's `.residual` (mix minus target), which does, is what the next step of a recipe can work on.

A chunk is a pure function of the song and its position although it is generated: its noise is drawn by the seed and the
place in the song. Chunks that overlap see the same noise where they do, so that they agree better.

The network takes mono. Each channel of a song is separated by itself with the same noise, which keeps a stereo image, and
keeps the same signal on both channels the same. The network is not linear and upstream shows it the audio as it is; here
its input is brought to a peak of 1 over the song and its output taken back, so that a quiet song separates like a loud one.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from platform import machine, system
from typing import Any, Protocol

import numpy as np

from unbraid.backends import sam_audio_options, sam_audio_weights
from unbraid.backends.sam_audio_options import Anchor
from unbraid.backends.session import Audio, Pass, Plain, Statistics
from unbraid.backends.weights import damaged, verify
from unbraid.catalogue import Model
from unbraid.errors import UnbraidError
from unbraid.files import replacing
from unbraid.grid import Chunk, Grid

CHUNK = 30.0  # seconds; the networks take 400 s at most, and memory grows with it
SHORTEST = 10.0  # seconds that are shown even for a shorter last chunk: about what the networks were trained on

PACKAGES = {"mlx": "mlx_audio", "torch": "sam_audio"}
COMMANDS = {
    "mlx": "pip install mlx-audio" if system() == "Darwin" else 'pip install "mlx[cpu]" mlx-audio',
    "torch": "pip install git+https://github.com/facebookresearch/sam-audio",
}


class Engine(Protocol):
    """A loaded network: a class of this form is `Engine` in the module of each engine, beside a function `encode`."""

    name: str
    device: str
    arithmetic: str
    features: int  # of a step of the noise

    def separate(self, audio: Audio, text: Audio, anchors: list[Anchor], noise: Audio, seed: int) -> Audio:
        """[frames] → the target, [frames].

        text: [tokens, features], the prompt. anchors: in seconds of `audio`. noise: [candidates, steps, features].
        seed: of whatever else is drawn.
        """

    def close(self) -> None:
        """Free the device's memory."""


class SamAudioSession(Plain):
    """One model with one prompt.

    `prompt_file` is what `encode_prompt` wrote, when the caller has it; without it the prompt is encoded here, once.
    """

    batch = 1  # a chunk's bits then depend on no other chunk

    def __init__(self, model: Model, folder: Path, settings: dict[str, Any], device: str, threads: int) -> None:
        self._options = sam_audio_options.read(settings)
        name, on, self.notices = choose(device, settings.get("engine"))
        self._paths = verify(folder, model)
        sam_audio_weights.check(self._paths, model)
        self._hop = sam_audio_weights.hop(self._paths)
        self._module = _module(name)
        if name == "torch":
            import torch

            torch.set_num_threads(threads)
        self._engine: Engine = self._module.Engine(self._paths, self._options, settings.get("precision", "exact"), on)
        self.engine, self.device, self.arithmetic = name, self._engine.device, self._engine.arithmetic
        self._segment, self._overlap = model.segment or CHUNK, settings["overlap"]

    def begin(self, statistics: Statistics, prompt_file: Path | None = None) -> None:
        super().begin(statistics, prompt_file)
        self.__dict__.pop("_text", None)  # of another song's prompt file
        chunk = max(int(self._segment * statistics.rate) // self._hop, 1) * self._hop
        stride = max(int((1 - self._overlap) * chunk) // self._hop, 1) * self._hop
        self.passes = [Pass(Grid(chunk, stride, window(chunk, stride, self._options.crossfade)), 0, (1.0,))]

    def level(self) -> tuple[np.float32, np.float32]:
        return np.float32(0), np.float32(self.statistics.peak or 1)

    def valid_length(self, one: Pass, length: int) -> int:
        least = min(int(SHORTEST * self.statistics.rate), one.grid.chunk)
        return -(-max(length, least) // self._hop) * self._hop

    def separate(self, one: Pass, audio: Audio, chunks: Sequence[Chunk]) -> Audio:
        return np.stack([self._separate(shown, chunk) for shown, chunk in zip(audio, chunks, strict=True)])[:, None]

    def _separate(self, audio: Audio, chunk: Chunk) -> Audio:
        """[channels, frames] → the target, [channels, frames]."""
        frames = audio.shape[-1]
        begin = chunk.position - (frames - chunk.length) // 2  # of what is shown
        rate = self.statistics.rate
        anchors = within(self._options.anchors, begin / rate, frames / rate)
        noise = self._noise(begin // self._hop, frames // self._hop)
        seed = int(np.random.SeedSequence(self._entropy(0, begin // self._hop)).generate_state(1)[0])
        target = np.zeros_like(audio)
        for channel, signal in enumerate(audio):
            if channel and np.array_equal(signal, audio[0]):
                target[channel] = target[0]
            elif signal.any():  # noise is made of silence otherwise
                target[channel] = self._engine.separate(signal, self._text, anchors, noise, seed)[:frames]
        return target

    def _noise(self, first: int, steps: int) -> Audio:
        """[candidates, steps, features] for the steps of the codec from `first` of the song on, which may be negative."""
        noise = np.empty((self._options.candidates, steps, self._engine.features), dtype=np.float32)
        for candidate, step in np.ndindex(noise.shape[:2]):
            generator = np.random.default_rng(self._entropy(candidate, first + step))
            noise[candidate, step] = generator.standard_normal(noise.shape[2], dtype=np.float32)
        return noise

    def _entropy(self, candidate: int, step: int) -> list[int]:
        return [self._options.seed, candidate, step % 2**32]

    @cached_property
    def _text(self) -> Audio:
        if self.prompt_file:
            return read_prompt(self.prompt_file, self._options.prompt)
        text: Audio = self._module.encode(self._paths, self._options.prompt, self.device)
        return text

    def close(self) -> None:
        self._engine.close()


def within(anchors: Sequence[Anchor], begin: float, seconds: float) -> list[Anchor]:
    """The anchors of a song in the time of a stretch of it that begins at `begin`, as far as they lie in it."""
    moved = [(sign, max(start - begin, 0.0), min(end - begin, seconds)) for sign, start, end in anchors]
    return [(sign, start, end) for sign, start, end in moved if start < end]


def window(chunk: int, stride: int, crossfade: str) -> Audio:
    """The weight of each frame of a chunk: 1, but for the overlaps, where it rises and falls. Positive everywhere."""
    overlap = min(chunk - stride, chunk // 2)
    rise = (np.arange(overlap) + 0.5) / max(overlap, 1)
    if crossfade == "cosine":
        rise = np.sin(np.pi / 2 * rise) ** 2
    shape = np.ones(chunk, dtype=np.float32)
    shape[:overlap] = rise
    shape[chunk - overlap :] = rise[::-1]
    return shape


def encode_prompt(model: Model, folder: Path, target: Path, settings: Mapping[str, Any], device: str) -> None:
    """Write what the text encoder makes of a step's prompt, for the `prompt_file` of all sessions of that step."""
    from safetensors.numpy import save_file

    options = sam_audio_options.read(settings)
    name, on, _ = choose(device, settings.get("engine"))
    paths = verify(folder, model)
    sam_audio_weights.check(paths, model)
    text = _module(name).encode(paths, options.prompt, on)
    with replacing(target) as partial:
        save_file({"text": text}, partial, metadata={"prompt": options.prompt, "engine": name})


def read_prompt(path: Path, prompt: str) -> Audio:
    """What `encode_prompt` wrote: [tokens, features]. Raises: UnbraidError when it is damaged or of another prompt."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            text: Audio = file.get_tensor("text")
            found = (file.metadata() or {}).get("prompt")
    except (SafetensorError, OSError) as error:
        raise damaged(path, error) from error
    if found != prompt:
        raise UnbraidError(
            f"{path} holds the prompt {found!r}, and {prompt!r} is wanted.", remedy=f"Delete {path} and run again."
        )
    return text


def choose(device: str, engine: str | None) -> tuple[str, str, list[str]]:
    """(engine, its device, notices to show) on this machine.

    Raises: UnbraidError with the install command when what was asked for, or any engine at all, is not there.
    """
    forced = None if engine in (None, "auto") else engine
    by_device = "mlx" if device == "mlx" else "torch" if device.startswith(("cuda", "mps")) else None
    if forced not in (None, *PACKAGES):
        raise UnbraidError(f"SAM-Audio does not run on the engine {forced!r}.", remedy="Set engine=mlx, torch or auto.")
    if forced and by_device and forced != by_device:
        raise UnbraidError(
            f"engine={forced} cannot run on device={device}.", remedy=f"Set engine={by_device}, or device=auto."
        )
    wanted = forced or by_device
    has = {name: find_spec(package) is not None for name, package in PACKAGES.items()}
    apple = system() == "Darwin" and machine() == "arm64"
    if wanted and not has[wanted]:
        why = f"engine={forced}" if forced else f"device={device}"
        raise UnbraidError(
            f"{why} needs the Python package {PACKAGES[wanted]}, which is not installed.",
            remedy=f"Run `{COMMANDS[wanted]}` in unbraid's environment, or set engine=auto and device=auto.",
        )
    if not any(has.values()):
        raise UnbraidError(
            "SAM-Audio needs one of its two engines, and neither is installed.",
            remedy=f"Run `{COMMANDS['mlx']}`" + ("." if apple else f", or, with a CUDA GPU, `{COMMANDS['torch']}`."),
        )
    # MLX's convolutions on a CPU take minutes for a second of audio: away from Apple's GPU, torch comes first.
    if wanted == "mlx" or (not wanted and has["mlx"] and (apple or not has["torch"])):
        slow = "Running SAM-Audio with mlx on a CPU, which takes minutes for each second of audio."
        return "mlx", device, [] if apple and device != "cpu" else [slow]
    return "torch", *_resolve(device)


def _resolve(device: str) -> tuple[str, list[str]]:
    from unbraid.backends.device import resolve

    return resolve(device)


def _module(engine: str) -> Any:
    try:
        return import_module(f"unbraid.backends.sam_audio_{engine}")
    except (ImportError, OSError, RuntimeError) as error:  # RuntimeError: mlx without a Metal device
        raise UnbraidError(
            f"The {engine} engine of SAM-Audio cannot be imported here ({error}).",
            remedy=f"Run `{COMMANDS[engine]}` in unbraid's environment.",
        ) from error
