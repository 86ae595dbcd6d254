"""Promises of profiles/slurm, kept by a real SLURM: three nodes on this host, with GPUs that are none."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile
from slurm.cluster import Allocation, Cluster, Desk, held, of_jobs, workers
from unit.real_weights import fetched
from workflow import flow

from unbraid.audio.decode import Decoder
from unbraid.setup import demo_path

CAN = sys.platform == "linux" and os.geteuid() == 0 and bool(shutil.which("apt-get"))
pytestmark = pytest.mark.skipif(not CAN, reason="a SLURM can be started only by root, with Debian's packages")
SONGS = 12


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="unbraid-slurm-", dir="/tmp"))
    found = Cluster(folder)
    try:
        found.start()
        yield found
    finally:
        found.stop()


@pytest.fixture
def whole(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster; afterwards all that a test broke is mended."""
    yield cluster
    cluster.heal()


@dataclass
class Seen:
    """What was seen while a run went on. leases: node and GPU of each allocation's worker. shared: GPUs that two had at once."""

    leases: dict[str, tuple[str, str]] = field(default_factory=dict)
    shared: set[tuple[str, str]] = field(default_factory=set)
    torch: bool = False

    def look(self, head: psutil.Process) -> None:
        now: dict[tuple[str, str], str] = {}
        for worker in workers():
            try:
                variables = worker.environ()
            except psutil.Error:
                continue
            lease = variables["SLURMD_NODENAME"], variables["CUDA_VISIBLE_DEVICES"]
            self.leases[variables["SLURM_JOB_ID"]] = lease
            if now.setdefault(lease, variables["SLURM_JOB_ID"]) != variables["SLURM_JOB_ID"]:
                self.shared.add(lease)
        self.torch = self.torch or any("torch" in mapped.path for mapped in head.memory_maps())


@dataclass(frozen=True)
class Batch:
    """Songs that were separated on the cluster. text: what the run said. local: what a run on this machine delivered."""

    code: int
    text: str
    audio: dict[str, str]
    local: dict[str, str]
    allocations: list[Allocation]
    seen: Seen


def songs(desk: flow.Desk, count: int, seconds: float) -> None:
    for number in range(count):
        flow.write(desk.songs / f"song{number:02}.wav", flow.noise(seconds + number % 3, seed=number))


def music(desk: flow.Desk, count: int) -> None:
    """Two to four seconds each of the demo song, from another point of it."""
    with Decoder(demo_path()) as decoder:
        whole, rate = np.concatenate(list(decoder)), decoder.rate
    for number in range(count):
        start = number * (len(whole) - 4 * rate) // count
        soundfile.write(desk.songs / f"song{number:02}.wav", whole[start : start + (2 + number % 3) * rate], rate)


