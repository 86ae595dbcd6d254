"""unbraid and its peers as commands: one cold process for some songs, the same weights for all, nothing over a network.

The peers run from an environment of their own (envs/requirements-peers.txt; $UNBRAID_PEERS, else .venv-peers), through
their console scripts. They read wav and write wav, which is what costs them least.
"""

import functools
import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
HOME = Path(__file__).parents[2]
MODELS = Path(os.environ.get("UNBRAID_MODELS", HOME / "models"))
PEERS = Path(os.environ.get("UNBRAID_PEERS", HOME / ".venv-peers"))
MARK = "UNBRAID_BENCH"  # in the environment of a run's processes: its folder
STEMS = ("drums", "bass", "other", "vocals")


@dataclass(frozen=True)
class Ended:
    """How a run ended. peak: RSS in MB of the largest of the processes that it waited for."""

    seconds: float
    peak: float
    code: int
    text: str


@dataclass(frozen=True)
class Tool:
    """command: for songs of one folder; it is run in a folder of its own, where `stem` then finds what it made.

    chunks: how many it evaluated, from what it printed; None where it does not say.
    """

    name: str
    command: Callable[[list[Path]], list[str]]
    stem: Callable[[Path, str, str], Path]
    chunks: Callable[[str], int | None]
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, songs: list[Path], folder: Path, limit: float | None = None) -> Ended:
        """limit: in seconds, after which it is killed."""
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / "terminal.txt"
        begun = time.monotonic()
        with open(log, "wb") as terminal:
            process = subprocess.Popen(
                self.command(songs), cwd=folder, env=os.environ | self.environment | {MARK: str(folder)},
                stdout=terminal, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
            timer = threading.Timer(limit or threading.TIMEOUT_MAX, os.killpg, (process.pid, signal.SIGKILL))
            timer.daemon = True
            timer.start()
            try:
                _, status, usage = os.wait4(process.pid, 0)
            except BaseException:  # Ctrl-C does not reach another session by itself
                os.killpg(process.pid, signal.SIGKILL)
                raise
            finally:
                timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        taken = time.monotonic() - begun
        return Ended(taken, usage.ru_maxrss / 1024, process.returncode, log.read_text(errors="replace"))

    def good(self, songs: list[Path], folder: Path) -> Ended:
        """A run that must end well."""
        ended = self.run(songs, folder)
        missing = [song.stem for song in songs if not self.stem(folder, song.stem, STEMS[0]).exists()]
        if ended.code or missing:
            raise RuntimeError(f"{self.name} ended with {ended.code}, without {missing}:\n{ended.text[-3000:]}")
        return ended


def unbraid(device: str, cores: int, config: dict[str, object], options: tuple[str, ...] = ()) -> Tool:
    """As a user runs it, in an empty working directory; of the weights the models folder holds."""

    def command(songs: list[Path]) -> list[str]:
        snakemake = [sys.executable, "-m", "snakemake", "-s", str(HOME / "Snakefile"), "--cores", str(cores), *options]
        settings = settings_of(songs[0].parent, device, config)
        return [*snakemake, "--config", *(f"{key}={value}" for key, value in settings.items())]

    return Tool("unbraid", command, lambda at, song, stem: at / "results" / song / f"{stem}.wav", lambda text: None)


def settings_of(songs: Path, device: str, config: dict[str, object]) -> dict[str, object]:
    # The peers make no pages.
    return {"songs": str(songs), "models": str(MODELS), "device": device, "pages": False, **config}


def others(device: str, checkpoints: Path) -> dict[str, Tool]:
    """The peers, by the names that --peers takes. checkpoints: a folder for the weights in their own form."""
    if not (PEERS / "bin/demucs").exists():
        raise SystemExit(f"There are no peers in {PEERS}: run `make peers`, or set UNBRAID_PEERS.")
    apart(_lay_out, checkpoints)
    hidden = {"CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else {}  # audio-separator takes a GPU that it sees
    environment = hidden | {"PATH": f"{_ffmpeg(checkpoints)}{os.pathsep}{os.environ['PATH']}"}

    def demucs(songs: list[Path]) -> list[str]:
        options = ["--repo", str(checkpoints), "-n", "htdemucs", "--shifts", "0", "-d", device, "-j", "0", "-o", "."]
        return [str(PEERS / "bin/demucs"), *options, *map(str, songs)]

    def separator(songs: list[Path], more: tuple[str, ...] = ()) -> list[str]:
        options = ["-m", "htdemucs.yaml", "--model_file_dir", str(checkpoints), "--output_format", "WAV", *more]
        return [str(PEERS / "bin/audio-separator"), *map(str, songs), *options]

    def separated(at: Path, song: str, stem: str) -> Path:
        return at / f"{song}_({stem.capitalize()})_htdemucs.wav"

    plain = functools.partial(separator, more=("--demucs_shifts", "0"))
    return {
        "demucs": Tool(
            "demucs --shifts 0", demucs, lambda at, song, stem: at / "htdemucs" / song / f"{stem}.wav",
            _chunks_of_seconds, environment,
        ),
        "audio-separator": Tool("audio-separator", separator, separated, _chunks, environment),
        "audio-separator-0": Tool("audio-separator --demucs_shifts 0", plain, separated, _chunks, environment),
    }  # fmt: skip


def apart(function: Callable[..., T], *arguments: Any) -> T:
    """Call it in a process of its own: what it imports stays out of this one, whose size would count for its children."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def _bars(text: str) -> list[float]:
    """The totals of the progress bars in a text. Each bar is drawn once at nothing done."""
    return [float(total) for total in re.findall(r"(?<!\d)0%\|[^|]*\| 0(?:\.0)?/(\d+(?:\.\d+)?)", text)]


def _chunks(text: str) -> int:
    return round(sum(_bars(text)))


def _chunks_of_seconds(text: str) -> int:
    """demucs' bars count in seconds, one stride a chunk: three quarters of 7.8 s, rounded to hundredths as it does."""
    return sum(round(total / 5.85) for total in _bars(text))


def ready() -> Any:
    """The catalogue's htdemucs, once its weights are there: no run is to wait for a download."""
    from unbraid import catalogue
    from unbraid.fetch import fetch

    model = catalogue.load([HOME / "config/models.yaml"])["htdemucs"]
    fetch(model, MODELS / model.name, log=print)
    return model


def _lay_out(folder: Path) -> None:
    """unbraid's weights as upstream's checkpoint, found by both peers: a bag of one network, and the list of models.

    audio-separator would fetch the list; with one in place, and the files that it names, it fetches nothing.
    """
    import torch

    from unbraid.backends import demucs_weights

    model = ready()
    (weights,) = model.weights
    checkpoint, _ = demucs_weights.read(MODELS / model.name / demucs_weights.kept_name(weights))
    package = {
        "klass": type(demucs_weights.build(checkpoint, folder)),
        "args": checkpoint.args,
        "kwargs": checkpoint.kwargs,
        "state": checkpoint.state,
    }
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(package, folder / f"{weights.name}.th")
    (folder / "htdemucs.yaml").write_text(f"models: ['{weights.name}']\n")
    files = {name: name for name in (f"{weights.name}.th", "htdemucs.yaml")}
    kinds = (
        "vr_download",
        "mdx_download",
        "mdx_download_vip",
        "mdx23c_download",
        "mdx23c_download_vip",
        "roformer_download",
    )
    known: dict[str, dict[str, Any]] = {f"{kind}_list": {} for kind in kinds}
    known["demucs_download_list"] = {"Demucs v4: htdemucs": files}
    (folder / "download_checks.json").write_text(json.dumps(known))


def _ffmpeg(folder: Path) -> Path:
    """A folder with an ffmpeg: the system's, else the one that the peers' environment brings, by its plain name."""
    if found := shutil.which("ffmpeg"):
        return Path(found).parent
    asked = [str(PEERS / "bin/python"), "-c", "import imageio_ffmpeg as f; print(f.get_ffmpeg_exe())"]
    brought = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    link = folder / "bin/ffmpeg"
    link.parent.mkdir(exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(brought)
    return link.parent
