"""Promises of profiles/kubernetes, kept by its real plugins: files go through an S3 storage, jobs to a stand-in for Kubernetes.

The storage is moto's, which speaks S3 and keeps it in memory; the pods are processes of this machine (pods.py).
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from unit.real_weights import fetched
from workflow import flow, pods

pytestmark = pytest.mark.weights
BUCKET = "unbraid"
SONGS = ("song0", "song1")
KINDS = """
kinds:
  steps:
    a: {model: identity, input: mix}
    b: {model: identity, input: mix - a.copy}
    v: {ensemble: [a.copy, b.copy], method: average}
  stems:
    drums: a.copy
    bass: b.copy
    other: v
    vocals: mix - v
"""


def clone(folder: Path) -> Path:
    """The repository as it is here, as a user's clone: pods get the files that git knows."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=flow.HOME, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    for name in filter(lambda name: (flow.HOME / name).exists(), names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(flow.HOME / name, folder / name)
    for step in (["init", "--quiet"], ["add", "--all"]):
        subprocess.run(["git", *step], cwd=folder, check=True)
    return folder


@dataclass
class Workplace:
    """A clone to submit from, a volume that all share, a bucket, and a cluster."""

    home: Path
    models: Path
    shared: Path
    bucket: Any
    endpoint: str
    cluster: pods.Cluster
    kubeconfig: Path

    def run(self, *arguments: str, **config: object) -> flow.Run:
        places = {name: self.shared / name for name in ("songs", "store")}
        settings = {**places, "models": self.models, "recipe": "stems", "pages": False, **config}
        command = [sys.executable, "-m", "snakemake", "--workflow-profile", "kubernetes", "--nocolor"]
        options = ["--default-storage-prefix", f"s3://{BUCKET}/run", "--container-image", "unbraid", "--retries", "0"]
        often = ["--seconds-between-status-checks", "1"]
        done = subprocess.run(
            [*command, *options, *often, *arguments, "--config", *(f"{key}={value}" for key, value in settings.items())],
            cwd=self.home,
            env={
                **os.environ,
                "KUBECONFIG": str(self.kubeconfig),
                "SNAKEMAKE_STORAGE_S3_ENDPOINT_URL": self.endpoint,
                "SNAKEMAKE_STORAGE_S3_ACCESS_KEY": "key",
                "SNAKEMAKE_STORAGE_S3_SECRET_KEY": "secret",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )  # fmt: skip
        return flow.Run(done.returncode, done.stdout)

    def delivered(self, *ends: str) -> dict[str, bytes]:
        """The files in the bucket's results that end so, by their path there."""
        return {
            one.key.removeprefix("run/results/"): one.get()["Body"].read()
            for one in self.bucket.objects.filter(Prefix="run/results/")
            if one.key.endswith(ends)
        }

    def audio(self) -> dict[str, str]:
        """As `flow.Desk.audio`."""
        return {name: hashlib.sha256(content).hexdigest() for name, content in self.delivered(".wav", ".flac").items()}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    _, weights = fetched("htdemucs")
    folder = tmp_path_factory.mktemp("kubernetes")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    endpoint = f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
    bucket = boto3.resource("s3", endpoint_url=endpoint, **keys).create_bucket(Bucket=BUCKET)
    for number, song in enumerate(SONGS):
        flow.write(folder / f"shared/songs/{song}.wav", flow.noise(2 + number, seed=number))
    try:
        with pods.cluster(folder / "pods") as (cluster, kubeconfig):
            yield Workplace(
                clone(folder / "home"), weights.parent, folder / "shared", bucket, endpoint, cluster, kubeconfig
            )
    finally:
        server.stop()


@pytest.fixture(scope="module")
def first(workplace: Workplace) -> flow.Run:
    """A run of the two songs and one that is none."""
    (workplace.shared / "songs/bad.wav").write_bytes(b"no audio")
    return workplace.run()


def test_pods_deliver_the_bytes_of_a_run_on_one_machine(workplace: Workplace, first: flow.Run, tmp_path: Path) -> None:
    here = flow.Desk(tmp_path)
    for song in SONGS:
        shutil.copy(workplace.shared / f"songs/{song}.wav", here.songs)
    here.good(recipe="stems", models=workplace.models, device="cpu")
    assert workplace.audio() == here.audio()


def test_a_song_is_one_pod_that_asks_for_a_gpu_and_for_what_one_network_takes(
    workplace: Workplace, first: flow.Run
) -> None:
    assert len(workplace.cluster.jobs) == len(SONGS) + 1
    for job in workplace.cluster.jobs.values():
        pod = job["spec"]["template"]["spec"]
        asked = pod["containers"][0]["resources"]["limits"]
        assert (asked["nvidia.com/gpu"], asked["memory"], asked["cpu"]) == ("1", "6000M", "2000m")
        assert 1000 <= int(asked["ephemeral-storage"].removesuffix("M")) < 2000
        assert {volume["name"] for volume in pod["volumes"]} == {"workdir", "unbraid"}


def test_a_song_that_fails_stops_no_other_and_is_told_of(first: flow.Run) -> None:
    assert first.code == 1
    assert "Songs: 2 ok, 1 failed" in first.text
    assert "Failed: bad: " in first.text
    assert "killed" not in first.text


def test_what_is_in_the_bucket_and_in_the_store_is_not_made_again(workplace: Workplace, first: flow.Run) -> None:
    (workplace.shared / "songs/bad.wav").unlink()
    assert workplace.run().idle
    again = workplace.run(format="flac")
    assert again.code == 0, again.text
    assert not any(rule.startswith(("separate", "merge")) for rule in again.planned)
    assert {f"{song}/vocals.flac" for song in SONGS} <= workplace.audio().keys()


def test_given_stems_true_stems_ensembles_pages_and_stem_files_come_through_the_bucket(
    workplace: Workplace, tmp_path: Path
) -> None:
    here = flow.Desk(tmp_path)
    parts = workplace.shared / "parts"
    for name, seed in (("mix", 8), ("drums", 9), ("true/bass", 10)):
        flow.write(parts / f"{name}.wav", flow.noise(2, seed=seed))
    table = parts / "songs.tsv"
    columns = {"song": "kinds", "path": parts / "mix.wav", "have": parts / "drums.wav", "references": parts / "true"}
    table.write_text("\n".join("\t".join(map(str, row)) for row in (columns, columns.values())) + "\n")
    for recipes in (workplace.home / "config/recipes.yaml", here.path / "config/recipes.yaml"):
        recipes.parent.mkdir(exist_ok=True)
        with open(recipes, "a") as file:
            file.write(KINDS)
    wanted = {"songs": table, "recipe": "kinds", "pages": True}
    here.good("all", "stem_mp4s", **wanted)
    run = workplace.run("all", "stem_mp4s", **wanted)
    assert run.code == 0, run.text
    assert here.audio().items() <= workplace.audio().items()
    made = workplace.delivered(".json", ".html", ".mp4")
    (stem_file,) = (here.path / "results/kinds").glob("*.mp4")
    assert made[f"kinds/{stem_file.name}"] == stem_file.read_bytes()
    assert b"kinds" in made["kinds/index.html"]
    quality = json.loads((here.path / "results/kinds/qc.json").read_text())
    assert json.loads(made["kinds/qc.json"])["metrics"] == quality["metrics"]
    assert quality["metrics"]["bass"]


def test_with_reuse_off_what_the_store_holds_is_replaced(workplace: Workplace) -> None:
    songs = workplace.shared / "again"
    flow.write(songs / "again.wav", flow.noise(1, seed=11))
    wanted = {"songs": songs, "recipe": "identity"}
    assert workplace.run(**wanted).code == 0
    manifests = {
        path: path.stat().st_mtime for path in (workplace.shared / "store/stems").glob("identity-*/manifest.json")
    }
    run = workplace.run(reuse=False, **wanted)
    assert run.code == 0, run.text
    assert sum(path.stat().st_mtime != time for path, time in manifests.items()) == 1
    assert not list((workplace.shared / "store/notes").iterdir())


def test_a_song_that_pods_would_not_find_is_told_of_before_any_pod_starts(workplace: Workplace) -> None:
    before = len(workplace.cluster.jobs)
    flow.write(workplace.home / "songs/mine.wav", flow.noise(1))
    run = workplace.run(songs="songs", recipe="identity")
    assert run.code == 1
    assert "the song mine is at 'songs/mine.wav'" in run.text
    assert len(workplace.cluster.jobs) == before


def test_a_pod_that_is_lost_is_started_again_with_more_memory(workplace: Workplace) -> None:
    before, songs = set(workplace.cluster.jobs), workplace.shared / "lost"
    flow.write(songs / "lost.wav", flow.noise(1, seed=12))
    workplace.cluster.doomed = 1
    run = workplace.run("--retries", "1", songs=songs, recipe="identity")
    assert run.code == 0, run.text
    pods = [job for name, job in workplace.cluster.jobs.items() if name not in before]
    asked = [job["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"] for job in pods]
    assert asked == ["6000M", "12000M"]


def test_segments_are_pods_of_their_own_whose_parts_meet_in_the_bucket(workplace: Workplace, tmp_path: Path) -> None:
    before, here = len(workplace.cluster.jobs), flow.Desk(tmp_path)
    flow.write(here.songs / "long.wav", flow.noise(20, seed=7))
    here.good()
    run = workplace.run(songs=here.songs, recipe="identity", segment_seconds=10)
    assert run.code == 0, run.text
    # Besides the two: convert, segment, merge; and delivering and measuring together.
    assert len(workplace.cluster.jobs) - before == 2 + 4
    assert here.audio().items() <= workplace.audio().items()


def test_a_model_that_is_not_there_is_told_of_before_any_pod_starts(workplace: Workplace, first: flow.Run) -> None:
    before = len(workplace.cluster.jobs)
    bare = {"models": workplace.shared / "nowhere", "store": workplace.shared / "empty"}
    run = workplace.run("--default-storage-prefix", f"s3://{BUCKET}/other", **bare)
    assert run.code == 1
    assert "snakemake models" in run.text
    assert len(workplace.cluster.jobs) == before
