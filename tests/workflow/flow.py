"""Running the workflow for real: a user's working directory with songs in it, and what a run says and does there."""

import contextlib
import ctypes
import hashlib
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

HOME = Path(__file__).parents[2]
STAGES = ("convert", "segment", "separate", "merge", "deliver", "report")
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2  # prctl(2), capabilities(7)


@dataclass(frozen=True)
class Run:
    """What a run of Snakemake left on the terminal (both streams), and its exit code."""

    code: int
    text: str

    @property
    def planned(self) -> Counter[str]:
        """Jobs by rule, as the table of job stats has them."""
        table = self.text.partition("\nJob stats:\n")[2].partition("\n\n")[0]
        rows = re.findall(r"^([\w.-]+) +(\d+)$", table, re.MULTILINE)
        return Counter({rule: int(count) for rule, count in rows if rule not in ("total", "all")})

    @property
    def ran(self) -> Counter[str]:
        """Jobs by rule that came to a good end."""
        return Counter(
            rule
            for rule in re.findall(r"^Finished jobid: \d+ \(Rule: ([\w.-]+)\)", self.text, re.MULTILINE)
            if rule != "all"
        )

    @property
    def idle(self) -> bool:
        return "Nothing to be done" in self.text and not self.ran

    def paragraphs(self, song: str) -> list[str]:
        """The error messages for a song on the terminal, each to the end of its line, but for those in a log that is shown.

        Where they begin, Snakemake may just have been writing a line of its own.
        """
        return re.findall(rf"(?<! ERROR ){re.escape(f'song {song!r}, ')}.*", self.text)


def like_an_ordinary_user() -> None:
    """Give up root's right to read and write everything, for this process and all that it starts.

    Another user would not do: a Python below root's home may not be started by one.
    """
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
        if os.geteuid() == 0 and prctl(PR_CAPBSET_DROP, capability, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")


class Desk:
    """A working directory. Without other words its runs make the recipe `identity` of the songs in `songs/`, without pages."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.songs = path / "songs"
        self.songs.mkdir(parents=True, exist_ok=True)

    def command(self, *arguments: str, **config: object) -> list[str]:
        settings = {"recipe": "identity", "pages": False, **config}
        pairs = [f"{key}={value}" for key, value in settings.items() if value is not None]
        snakemake = [sys.executable, "-m", "snakemake", "-s", str(HOME / "Snakefile"), "--cores", "2", "--nocolor"]
        return [*snakemake, *arguments, *(["--config", *pairs] if pairs else [])]

    def run(self, *arguments: str, options: Mapping[str, Any] | None = None, **config: object) -> Run:
        """Run to the end. arguments: Snakemake's targets and flags. config: keys of the configuration.

        options: of `subprocess.run`.
        """
        done = subprocess.run(
            self.command(*arguments, **config),
            cwd=self.path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=240,
            check=False,
            **(options or {}),
        )
        return Run(done.returncode, done.stdout)

    def good(self, *arguments: str, **config: object) -> Run:
        """A run that must end well."""
        run = self.run(*arguments, **config)
        assert run.code == 0, run.text
        return run

    @contextlib.contextmanager
    def begun(self, *arguments: str, **config: object) -> Iterator[subprocess.Popen[bytes]]:
        """A run in a process group of its own, to be stopped on the way; nothing of it outlives the block."""
        log = self.path / "terminal.txt"
        with open(log, "wb") as terminal:
            process = subprocess.Popen(
                self.command(*arguments, **config),
                cwd=self.path,
                stdout=terminal,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def files(self, *folders: str) -> dict[str, int]:
        """Time of change (ns) of each file in these folders, by its path from here."""
        found = (path for folder in folders for path in (self.path / folder).rglob("*"))
        return {str(path.relative_to(self.path)): path.stat().st_mtime_ns for path in found if path.is_file()}

    def audio(self) -> dict[str, str]:
        """sha256 of each delivered audio file, by its path under results/."""
        results = self.path / "results"
        found = sorted(path for path in results.rglob("*") if path.suffix in (".wav", ".flac"))
        return {str(path.relative_to(results)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}

    def partials(self) -> list[str]:
        """Half-written files: below this folder, Snakemake's own aside."""
        return [str(path) for path in self.path.rglob("*.partial") if ".snakemake" not in path.parts]

    def logs(self, stage: str) -> list[Path]:
        return sorted((self.path / "logs" / stage).rglob("*.log"))


def noise(seconds: float, rate: int = 44100, channels: int = 2, seed: int = 0, level: float = 0.5) -> np.ndarray:
    """[frames, channels] of float32 white noise, peaking below `level`."""
    draw = np.random.default_rng(seed)
    return draw.uniform(-level, level, (round(seconds * rate), channels)).astype(np.float32)


def write(path: Path, audio: np.ndarray, rate: int = 44100, subtype: str = "PCM_16") -> Path:
    """A song, in the format that its extension names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, audio, rate, subtype)
    return path


def small_files_only() -> None:
    """Forbid this process, and all that it starts, files of more than 3 MB."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, 3_000_000))


def until(condition: Callable[[], bool], seconds: float = 60, each: float = 0.001) -> None:
    """Wait for a condition, looking `each` so many seconds: by default as often as it takes to catch a job in its act."""
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "it never came to pass"
        time.sleep(each)
