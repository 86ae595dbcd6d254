"""A separation is given what it can use: more threads only where they change no bit, a GPU only where there may be one."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from unbraid import shares
from unbraid.shares import Share

FAST, EXACT = {"precision": "fast"}, {"precision": "exact"}


@pytest.fixture(autouse=True)
def _nothing_remembered():
    shares.memory_here.cache_clear()
    yield
    shares.memory_here.cache_clear()


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """One with 32 GB and no GPU."""
    monkeypatch.setattr(shares.psutil, "virtual_memory", lambda: SimpleNamespace(total=32000 * 2**20))
    monkeypatch.setattr(shares, "may_have_gpu", lambda: False)


def given(backend="demucs", settings=FAST, device="auto", here=True, warm=False, seconds=240.0, cores=8):
    return shares.share(backend, settings, device, here=here, warm=warm, seconds=seconds, cores=cores)


@pytest.mark.parametrize(
    ("seconds", "cores", "threads"),
    [(240, 8, 8), (240, 12, 12), (10, 8, 2), (30, 16, 6), (10, 32, 8), (240, 1, 2), (0, 8, 2)],
)
def test_each_core_gets_a_chunk_where_chunks_are_apart(seconds, cores, threads):
    assert given(seconds=seconds, cores=cores).threads == threads


@pytest.mark.parametrize(
    ("backend", "settings"), [("demucs", EXACT), ("demucs", {**FAST, "engine": "torch"}), ("spleeter", FAST)]
)
def test_threads_that_would_change_bits_are_always_as_many(backend, settings):
    assert given(backend, settings, seconds=600, cores=32).threads == shares.THREADS


@pytest.mark.parametrize(
    ("settings", "cores", "reserved", "percent"),
    [(FAST, 2, 1, 100), (FAST, 8, 7, 100), (EXACT, 8, 1, 25), (EXACT, 1, 1, 100), (EXACT, 32, 1, 18)],
)
def test_other_stages_have_a_core_beside_separations_which_never_take_more_than_the_machine(
    settings, cores, reserved, percent
):
    found = given(settings=settings, cores=cores)
    assert (found.gpu, found.cores, found.percent) == (0, reserved, percent)


@pytest.mark.parametrize(
    ("seconds", "cores", "found"),
    [
        (240, 2, Share(gpu=0, threads=2, cores=1, percent=50, joint=True)),
        (240, 16, Share(gpu=0, threads=16, cores=7, percent=50, joint=True)),
        (10, 16, Share(gpu=0, threads=16, cores=2, percent=18, joint=True)),  # of the memory, more than of the cores
        (10, 1, Share(gpu=0, threads=2, cores=1, percent=50, joint=True)),
    ],
)
def test_a_worker_computes_with_all_cores_for_a_song_and_the_next_one(seconds, cores, found):
    assert given(warm=True, seconds=seconds, cores=cores) == found
    assert not given(settings=EXACT, warm=True, cores=cores).joint
    assert not given(device="cpu", warm=True, here=False, cores=cores).joint


@pytest.mark.parametrize(("backend", "joint"), [("demucs", True), ("spleeter", True), ("sam_audio", False)])
def test_on_a_gpu_songs_share_a_worker_where_their_chunks_may_go_together(backend, joint):
    assert given(backend, device="cuda", warm=True).joint is joint
    assert not given(backend, device="cuda").joint


@pytest.mark.parametrize(
    ("backend", "warm", "only", "cores", "reserved", "percent"),
    [("demucs", True, True, 8, 1, 25), ("demucs", True, True, 4, 1, 50), ("demucs", True, True, 1, 1, 100),
     ("demucs", True, False, 8, 1, 100), ("demucs", False, True, 8, 2, 100), ("sam_audio", True, True, 8, 2, 100)],
)  # fmt: skip
def test_a_gpu_here_has_several_songs_at_a_time_where_one_worker_computes_them_and_nothing_else(
    backend, warm, only, cores, reserved, percent
):
    found = shares.share(backend, FAST, "cuda", here=True, warm=warm, seconds=240.0, cores=cores, only=only)
    assert (found.gpu, found.cores, found.gpu_percent) == (1, reserved, percent)


def test_a_machine_with_little_memory_separates_one_song_at_a_time(monkeypatch):
    monkeypatch.setattr(shares.psutil, "virtual_memory", lambda: SimpleNamespace(total=8000 * 2**20))
    assert given(settings=EXACT, cores=16).percent == 75


@pytest.mark.parametrize(
    ("limits", "found"), [({}, 8000), ({"a/b": "max", "a": f"{3000 * 2**20}"}, 3000), ({".": "max"}, 8000)]
)
def test_a_container_has_the_memory_that_it_was_given(monkeypatch, tmp_path, limits, found):
    for group, limit in limits.items():
        (tmp_path / group).mkdir(parents=True, exist_ok=True)
        (tmp_path / group / "memory.max").write_text(f"{limit}\n")
    monkeypatch.setattr(shares.psutil, "virtual_memory", lambda: SimpleNamespace(total=8000 * 2**20))
    monkeypatch.setattr(shares, "GROUPS", tmp_path)
    real = Path.read_text
    monkeypatch.setattr(Path, "read_text", lambda path: "0::/a/b\n" if path.name == "cgroup" else real(path))
    assert shares.memory_here() == found


def test_elsewhere_a_separation_is_given_all_that_it_uses_and_nothing_of_this_machine():
    assert given(device="cpu", here=False, cores=4) == Share(gpu=0, threads=4, cores=4, percent=0, joint=False)
    assert given(device="cuda", here=False, cores=32) == Share(gpu=1, threads=2, cores=2, percent=0, joint=False)


@pytest.mark.parametrize(
    ("device", "here", "there", "asked"),
    [("cpu", True, True, False), ("auto", True, True, True), ("auto", True, False, False), ("auto", False, False, True),
     ("cuda", True, False, True), ("mps", True, True, True)],
)  # fmt: skip
def test_a_gpu_is_asked_for_where_there_may_be_one(monkeypatch, device, here, there, asked):
    monkeypatch.setattr(shares, "may_have_gpu", lambda: there)
    assert shares.uses_gpu(device, here=here) is asked
    assert given(device=device, here=here).gpu == asked
