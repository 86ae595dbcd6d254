"""Stage separate: the stems of one segment's core."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import soundfile

from unbraid.audio import wav
from unbraid.backends.session import Audio, Pass, Session, Statistics, load
from unbraid.files import read_json, replacing, write_json
from unbraid.grid import Chunk, overlap_add
from unbraid.progress import Progress
from unbraid.stages.segment import read_info
from unbraid.threads import Behind

if TYPE_CHECKING:
    from unbraid.catalogue import Model

log = logging.getLogger("unbraid")


class Showing(Protocol):
    """What shows progress: `unbraid.progress.Progress`, or what tells it to another process."""

    def add(self, seconds: float) -> None: ...

    def close(self) -> None: ...


def separate(
    mix: Path,
    info: Path,
    stems: Path,
    report: Path,
    *,
    model: Model,
    folder: Path,
    settings: dict[str, Any],
    index: int,
    device: str,
    threads: int,
    temp_dir: Path | None = None,
    prompt: Path | None = None,
    label: str = "",
    session: Session | None = None,
    show: Callable[[float, str], Showing] = Progress,
) -> None:
    """Separate segment `index` of `mix` into `stems`: float32, the stems' channels side by side, in the model's order.

    mix, info: what segment wrote. folder: of the model's files. settings: what the preset asks for.
    prompt: what stage prompt wrote, for a model that is asked in words.
    session: of this model, folder, settings, device and threads, where one is loaded already; it stays open.
    show: makes what shows progress, of the seconds of audio to do and a label.
    Writes `report` last: seconds, those of them until the network was ready, audio seconds, device, engine, its arithmetic,
    notices, and how much work it was: the passes, the chunks of all of them, and the seconds of a chunk.
    """
    begun = time.monotonic()
    statistics, cores = read_info(info)
    start, stop = cores[index]
    audio_seconds = (stop - start) / statistics.rate
    with ExitStack() as ends:
        if session is None:
            session = load(model, folder, settings, device, threads)
            ends.callback(session.close)
        session.begin(statistics, prompt)
        loading = time.monotonic() - begun
        for notice in session.notices:
            log.warning("%s", notice)
        progress = show(audio_seconds * len(session.passes), label or model.name)
        ends.callback(progress.close)
        if statistics.peak > 0:
            session.survey(wav.blocks(mix))
        with replacing(stems) as partial:
            _passes(session, mix, partial, statistics, start, stop, len(model.stems), temp_dir, progress)
        passes = session.passes if statistics.peak > 0 else []
        device_used, engine, notices = session.device, session.engine, session.notices
        arithmetic = session.arithmetic
    write_json(
        report,
        {
            "seconds": round(time.monotonic() - begun, 3),
            "loading": round(loading, 3),
            "audio_seconds": round(audio_seconds, 3),
            "device": device_used,
            "engine": engine,
            "arithmetic": arithmetic,
            "threads": threads,
            "passes": len(passes),
            "chunks": sum(len(one.grid.touching(statistics.frames, start, stop)) for one in passes),
            "chunk_seconds": max((one.grid.chunk / statistics.rate for one in passes), default=0.0),
            "notices": notices,
            "weights": read_json(folder / "model.json")["weights"] if model.weights else {},
        },
    )


def _passes(
    session: Session,
    mix: Path,
    target: Path,
    statistics: Statistics,
    start: int,
    stop: int,
    stems: int,
    temp_dir: Path | None,
    progress: Showing,
) -> None:
    """Sum all passes into `target`. The running sum lives in a file, so that memory depends on no length."""
    if temp_dir:
        temp_dir.mkdir(parents=True, exist_ok=True)
    passes = session.passes if statistics.peak > 0 else []  # digital silence separates into silence
    with tempfile.TemporaryDirectory(prefix="unbraid-", dir=temp_dir or target.parent) as scratch:
        running: Path | None = None
        for number, one in enumerate(passes):
            last = number == len(passes) - 1
            path = target if last else Path(scratch) / f"{number % 2}.wav"
            with ExitStack() as files:
                source = files.enter_context(soundfile.SoundFile(mix))
                before = files.enter_context(soundfile.SoundFile(running)) if running else None
                file = files.enter_context(wav.create(path, statistics.rate, stems * statistics.channels))
                level = session.level() if last else None
                write = partial(_write, file=file, before=before, one=one, core=(start, stop), level=level)
                with Behind(write) as behind:
                    for part in _one_pass(session, one, source, statistics, start, stop, progress):
                        behind.put(part)
            running = path
    if not passes:
        with wav.create(target, statistics.rate, stems * statistics.channels) as file:
            for at in range(start, stop, wav.BLOCK):
                file.write(np.zeros((min(wav.BLOCK, stop - at), stems * statistics.channels), dtype=np.float32))


def _write(
    parts: Iterator[tuple[Chunk, Audio]],
    *,
    file: soundfile.SoundFile,
    before: soundfile.SoundFile | None,
    one: Pass,
    core: tuple[int, int],
    level: tuple[np.float32, np.float32] | None,
) -> None:
    """Overlap-add the chunks of a pass, add what the passes before it made, and write that.

    level: the (offset, scale) to take it back to the mix's with; None leaves it in the network's.
    """
    weights = np.array(one.weights, dtype=np.float32)[:, None, None]
    for outputs in overlap_add(parts, one.grid, *core):
        block = (outputs * weights).reshape(-1, outputs.shape[-1]).T
        if before is not None:
            block = before.read(len(block), dtype="float32", always_2d=True) + block
        file.write(np.ascontiguousarray(block * level[1] + level[0] if level else block))


def _one_pass(
    session: Session,
    one: Pass,
    source: soundfile.SoundFile,
    statistics: Statistics,
    start: int,
    stop: int,
    progress: Showing,
) -> Iterator[tuple[Chunk, Audio]]:
    """The chunks of one grid that touch the core, each with its [stems, channels, frames], still in the network's level."""
    chunks = one.grid.touching(statistics.frames, start, stop)
    done_each = (stop - start) / statistics.rate / max(len(chunks), 1)
    shown = ((chunk, _shown(session, one, chunk, source, statistics)) for chunk in chunks)
    for chunk, output in session.stream(one, shown):
        surplus = output.shape[-1] - chunk.length
        left = surplus // 2
        yield chunk, output[..., left : left + chunk.length]
        progress.add(done_each)


def _shown(session: Session, one: Pass, chunk: Chunk, source: soundfile.SoundFile, statistics: Statistics) -> Audio:
    """What the network sees for a chunk: [channels, frames], the chunk in the middle, real audio or zeros around it."""
    offset, scale = session.level()
    length = session.valid_length(one, chunk.length)
    begin = chunk.position - (length - chunk.length) // 2
    # Zeros outside the song are put after levelling, as upstream does: silence around it, not the song's mean.
    first, last = max(begin, 0), min(begin + length, statistics.frames)
    source.seek(first)
    inside = source.read(last - first, dtype="float32", always_2d=True).T
    shown = np.zeros((statistics.channels, length), dtype=np.float32)
    shown[:, first - begin : last - begin] = (inside - offset) / scale
    return shown