@pytest.fixture(scope="module")
def batch(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Batch:
    """Short songs through HTDemucs' real weights, by a run on the cluster and one here, which knows nothing of the other."""
    config = real()
    here, there = flow.Desk(tmp_path_factory.mktemp("here")), Desk(tmp_path_factory.mktemp("there"))
    for desk in (here, there):
        music(desk, SONGS)
    begun, seen, done = time.time(), Seen(), threading.Event()
    with there.begun(**config) as process:
        head = psutil.Process(process.pid)

        def watch() -> None:
            while not done.wait(0.3) and head.status() != psutil.STATUS_ZOMBIE:
                seen.look(head)

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            code = process.wait(timeout=900)
        finally:
            done.set()
            watcher.join()
    text = (there.path / "terminal.txt").read_text(errors="replace")
    here.good(**{**config, "device": "cpu"})
    return Batch(code, text, there.audio(), here.audio(), cluster.allocations(begun), seen)


@pytest.mark.weights
def test_a_batch_on_the_cluster_delivers_the_bytes_of_a_run_on_one_machine(batch: Batch) -> None:
    assert batch.code == 0, batch.text
    assert len(batch.audio) == 5 * SONGS
    assert batch.audio == batch.local


@pytest.mark.weights
def test_a_song_takes_at_most_one_and_a_half_allocations(batch: Batch) -> None:
    assert 0 < len(batch.allocations) <= 1.5 * SONGS
    assert {one.state for one in batch.allocations} == {"COMPLETED"}
    assert len({one.node for one in batch.allocations}) == 3


@pytest.mark.weights
def test_allocations_that_share_a_node_have_a_gpu_each(batch: Batch) -> None:
    # Each allocation had a worker, and all GPUs of all nodes were used.
    assert set(batch.seen.leases) == {one.job for one in batch.allocations}
    assert len(set(batch.seen.leases.values())) == 6
    assert not batch.seen.shared


@pytest.mark.weights
def test_the_machine_that_submits_never_loads_torch(batch: Batch) -> None:
    assert batch.seen.leases
    assert not batch.seen.torch


@pytest.mark.weights
def test_no_worker_outlives_its_allocation(batch: Batch) -> None:
    assert batch.seen.leases
    flow.until(lambda: not workers(), 10, 0.5)


def real() -> dict[str, object]:
    """The configuration of a run with HTDemucs' real weights."""
    _, models = fetched("htdemucs")
    return {"recipe": "stems", "preset": "reference", "device": "auto", "models": models.parent}


@pytest.mark.weights
@pytest.mark.parametrize(
    ("songs", "together", "config"),
    [(4, "song=4", {}), (1, "segments=3", {"segment_seconds": 1})],
    ids=["four songs", "three segments of a song"],
)
def test_what_shares_an_allocation_shares_a_worker_whose_network_stays_loaded(
    whole: Cluster, tmp_path: Path, songs: int, together: str, config: dict[str, object]
) -> None:
    there = Desk(tmp_path)
    music(there, songs)
    with there.begun("--group-components", together, **real(), **config) as process:
        end(process, there)
    told = [log.read_text(errors="replace") for log in there.logs("separate")]
    taken = [re.findall(r"Worker (\d+) \(htdemucs\) takes the task", text) for text in told]
    assert len(taken) >= 2
    assert [len(of_one) for of_one in taken] == [1] * len(taken)
    assert len({worker for (worker,) in taken}) == 1
    assert len(list((tmp_path / "logs/worker").iterdir())) == 1


@pytest.mark.weights
def test_a_worker_ends_with_an_allocation_that_is_cancelled(whole: Cluster, tmp_path: Path) -> None:
    there = Desk(tmp_path)
    music(there, 1)
    with there.begun("--retries", "0", **real()) as process:
        flow.until(lambda: bool(workers()), 90, 0.1)
        (worker,) = workers()
        subprocess.run(["scancel", worker.environ()["SLURM_JOB_ID"]], check=True)
        flow.until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE, 10, 0.1)
        assert process.wait(timeout=120) == 1


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    found = Desk(tmp_path / "there")
    songs(found, 3, 20)
    return found


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the songs of `desk` become without a cluster."""
    desk = flow.Desk(tmp_path_factory.mktemp("local"))
    songs(desk, 3, 20)
    desk.good()
    return desk.audio()


def end(process: subprocess.Popen[bytes], desk: Desk, seconds: float = 240) -> str:
    """The run must end well; what it said."""
    code = process.wait(timeout=seconds)
    text = (desk.path / "terminal.txt").read_text(errors="replace")
    assert code == 0, text
    return text


def test_what_a_lost_node_did_is_done_by_another(whole: Cluster, desk: Desk, local: dict[str, str]) -> None:
    begun = time.time()
    with desk.begun() as process:
        node = held("separate").environ()["SLURMD_NODENAME"]
        whole.lose(node)
        end(process, desk)
    states = [one.state for one in whole.allocations(begun)]
    assert "NODE_FAIL" in states
    assert states.count("COMPLETED") == 3
    assert desk.audio() == local


def test_a_job_that_goes_on_although_its_node_counts_as_lost_spoils_nothing(
    whole: Cluster, desk: Desk, local: dict[str, str]
) -> None:
    begun = time.time()
    with desk.begun() as process:
        job = held("separate")
        node = job.environ()["SLURMD_NODENAME"]
        whole.kill(node)
        flow.until(lambda: any(one.state == "NODE_FAIL" for one in whole.allocations(begun)), 60, 0.5)
        job.resume()
        end(process, desk)
    assert desk.audio() == local


@pytest.mark.parametrize("beside", [True, False], ids=["beside the new run", "after it"])
def test_a_run_that_was_killed_is_continued_while_what_it_has_left_goes_on(
    whole: Cluster, desk: Desk, local: dict[str, str], beside: bool
) -> None:
    with desk.begun() as process:
        job = held("separate")
        process.kill()
        process.wait()
    with desk.begun() as process:
        if beside:
            job.resume()
        end(process, desk)
    assert desk.audio() == local
    if not beside:
        job.resume()
    flow.until(lambda: not whole.busy(), 120, 0.5)
    assert desk.audio() == local
    assert not desk.partials()


def test_a_job_that_is_killed_for_its_time_is_sent_again_with_more(
    whole: Cluster, desk: Desk, local: dict[str, str]
) -> None:
    rules = ("convert", "segment", "merge_identity", "deliver_identity", "report")
    limits = [*(f"{rule}:runtime=0" for rule in rules), "separate:runtime=attempt"]
    begun = time.time()
    with desk.begun("--set-resources", *limits) as process:
        job = held("separate").environ()["SLURM_JOB_ID"]
        end(process, desk)
    found = whole.allocations(begun)
    assert [(one.state, one.minutes) for one in found if one.job == job] == [("TIMEOUT", "1")]
    assert [(one.state, one.minutes) for one in found][-1] == ("COMPLETED", "2")
    assert desk.audio() == local


def test_an_allocation_that_is_cancelled_is_made_again(whole: Cluster, desk: Desk, local: dict[str, str]) -> None:
    begun = time.time()
    with desk.begun() as process:
        job = held("convert").environ()["SLURM_JOB_ID"]
        subprocess.run(["scancel", job], check=True)
        end(process, desk)
    assert [one.state for one in whole.allocations(begun) if one.job == job] == ["CANCELLED"]
    assert desk.audio() == local


def test_the_controller_may_be_restarted_meanwhile(whole: Cluster, desk: Desk, local: dict[str, str]) -> None:
    with desk.begun() as process:
        job = held("separate")
        whole.kill("slurmctld")
        job.resume()
        time.sleep(8)
        whole.start("slurmctld")
        end(process, desk)
    assert desk.audio() == local


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A run can be ended by Ctrl-C, even where these tests are in a shell's background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_a_run_that_is_stopped_leaves_nothing_on_the_cluster(whole: Cluster, desk: Desk) -> None:
    with desk.begun() as process:
        held("separate")
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)
        flow.until(lambda: not whole.busy() and not list(of_jobs()), 30, 0.5)
    assert not desk.partials()


def test_a_song_that_fails_stops_no_other_and_is_told_of(whole: Cluster, desk: Desk, local: dict[str, str]) -> None:
    (desk.songs / "bad.wav").write_bytes(b"no song")
    run = desk.run("--retries", "0")
    assert run.code == 1
    assert desk.audio() == local
    assert "Songs: 3 ok, 1 failed" in run.text
    assert "Failed: bad: " in run.text
    assert "Traceback" not in run.text


def test_of_songs_that_share_an_allocation_one_that_fails_takes_nothing_from_the_others(
    whole: Cluster, desk: Desk, local: dict[str, str]
) -> None:
    (desk.songs / "bad.wav").write_bytes(b"no song")  # comes first
    begun, together = time.time(), ("--group-components", "song=4", "--retries", "0")
    run = desk.run(*together)
    assert len(whole.allocations(begun)) == 1
    assert run.code == 1
    assert desk.audio() == local
    assert "Songs: 3 ok, 1 failed" in run.text
    again = desk.run(*together)
    assert "Songs: 1 failed" in again.text
    assert again.planned["convert"] == 1
    assert desk.audio() == local


@pytest.mark.parametrize(
    ("how", "arrays", "count"),
    [(("--group-components", "segments=2"), 0, 3), (("--slurm-array-jobs", "separate"), 6, 6)],
    ids=["two segments in an allocation", "an array of segments"],
)
def test_a_long_recording_is_spread_over_the_nodes(
    whole: Cluster, tmp_path: Path, how: tuple[str, ...], arrays: int, count: int
) -> None:
    there, here = Desk(tmp_path / "there"), flow.Desk(tmp_path / "here")
    for one in (there, here):
        flow.write(one.songs / "long.wav", flow.noise(60, seed=7))
    here.good()
    begun = time.time()
    there.good(*how, segment_seconds=10)
    found = whole.allocations(begun)
    # Besides its segments: convert, segment, merge; and delivering and measuring together.
    assert len(found) == count + 4
    assert sum("_" in one.job for one in found) == arrays
    assert len({one.node for one in found}) > 1
    assert there.audio() == here.audio()


@pytest.fixture
def eight_hours(tmp_path: Path) -> Iterator[tuple[Desk, Path]]:
    """A recording of eight hours, mono, quiet noise, each of its minutes another; it and all made of it is deleted afterwards."""
    if shutil.disk_usage(tmp_path).free < 25e9:
        pytest.skip("eight hours of audio, decoded and separated, take 25 GB")
    desk = Desk(tmp_path / "long")
    song = desk.songs / "long.flac"
    with soundfile.SoundFile(song, "w", 44100, 1, "PCM_16") as file:
        for minute in range(8 * 60):
            file.write(np.random.default_rng(minute).integers(-50, 50, 60 * 44100, dtype=np.int16))
    yield desk, song
    shutil.rmtree(desk.path)


def test_eight_hours_are_spread_over_the_nodes_and_joined_in_little_memory(
    whole: Cluster, eight_hours: tuple[Desk, Path]
) -> None:
    desk, song = eight_hours
    begun, hours = time.time(), 8
    with desk.begun(segment_seconds=3600) as process:
        end(process, desk, seconds=1500)
    found = whole.allocations(begun)
    assert len(found) == hours + 4
    assert {one.node for one in found} == {"node1", "node2", "node3"}
    # As float32 the recording has 5 GB.
    assert 100 < whole.peak(begun) < 1500
    blocks = (soundfile.blocks(path, 1 << 20, dtype="int16") for path in (song, desk.path / "results/long/copy.wav"))
    assert all(np.array_equal(given, made) for given, made in zip(*blocks, strict=True))
