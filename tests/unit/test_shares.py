"""A separation is given what it can use: more threads only where they change no bit, a GPU only where there may be one."""

from types import SimpleNamespace

import pytest

from unbraid import shares

FAST, EXACT = {"precision": "fast"}, {"precision": "exact"}


@pytest.mark.parametrize(
    ("seconds", "cores", "given"),
    [(240, 8, 8), (240, 12, 8), (10, 8, 2), (30, 16, 4), (10, 32, 8), (240, 1, 2), (0, 8, 2)],
)
def test_each_core_gets_a_chunk_where_chunks_are_apart(seconds, cores, given):
    assert shares.threads("demucs", FAST, gpu=False, seconds=seconds, cores=cores) == given


@pytest.mark.parametrize(
    ("backend", "settings", "gpu"),
    [("demucs", EXACT, False), ("demucs", FAST, True), ("demucs", {**FAST, "engine": "torch"}, False), ("spleeter", FAST, False)],
)  # fmt: skip
def test_threads_that_would_change_bits_are_always_as_many(backend, settings, gpu):
    assert shares.threads(backend, settings, gpu=gpu, seconds=600, cores=32) == shares.THREADS


@pytest.mark.parametrize(
    ("device", "here", "there", "asked"),
    [("cpu", True, True, False), ("auto", True, True, True), ("auto", True, False, False), ("auto", False, False, True),
     ("cuda", True, False, True), ("mps", True, True, True)],
)  # fmt: skip
def test_a_gpu_is_asked_for_where_there_may_be_one(monkeypatch, device, here, there, asked):
    monkeypatch.setattr(shares, "may_have_gpu", lambda: there)
    assert shares.uses_gpu(device, here=here) is asked


@pytest.mark.parametrize(
    ("threads", "cores", "gpu", "here", "reserved", "percent"),
    [(2, 2, False, True, 1, 100), (8, 8, False, True, 7, 100), (2, 8, False, True, 1, 25), (2, 1, False, True, 1, 100),
     (2, 32, False, True, 1, 18), (2, 8, True, True, 2, 0), (8, 8, False, False, 8, 0)],
)  # fmt: skip
def test_other_stages_have_a_core_beside_separations_which_never_take_more_than_the_machine(
    monkeypatch, threads, cores, gpu, here, reserved, percent
):
    monkeypatch.setattr(shares.psutil, "virtual_memory", lambda: SimpleNamespace(total=32000 * 2**20))
    assert shares.reserved(threads, gpu=gpu, here=here) == reserved
    assert shares.percent(threads, cores, memory=6000, gpu=gpu, here=here) == percent


def test_a_machine_with_little_memory_separates_one_song_at_a_time(monkeypatch):
    monkeypatch.setattr(shares.psutil, "virtual_memory", lambda: SimpleNamespace(total=8000 * 2**20))
    assert shares.percent(2, 16, memory=6000, gpu=False, here=True) == 75
