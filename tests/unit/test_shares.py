"""A separation is given what it can use: more threads only where they change no bit, a GPU only where there may be one."""

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
