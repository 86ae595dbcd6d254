"""Progress of one job: a bar on the terminal, lines in the log; at most twice a second each."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

if TYPE_CHECKING:  # a job that only watches a worker needs no numpy
    import numpy as np
    from numpy.typing import NDArray

log = logging.getLogger("unbraid")

INTERVAL = 0.5  # seconds
Frames = TypeVar("Frames", bound="NDArray[np.generic]")


class Progress:
    """Counts work in seconds of audio.

    total: seconds of audio to do. label: what the bar is called. A bar is drawn only on a terminal.
    """

    def __init__(self, total: float, label: str, stream: TextIO | None = None) -> None:
        stream = stream or sys.stderr
        self.total = total
        self.done = 0.0
        self._start = self._logged = time.monotonic()
        self._bar = _bar(total, label, stream) if stream.isatty() else None

    def add(self, seconds: float) -> None:
        """`seconds` more of audio are done."""
        self.done += seconds
        now = time.monotonic()
        speed = self.done / max(now - self._start, 1e-9)
        if self._bar is not None:
            self._bar.set_postfix_str(f"{speed:.2f}x real time", refresh=False)
            self._bar.update(seconds)
        if now - self._logged >= INTERVAL or self.done >= self.total:
            self._logged = now
            left = max(self.total - self.done, 0.0) / speed if speed else 0.0
            share = 100 * self.done / self.total if self.total else 100
            log.info("%3.0f%%, %.2fx real time, %.0f s left", share, speed, left)

    def of(self, blocks: Iterable[Frames], rate: int) -> Iterator[Frames]:
        """The blocks [frames, channels], each counted as done once the next is asked for."""
        for block in blocks:
            yield block
            self.add(len(block) / rate)
        self.close()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def _bar(total: float, label: str, stream: TextIO) -> Any:
    from tqdm import tqdm  # jobs of a run on a cluster, or with its output in a file, draw none

    layout = "{desc} {percentage:3.0f}% |{bar}|{postfix}, {remaining} left"
    return tqdm(total=total, desc=label, file=stream, mininterval=INTERVAL, bar_format=layout, leave=False)
