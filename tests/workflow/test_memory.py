"""Peak memory does not grow with a song's length, in any stage. `make soak` does the same with two hours."""

import sys
from pathlib import Path

import pytest

from flow import HOME

sys.path.insert(0, str(HOME / "tests" / "bench"))

import memory

MOST = 400  # MB, for every stage but the network's


@pytest.mark.parametrize("rate", [None, 44100], ids=["at the song's rate", "resampled"])
def test_twenty_minutes_need_no_more_memory_than_one_in_any_stage(tmp_path: Path, rate: int | None):
    short, long = (memory.stages(minutes * 60, rate, tmp_path) for minutes in (1, 20))
    for stage, peak in long.items():
        assert peak < MOST, stage
        assert peak < short[stage] * 1.1 + 5, stage


@pytest.mark.weights
def test_the_network_needs_no_more_memory_for_a_minute_and_a_half_than_for_half_a_minute(tmp_path: Path, monkeypatch):
    # Without the holes that glibc keeps between freed tensors, which differ by 100 MB and more from run to run.
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", str(1 << 20))
    assert memory.network(90, tmp_path) < memory.network(30, tmp_path) * 1.05
