"""The whole workflow with the real HTDemucs weights on real music, without a network."""

import json
import shutil
import sys

import numpy as np
import pytest
import soundfile
import soxr

from flow import HOME, Desk, Run, write

sys.path.insert(0, str(HOME / "tests" / "unit"))
sys.path.insert(0, str(HOME / "tests" / "bench"))

from quality import example, sdr
from real_weights import fetched

pytestmark = pytest.mark.weights

STEMS = ["vocals", "drums", "bass", "other", "instrumental"]
SONGS = {"demo": (44100, 2), "stereo48": (48000, 2), "mono22": (22050, 1)}

# Loaded by every Python that a run starts: whoever opens a connection dies. Jobs and their workers talk over a socket of
# this machine's file system, which reaches no network.
NO_NETWORK = """
import socket
def refuse(*_):
    raise RuntimeError("a connection was opened")
def guarded(real):
    return lambda self, *rest: real(self, *rest) if self.family == socket.AF_UNIX else refuse()
for name in ("connect", "connect_ex", "sendto"):
    setattr(socket.socket, name, guarded(getattr(socket.socket, name)))
socket.getaddrinfo = socket.create_connection = refuse
"""


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Desk:
    desk = Desk(tmp_path_factory.mktemp("real"))
    _, folder = fetched("htdemucs")
    (desk.path / "models").mkdir()
    (desk.path / "models" / "htdemucs").symlink_to(folder.resolve())
    mix, _, rate = example()
    excerpt = mix[rate : 4 * rate]
    write(desk.songs / "stereo48.wav", soxr.resample(excerpt, rate, 48000) * 0.5, 48000, "PCM_24")
    write(desk.songs / "mono22.flac", soxr.resample(excerpt.mean(axis=1), rate, 22050)[:, None] * 0.5, 22050)
    (desk.path / "guard").mkdir()
    (desk.path / "guard" / "sitecustomize.py").write_text(NO_NETWORK)
    return desk


def run_offline(desk: Desk, monkeypatch, *targets: str, **config: object) -> Run:
    monkeypatch.setenv("PYTHONPATH", str(desk.path / "guard"))
    return desk.good(*targets, recipe="stems", device="cpu", **config)


@pytest.fixture(scope="module")
def first(desk) -> Run:
    with pytest.MonkeyPatch.context() as monkeypatch:
        return run_offline(desk, monkeypatch, "all", "demo")


def delivered(desk: Desk, song: str) -> dict[str, tuple[np.ndarray, int]]:
    folder = desk.path / "results" / song
    return {stem: soundfile.read(folder / f"{stem}.wav", dtype="float32", always_2d=True) for stem in STEMS}


def source(desk: Desk, song: str) -> np.ndarray:
    if song == "demo":
        return example()[0]
    return soundfile.read(next(desk.songs.glob(f"{song}.*")), dtype="float32", always_2d=True)[0]


@pytest.mark.parametrize("song", SONGS)
def test_stems_have_the_songs_frames_rate_and_channels(desk, first, song):
    rate, channels = SONGS[song]
    for audio, found in delivered(desk, song).values():
        assert (found, audio.shape) == (rate, source(desk, song).shape)
        assert audio.shape[1] == channels
        assert np.isfinite(audio).all()


@pytest.mark.parametrize("song", SONGS)
def test_vocals_and_instrumental_add_up_to_the_mix(desk, first, song):
    stems, mix = delivered(desk, song), source(desk, song)
    step = 2.0**-23 if song == "stereo48" else 2.0**-15 if song == "mono22" else 2.0**-22
    assert np.abs(stems["vocals"][0] + stems["instrumental"][0] - mix).max() <= 1.01 * step


@pytest.mark.parametrize("song", SONGS)
def test_all_stems_together_come_near_the_mix_and_quality_says_how_near(desk, first, song):
    quality = json.loads((desk.path / "results" / song / "qc.json").read_text())
    sets = {tuple(entry["stems"]): entry for entry in quality["residuals"]}
    assert set(sets) == {("vocals", "instrumental"), ("vocals", "drums", "bass", "other")}
    mix = source(desk, song).astype(np.float64)
    rest = mix - sum(audio for stem, (audio, _) in delivered(desk, song).items() if stem != "instrumental")
    level = 10 * np.log10((rest**2).sum() / (mix**2).sum())
    assert level < -20
    assert sets["vocals", "drums", "bass", "other"]["residual_db"] == pytest.approx(level, abs=0.02)


def test_vocals_of_the_demo_song_reach_5_db_sdr(desk, first):
    mix, true, _ = example()
    vocals = delivered(desk, "demo")["vocals"][0]
    assert sdr(vocals[: len(mix)], true["vocals"]) >= 5.0


def test_quality_names_model_device_preset_and_the_time_of_each_stage(desk, first):
    quality = json.loads((desk.path / "results/demo/qc.json").read_text())
    assert (quality["models"], quality["preset"], quality["devices"]) == (["htdemucs"], "balanced", ["cpu"])
    assert set(quality["seconds"]) == {"convert", "segment", "separate", "merge", "deliver"}
    assert quality["real_time_factor"] > 0


def test_provenance_names_weights_licence_versions_and_every_key(desk, first):
    origin = json.loads((desk.path / "results/demo/provenance.json").read_text())
    split = origin["separations"]["split"]
    assert split["content"]["model"]["weights"] == [fetched("htdemucs")[0].identity[0]]
    assert "personal and" in split["licence"]
    assert split["versions"]["torch"]
    assert origin["mix"]["content"]["source"] == origin["source_sha256"]
    assert {key for terms in origin["stems"].values() for _, key, _ in terms} == {split["key"], origin["mix"]["key"]}


def test_the_demo_song_is_not_among_the_users_songs(desk, first):
    assert sorted(path.name for path in desk.songs.iterdir()) == ["mono22.flac", "stereo48.wav"]


def test_a_second_run_does_nothing(desk, first, monkeypatch):
    before = desk.files("results", "store")
    assert run_offline(desk, monkeypatch, "all", "demo").idle
    assert desk.files("results", "store") == before


def test_computed_afresh_in_more_segments_the_stems_have_the_same_bytes(desk, first, monkeypatch):
    before = desk.audio()
    again = run_offline(desk, monkeypatch, "demo", reuse="false", segment_seconds=2.5)
    assert again.ran["separate"] == 3
    assert desk.audio() == before


def test_progress_is_in_the_log(desk, first):
    text = "".join(path.read_text() for path in desk.logs("separate"))
    assert "100%" in text
    assert "x real time" in text


def test_a_corrupt_weight_file_is_an_error_that_names_it(tmp_path):
    _, folder = fetched("htdemucs")
    desk = Desk(tmp_path)
    copy = desk.path / "models" / "htdemucs"
    shutil.copytree(folder, copy)
    weights = next(copy.glob("*.safetensors"))
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    run = desk.run("demo", recipe="stems", device="cpu")
    assert run.code != 0
    (message,) = set(run.paragraphs("demo"))
    assert "stage separate" in message
    assert weights.name in message
    assert "Traceback" not in run.text


def test_cuda_without_cuda_is_an_error_with_a_remedy(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # also where there is a GPU
    desk = Desk(tmp_path)
    (desk.path / "models").mkdir()
    (desk.path / "models" / "htdemucs").symlink_to(fetched("htdemucs")[1].resolve())
    run = desk.run("demo", recipe="stems", device="cuda")
    assert run.code != 0
    (message,) = set(run.paragraphs("demo"))
    assert "sees no CUDA GPU" in message
    assert "envs/cuda.yaml" in message
