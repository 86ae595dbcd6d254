"""Checkpoints by path: what lies beside them makes a model of them, or an error says what to put there."""

import dataclasses
import json

import numpy as np
import pytest

from stages_by_hand import separated
from tiny_uvr import MDX, config, configured, mdx, ready, vr, write_yaml
from unbraid.backends import uvr_config
from unbraid.errors import UnbraidError
from unbraid.local_checkpoints import local_model


def noise(frames: int) -> np.ndarray:
    return (np.random.default_rng(0).standard_normal((frames, 2)) * 0.1).astype(np.float32)


@pytest.mark.parametrize("kind", uvr_config.CONFIGURED)
@pytest.mark.parametrize(
    ("instruments", "target", "stems"),
    [
        (("Vocals", "Other"), "Vocals", ("vocals", "other")),
        (("vocals",), "vocals", ("vocals", "instrumental")),
        (("drums", "bass", "No Reverb"), None, ("drums", "bass", "no_reverb")),
        (("a", "b", "c"), "b", ("b", "no_b")),
        (("noreverb", "reverb"), "reverb", ("reverb", "noreverb")),
    ],
)
def test_a_checkpoint_with_its_yaml_is_a_model_of_its_architecture_and_stems(
    tmp_path, kind, instruments, target, stems
):
    (tmp_path / "My model (v2).ckpt").touch()
    write_yaml(tmp_path / "My model (v2).yaml", config(kind, instruments, target))
    made = local_model(tmp_path / "My model (v2).ckpt")
    assert (made.architecture, made.stems, made.rate, made.channels) == (kind, stems, 44100, 2)
    assert made.name.startswith("My_model_v2_-")
    assert [weights.name for weights in made.weights] == ["My_model_v2_.yaml", "My_model_v2_.ckpt"]
    assert [source.kind for weights in made.weights for source in weights.sources] == ["file", "file"]


def test_a_checkpoint_by_path_separates_offline(tmp_path):
    checkpoint, _ = configured(tmp_path, uvr_config.BS, target="Vocals")
    made, folder = ready(tmp_path, local_model(checkpoint))
    assert separated(tmp_path / "x", noise(3000), made, folder, threads=1).shape == (2, 2, 3000)


@pytest.mark.parametrize("suffix", [".yaml", ".json"])
def test_uvrs_parameters_beside_a_checkpoint_become_the_models(tmp_path, suffix):
    (tmp_path / f"tiny{suffix}").write_text(json.dumps(MDX))
    made = local_model(mdx(tmp_path))
    assert (made.architecture, made.stems, made.parameters) == (uvr_config.MDX, ("vocals", "instrumental"), MDX)
    stems = separated(tmp_path / "x", noise(3000), *ready(tmp_path, made), threads=1)
    assert stems.shape == (2, 2, 3000)


def test_a_pth_with_parameters_is_a_vr_model(tmp_path):
    row = {"vr_model_param": "4band_v3", "primary_stem": "No Echo"}
    (tmp_path / "tiny.json").write_text(json.dumps(row))
    made = local_model(vr(tmp_path, modern=False, bins=672))
    assert (made.architecture, made.stems, made.parameters) == (uvr_config.VR, ("no_echo", "echo"), row)


def test_a_pth_with_a_training_yaml_is_a_roformer(tmp_path):
    (tmp_path / "x.pth").touch()
    content = config(uvr_config.MEL, target="Vocals")
    content["model"]["stereo"] = False
    write_yaml(tmp_path / "x.yaml", content)
    made = local_model(tmp_path / "x.pth")
    assert (made.architecture, made.channels) == (uvr_config.MEL, 1)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("x.ckpt", "Put the YAML that was published with it there, as x.yaml"),
        ("x.onnx", "Write x.yaml with .*: mdx_dim_f_set, mdx_dim_t_set, mdx_n_fft_scale_set, compensate, primary_stem"),
        ("x.pth", "Write x.yaml with .*: vr_model_param, primary_stem .*training YAML"),
    ],
)
def test_a_checkpoint_alone_is_an_error_that_says_what_to_write_where(tmp_path, name, remedy):
    (tmp_path / name).touch()
    with pytest.raises(UnbraidError, match=remedy):
        local_model(tmp_path / name)


def test_parameters_that_lack_one_are_an_error_that_names_it(tmp_path):
    (tmp_path / "x.onnx").touch()
    (tmp_path / "x.json").write_text(json.dumps({name: value for name, value in MDX.items() if name != "compensate"}))
    with pytest.raises(UnbraidError, match=r"x\.json does not give compensate"):
        local_model(tmp_path / "x.onnx")


@pytest.mark.parametrize(("name", "message"), [("x.ckpt", "There is no checkpoint"), ("x.txt", "not a checkpoint")])
def test_a_path_that_is_no_checkpoint_is_an_error(tmp_path, name, message):
    with pytest.raises(UnbraidError, match=message):
        local_model(tmp_path / name)


def test_checkpoints_of_the_same_name_in_two_folders_are_two_models(tmp_path):
    made = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        (folder / "x.ckpt").touch()
        write_yaml(folder / "x.yaml", config(uvr_config.BS))
        made.append(local_model(folder / "x.ckpt"))
    assert made[0].name != made[1].name
    assert dataclasses.replace(made[0], name="", description="", weights=()) == dataclasses.replace(
        made[1], name="", description="", weights=()
    )
