"""The files of a SAM-Audio model: which are taken, which are refused, and what becomes of them."""

import json
import shutil

import mlx.core as mx
import numpy as np
import pytest
import torch

import tiny_sam_audio as tiny
from test_sam_audio import noise, run, session
from tiny_sam_audio import CHUNK
from unbraid import catalogue
from unbraid.backends import sam_audio_weights
from unbraid.catalogue import Source, Weights
from unbraid.errors import UnbraidError
from unbraid.fetch import fetch


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return tiny.fetched(tmp_path_factory.mktemp("tiny"))


def refused(folder, **changes):
    with pytest.raises(UnbraidError) as caught:
        session(tiny.fetched(folder, **changes))
    assert caught.value.remedy
    return str(caught.value)


def test_a_missing_tensor_is_an_error_that_names_it(tmp_path):
    lacking = tiny.changed(tmp_path, "network", drop="memory_proj.weight")
    assert "they lack 1 tensors (memory_proj.weight)" in refused(tmp_path, network=lacking)


def test_a_tensor_that_nothing_takes_is_an_error_that_names_it(tmp_path):
    more = tiny.changed(tmp_path, "network", add={"transformer.layers.7.norm.weight": mx.ones((4,))})
    assert "they also hold 1 tensors (transformer.layers.7.norm.weight)" in refused(tmp_path, network=more)


def test_a_tensor_of_another_shape_is_an_error(tmp_path):
    other = tiny.changed(tmp_path, "network", add={"memory_proj.weight": mx.ones((5, 7))})
    assert "memory_proj.weight" in refused(tmp_path, network=other)


def test_a_t5_that_lacks_a_tensor_is_an_error(tmp_path):
    lacking = tiny.changed(tmp_path, "t5-model", drop="shared.weight")
    found = session(tiny.fetched(tmp_path, **{"t5-model": lacking}))
    with pytest.raises(UnbraidError, match=r"lack 1 tensors \(shared.weight\)"):
        _ = found._text


def test_the_watermark_of_the_codec_may_be_there_or_be_left_out(made, tmp_path):
    with_it = tiny.changed(tmp_path, "network", add=tiny.parameters(idle=True))
    audio = noise(CHUNK)
    there = run(tiny.fetched(tmp_path, network=with_it), tmp_path / "a", audio)
    assert np.array_equal(there, run(made, tmp_path / "b", audio))


def test_upstreams_checkpoint_gives_the_bits_of_its_conversion(made, tmp_path):
    audio = noise(CHUNK)
    original = tiny.fetched(tmp_path / "pt", network=tiny.checkpoint(tmp_path / "checkpoint.pt"))
    assert np.array_equal(run(original, tmp_path / "a", audio), run(made, tmp_path / "b", audio))


def test_half_precision_weights_are_computed_with_in_float32_when_exact(tmp_path):
    half = {name: value.astype(mx.float16) for name, value in tiny.parameters().items()}
    made = tiny.fetched(tmp_path, network=tiny.changed(tmp_path, "network", add=half))
    for precision, kind in (("exact", mx.float32), ("fast", mx.float16)):
        assert session(made, precision=precision)._engine._network.proj.weight.dtype == kind


class Evil:
    def __reduce__(self):
        return print, ("run",)


@pytest.mark.parametrize("content", [{"transformer.a": Evil()}, "cut"])
def test_a_pickle_that_runs_code_or_is_cut_short_is_refused(tmp_path, content, capsys):
    path = tmp_path / "checkpoint.pt"
    torch.save(content, path)
    if content == "cut":
        path.write_bytes(path.read_bytes()[:50])
    assert "damaged" in refused(tmp_path, network=path)
    assert "run" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [[1], {"a": 1}, {"weight": torch.ones(1)}])
def test_a_pickle_of_something_else_is_refused(tmp_path, content):
    path = tmp_path / "checkpoint.pt"
    torch.save(content, path)
    assert "it is not" in refused(tmp_path, network=path)


@pytest.mark.parametrize("name", list(sam_audio_weights.KEPT))
def test_a_file_that_is_something_else_is_refused(tmp_path, name):
    paths = tiny.files(tmp_path / "x")
    other = {"config": "t5-config", "network": "t5-model", "t5-config": "config", "t5-model": "network"}
    assert "it is not" in refused(tmp_path, **{name: paths[other.get(name, "config")]})
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"\xff" * 20)
    assert "damaged" in refused(tmp_path / "b", **{name: broken})


@pytest.mark.parametrize("name", ["network", "t5-model", "config", "t5-config", "t5-tokenizer"])
def test_a_file_that_is_right_at_first_sight_but_does_not_load_is_told(made, tmp_path, name):
    _, folder = made
    wrong = {
        "config": {**tiny.CONFIG, "audio_codec": {"encoder_rates": [8, 10], "nonsense": 1}},
        "t5-config": {"model_type": "t5", "num_layers": "many"},
        "t5-tokenizer": {"model": {}, "added_tokens": []},
    }
    path = tmp_path / f"wrong-{name}"
    if name in wrong:
        path.write_text(json.dumps(wrong[name]))
    else:
        content = (folder / sam_audio_weights.KEPT[name]).read_bytes()
        path.write_bytes(content[: len(content) - 100])
    with pytest.raises(UnbraidError, match="damaged"):
        _ = session(tiny.fetched(tmp_path / "y", **{name: path}))._text


def test_files_put_into_the_folder_under_their_own_names_are_used(tmp_path):
    paths = tiny.files(tmp_path / "x")
    folder = tmp_path / "model"
    folder.mkdir()
    shutil.copyfile(paths["config"], folder / "config.json")
    tiny.checkpoint(folder / "checkpoint.pt")
    for name in ("t5-config", "t5-model", "t5-tokenizer"):
        shutil.copyfile(paths[name], folder / sam_audio_weights.KEPT[name])
    shipped = catalogue.load([tiny.CATALOGUE])["sam-audio-small"]
    fetch(shipped, folder, log=lambda text: None)
    session((tiny.replace(shipped, segment=CHUNK / tiny.RATE), folder))


def test_the_shipped_models_name_all_files_and_what_a_user_must_do(tmp_path):
    models = catalogue.load([tiny.CATALOGUE])
    shipped = [model for model in models.values() if model.backend == "sam_audio"]
    assert {model.name for model in shipped} >= {"sam-audio-small", "sam-audio-base", "sam-audio-large"}
    for model in shipped:
        sam_audio_weights.check({weights.name: tmp_path for weights in model.weights}, model)
        assert (model.stems, model.rate, model.channels) == (("target",), 48000, None)
        assert "SAM License" in model.licence
        assert len(model.identity) == 5


def test_an_entry_that_lacks_a_file_or_names_an_unknown_one_is_an_error(tmp_path):
    made = tiny.model(tiny.files(tmp_path / "x"))
    less = tiny.replace(made, weights=made.weights[:-1])
    fetch(less, tmp_path / "less", log=lambda text: None)
    with pytest.raises(UnbraidError, match="names no t5-tokenizer"):
        session((less, tmp_path / "less"))
    more = tiny.replace(made, weights=(Weights("vocoder", (Source("file", str(tmp_path / "x/config.json")),)),))
    with pytest.raises(UnbraidError, match="mean nothing to SAM-Audio"):
        fetch(more, tmp_path / "more", log=lambda text: None)
