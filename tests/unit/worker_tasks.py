"""A task for a worker on a tiny network, as a job would put it, and a worker in a thread of the test."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from stages_by_hand import REFERENCE, write_mix
from unbraid.catalogue import Model
from unbraid.stages.segment import segment
from unbraid.worker.places import Slot
from unbraid.worker.server import Server


def task(
    folder: Path, model: Model, weights: Path, *, seconds: float = 0.5, seed: int = 0, **changes: Any
) -> dict[str, Any]:
    """Of a song of noise, whose files are put into `folder`."""
    audio = np.random.default_rng(seed).uniform(-0.5, 0.5, (int(seconds * 44100), 2)).astype(np.float32)
    source, info = write_mix(folder, audio, 44100)
    names = {name: str(folder / file) for name, file in FILES.items()}
    paths = [Path(names[name]) for name in ("mix", "info")]
    segment([(1, source)], info, *paths, rate=44100, channels=2, count=1)
    rest = {"settings": REFERENCE, "index": 0, "device": "cpu", "threads": 1, "temp_dir": "", "prompt": None}
    rest["joint"] = False
    return {**names, "model": asdict(model), "folder": str(weights), "label": "song 1/1", **rest, **changes}


FILES = {
    "mix": "mix.wav",
    "info": "mix.json",
    "stems": "0.wav",
    "report": "0.json",
    "trace": "0.log.traceback.txt",
}


@contextmanager
def serving(path: Path, idle: float = 60) -> Iterator[Server]:
    """A worker at `path`, in a thread of this process; at the end of the block it finds its name gone, and ends."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    server = Server(listener, idle)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield server
    finally:
        path.unlink(missing_ok=True)
        thread.join(30)
        listener.close()
        assert not thread.is_alive()


def at(folder: Path) -> Slot:
    """A slot whose socket's path is short enough, whatever the folder of the test."""
    os.makedirs(folder, exist_ok=True)
    return Slot(0, folder / "w.0.sock", None)
