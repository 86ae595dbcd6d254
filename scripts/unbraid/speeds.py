"""How fast this machine is: what its own runs measured, kept in the store; where they did not, what ships with unbraid.

Each machine has a file of its own in `speeds/`, a line of JSON for each measurement.
"""

import json
import math
import os
import re
import socket
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unbraid.estimates import Cost, Sample, fit

READ = 1 << 19
"""Bytes that are read from the end of a file: some thousand measurements, so that a long history costs no time."""
RECENT = 20
"""Measurements of a kind that count: the latest ones."""
EXTENT = 1.0
"""Units by which songs must differ to tell what a stage around the network takes for each: its jobs last about a second, and
vary by a good part of that."""
SHIPPED = "speeds.jsonl"

# What a separation is asked that makes it no slower, or by a number of chunks that is counted.
NO_MATTER = ("shifts", "overlap", "seed", "prompt", "anchors")
Line = dict[str, Any]


@dataclass(frozen=True)
class Network:
    """How fast a model runs here.

    cost: seconds of rounds of chunks. passes: over a song, for each shift. chunk_seconds: that a chunk lasts.
    aside: chunks are computed side by side, one on each thread.
    """

    cost: Cost
    passes: int
    chunk_seconds: float
    aside: bool


def place(store: Path) -> Path:
    """The file of this machine: of its name and number of cores."""
    name = re.sub(r"[^\w.-]", "_", socket.gethostname()) or "machine"
    return store / "speeds" / f"{name}-{os.cpu_count()}.jsonl"


def note(file: Path, lines: Iterable[Line]) -> None:
    """Add measurements, by one write each: several runs may do so at once. Raises: OSError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(file, "ab", buffering=0) as opened:
        for line in lines:
            opened.write(json.dumps(line).encode() + b"\n")


def read(file: Path) -> list[Line]:
    """The measurements of a file, oldest first. A line that is broken, or a comment, is passed over; so is a missing file."""
    try:
        with open(file, "rb") as opened:
            opened.seek(max(0, file.stat().st_size - READ))
            raw = opened.read().splitlines()
    except OSError:
        return []
    return [line for text in raw if (line := _line(text)) is not None]


def matter(settings: Mapping[str, Any]) -> Line:
    """The settings of a separation that its speed depends on, beside the number of chunks."""
    return {name: value for name, value in sorted(settings.items()) if name not in NO_MATTER}


def lanes(engine: str, threads: int) -> int:
    """Chunks that are computed side by side: OpenVINO gives each thread one (see `Backend.apart`)."""
    return threads if engine == "openvino" else 1


class Speeds:
    """Looks up what was measured, on this machine before what ships. `borrowed`: whether any answer was of the latter."""

    def __init__(self, own: list[Line], shipped: list[Line]) -> None:
        self.borrowed = False
        self._own, self._shipped = _by_name(own), _by_name(shipped)
        self._costs: dict[tuple[str, str], Cost | None] = {}

    def cost(self, stage: str, what: str = "") -> Cost | None:
        """Of a stage; None where nothing is known. what: the kind of its work (a format, a method, a model).

        What another kind of the stage takes is near enough: each is a small part of a song's time.
        """
        name = (stage, what)
        if name not in self._costs:
            kinds = [name, *(other for other in {**self._own, **self._shipped} if other[0] == stage)]
            lines = next((lines for kind in kinds if (lines := self._lines(kind))), [])
            known = next((self._shipped[kind] for kind in kinds if kind in self._shipped), None)
            each = fit(_samples(known), 0.0).each if known else 0.0
            self._costs[name] = fit(_samples(lines), each, EXTENT) if lines else None
        return self._costs[name]

    def least(self, stage: str, what: str) -> float | None:
        """The fewest seconds of what is done once a run: the first one ever may have had to compile something too."""
        lines = [*self._own.get((stage, what), ()), *self._shipped.get((stage, what), ())]
        return min((line["seconds"] for line in lines), default=None)

    def network(self, model: str, settings: Mapping[str, Any], *, gpu: bool) -> Network | None:
        """How fast a model is with such settings, where its jobs ask for a GPU or not; None where nothing is known.

        Which device and engine then serve it is found out by its job: here they are taken to be the latest measurement's.
        """
        asked = matter(settings)

        def alike(line: Line) -> bool:
            return bool(line["settings"] == asked and line["gpu"] == gpu)

        lines = self._lines(("separate", model), alike)
        if not lines:
            return None
        last = lines[-1]
        aside = lanes(last["engine"], 2) > 1
        told = ("device", "engine") if aside else ("device", "engine", "threads")
        same = [line for line in lines if all(line[name] == last[name] for name in told)]
        return Network(fit(_samples(same)), last["passes"], last["chunk_seconds"], aside)

    def _lines(self, name: tuple[str, str], alike: Callable[[Line], bool] = lambda line: True) -> list[Line]:
        own = [line for line in self._own.get(name, ()) if alike(line)]
        shipped = [] if own else [line for line in self._shipped.get(name, ()) if alike(line)]
        self.borrowed = self.borrowed or bool(shipped)
        return own or shipped


def _by_name(lines: list[Line]) -> dict[tuple[str, str], list[Line]]:
    named = defaultdict(list)
    for line in lines:
        named[line["stage"], line["what"]].append(line)
    return dict(named)


def _samples(lines: list[Line]) -> list[Sample]:
    return [(line["units"], line["seconds"]) for line in lines[-RECENT:]]


NUMBER = (int, float)
FORM = {"stage": str, "what": str, "units": NUMBER, "seconds": NUMBER}
NETWORK = {
    "settings": dict,
    "gpu": bool,
    "device": str,
    "engine": str,
    "threads": int,
    "passes": int,
    "chunk_seconds": NUMBER,
}


def _line(text: bytes) -> Line | None:
    try:
        line = json.loads(text)
        form: Line = {**FORM, **(NETWORK if line["stage"] == "separate" else {})}
        whole = all(isinstance(line[name], kind) for name, kind in form.items())
        numbers = [line["units"], line["seconds"], line.get("chunk_seconds", 0), line.get("passes", 0)]
        possible = all(0 <= number < math.inf for number in numbers) and line.get("chunk_seconds", 1) > 0
        return line if whole and possible else None
    except (ValueError, LookupError, TypeError):
        return None
