"""How many chunks a run evaluates and what one costs alone: the least that the run could take.

The only place in these measurements that knows how a session is loaded. It imports the network: see `peers.apart`.
"""

import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from peers import HOME, MODELS

STEP = "split"  # of the recipe `stems`


def measure(settings: dict[str, Any], songs: list[Path], repeats: int = 3) -> tuple[int, float]:
    """(chunks of all songs, seconds that one takes alone) under these settings of the configuration.

    The seconds are the median of several calls, each with enough chunks that it matters little how a call begins and ends.
    """
    from unbraid import shares
    from unbraid.backends.session import Statistics, load
    from unbraid.grid import Chunk, cores
    from unbraid.setup import set_up

    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)  # set_up remembers songs in the working directory
        _, plan, _ = set_up(settings, HOME, look=False, warn=print)
        os.chdir(HOME)
    planned = [plan.songs[song.stem].separations[STEP] for song in songs]
    lengths = [soundfile.info(song).frames for song in songs]
    model = planned[0].model
    level = Statistics(max(lengths), model.rate, model.channels, mean=0.0, std=1.0, peak=1.0)
    device, seconds = settings["device"], lengths[0] / model.rate / planned[0].segments.count
    cpus = os.cpu_count() or 1
    share = shares.share(model.backend, planned[0].settings, device, here=True, warm=True, seconds=seconds, cores=cpus)
    session = load(model, MODELS / model.name, planned[0].settings, device, share.threads)
    session.begin(level)
    count = sum(
        len(one.grid.touching(frames, start, stop))
        for frames, made in zip(lengths, planned, strict=True)
        for start, stop in cores(frames, made.segments.count)
        for one in session.passes
    )
    one = session.passes[0]
    group = [Chunk(index * one.grid.stride, one.grid.chunk) for index in range(4 * session.batch)]
    shape = len(group), model.channels, session.valid_length(one, one.grid.chunk)
    audio = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    first = slice(session.batch)
    session.separate(one, audio[first], group[first])  # the first call also allocates
    taken = []
    for _ in range(repeats):
        begun = time.perf_counter()
        session.separate(one, audio, group)
        taken.append(time.perf_counter() - begun)
    session.close()
    return count, statistics.median(taken) / len(group)
