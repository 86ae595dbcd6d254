import io
import logging
import re

import numpy as np
import pytest

from unbraid import progress
from unbraid.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO, logger="unbraid")
    return lambda: [record.getMessage() for record in caplog.records]


def test_the_log_says_percent_speed_and_time_left(clock, lines):
    shown = Progress(60.0, "song", io.StringIO())
    clock[0] += 10
    shown.add(15.0)
    assert lines() == [" 25%, 1.50x real time, 30 s left"]


def test_the_log_gets_at_most_two_lines_a_second_and_always_the_end(clock, lines):
    shown = Progress(100.0, "song", io.StringIO())
    for _ in range(100):
        clock[0] += 0.1
        shown.add(1.0)
    assert 10 <= len(lines()) <= 21
    assert lines()[-1].startswith("100%")


def test_nothing_to_do_is_not_an_error(clock, lines):
    Progress(0.0, "song", io.StringIO()).add(0.0)
    assert lines() == ["100%, 0.00x real time, 0 s left"]


def test_a_terminal_gets_a_bar_and_a_file_gets_none():
    terminal, file = Terminal(), io.StringIO()
    for stream in (terminal, file):
        shown = Progress(10.0, "my song", stream)
        if shown._bar:
            shown._bar.mininterval = 0
        shown.add(5.0)
        shown.close()
    assert re.search(r"my song +50% \|.*real time.*left", terminal.getvalue())
    assert file.getvalue() == ""


def test_blocks_that_pass_through_are_counted_and_the_end_is_logged(caplog):
    with caplog.at_level("INFO", logger="unbraid"):
        blocks = [np.zeros((100, 2)), np.zeros((50, 2))]
        assert list(Progress(1.5, "x", io.StringIO()).of(blocks, 100)) == blocks
    assert "100%" in caplog.text
