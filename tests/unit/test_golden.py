"""Stage versions must be bumped when numerics change: a fingerprint of each stage's output on a fixed input, per version.

When a test here fails and the change of numerics is meant, bump the stage in `unbraid.keys.STAGE_VERSIONS` and record
the new fingerprint under the new version. A fingerprint is a few projections on fixed noise, compared within 1e-5 of
the output's norm (-100 dB), so that processors may round differently.
"""

import numpy as np
import pytest
import soundfile
from demucs.htdemucs import HTDemucs

from stages_by_hand import separated, write_mix
from test_upstream_parity import tiny_model
from unbraid.files import read_json, sha256, write_json
from unbraid.keys import STAGE_VERSIONS
from unbraid.stages.convert import convert
from unbraid.stages.have import have
from unbraid.stages.merge import merge
from unbraid.stages.segment import segment

GOLDEN = {
    ("convert", 2): [0.2785792, 0.0612567, -0.0632988, 0.2272596, -0.0095771, -0.1790682],
    ("have", 2): [-0.0296661, 0.1492072, 0.0471572, 0.1054042, -0.0000309, -0.0229534],
    ("merge", 1): [0.0729583, 0.0165162, 0.0145837, -0.0098609, 0.100336, 0.0556856],
    ("segment", 1): [-0.0721181, -0.2497801, -0.0066656, -0.0351696, -0.0457366, -0.2313456],
    ("separate", 1): [0.0015107, -0.0106244, 0.0188599, -0.0024818, 0.0155034, 0.0232104],
}


def fingerprint(audio: np.ndarray) -> list[float]:
    noise = np.random.Generator(np.random.PCG64(0)).standard_normal((6, audio.size)) / np.sqrt(audio.size)
    return [round(float(value), 7) for value in noise @ audio.ravel().astype(np.float64)]


def sines(frames: int, rate: int) -> np.ndarray:
    """Exact in 16 bits, so that every format carries it unchanged."""
    time = np.arange(frames)[:, None] / rate
    audio = 0.25 * np.sin(2 * np.pi * np.array([220.0, 331.0]) * time) + 0.1 * np.sin(2 * np.pi * 2500.0 * time)
    return (np.round(audio * 32768) / 32768).astype(np.float32)


def check(stage: str, audio: np.ndarray) -> None:
    tolerance = 1e-5 * float(np.sqrt(np.mean(np.square(audio, dtype=np.float64))))
    assert fingerprint(audio) == pytest.approx(GOLDEN[stage, STAGE_VERSIONS[stage]], abs=tolerance)


def test_convert(tmp_path):
    soundfile.write(tmp_path / "s.wav", sines(30_000, 44100), 44100, subtype="PCM_16")
    convert(
        tmp_path / "s.wav", tmp_path / "m.wav", tmp_path / "m.json",
        digest=sha256(tmp_path / "s.wav"), start=0.1, end=0.5, truncated="error",
    )  # fmt: skip
    check("convert", soundfile.read(tmp_path / "m.wav", dtype="float32")[0])


def test_have(tmp_path):
    soundfile.write(tmp_path / "s.wav", sines(30_000, 48000)[:, :1], 48000, subtype="PCM_16")
    _source, info = write_mix(tmp_path, sines(17_640, 44100), 44100)
    have(
        tmp_path / "s.wav", info, tmp_path / "h.wav", tmp_path / "h.json",
        digest=sha256(tmp_path / "s.wav"), column="have", start=0.1, end=0.5, seconds=0.625,
    )  # fmt: skip
    check("have", soundfile.read(tmp_path / "h.wav", dtype="float32")[0])


def test_segment(tmp_path):
    source, info = write_mix(tmp_path, sines(30_000, 48000)[:, :1], 48000)
    segment(
        [(1, source)],
        info,
        tmp_path / "m.wav",
        tmp_path / "i.json",
        rate=44100,
        channels=2,
        count=3,
    )
    check("segment", soundfile.read(tmp_path / "m.wav", dtype="float32")[0])


def test_separate(tmp_path):
    made, folder, _ = tiny_model(tmp_path, HTDemucs)
    settings = {"shifts": 2, "overlap": 0.25, "precision": "exact", "seed": 1}
    check("separate", separated(tmp_path / "x", sines(60_000, 44100), made, folder, settings=settings))


def test_merge(tmp_path):
    made, _folder, _ = tiny_model(tmp_path, HTDemucs)
    joined = sines(27_563, 44100)
    wide = np.concatenate([joined, joined / 2, joined / 4, joined / 8], axis=1)
    part, _ = write_mix(tmp_path / "part", wide, 44100)
    (tmp_path / "r.json").write_text(
        '{"seconds": 1, "device": "cpu", "engine": "torch", "arithmetic": "tf32", "threads": 1,'
        ' "notices": ["a", "a"], "weights": {}}'
    )
    write_json(
        tmp_path / "i.json",
        {"channels": 2, "rate": 44100, "seconds": 1, "song": {"frames": 30_000, "rate": 48000, "channels": 1}},
    )
    stems = [tmp_path / f"{stem}.wav" for stem in made.stems]
    manifest = tmp_path / "manifest.json"
    merge(
        [part], [tmp_path / "r.json"], tmp_path / "i.json", stems, manifest,
        model=made.name, licence=made.licence, key="k", content={"a": 1}, settings={},
    )  # fmt: skip
    read = [soundfile.read(stem, dtype="float32", always_2d=True) for stem in stems]
    assert all(audio.shape == (30_000, 1) and rate == 48000 for audio, rate in read)
    check("merge", np.concatenate([audio for audio, _ in read]))
    written = read_json(manifest)
    assert written["files"]["drums.wav"]["sha256"] == sha256(stems[0])
    assert (written["key"], written["content"], written["notices"]) == ("k", {"a": 1}, ["a"])
    assert (written["devices"], written["engines"], written["arithmetics"]) == (["cpu"], ["torch"], ["tf32"])
    assert written["versions"]["demucs"] == "4.1.0"
