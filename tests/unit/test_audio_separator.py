"""The audio_separator backend: what is promised of every architecture, on tiny untrained networks, and real weights."""

import dataclasses
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from stages_by_hand import REFERENCE, begun, separated
from tiny_uvr import MDX, TINY, config, configured, mdx, model, ready, tiny, vr, write_yaml
from unbraid.backends import audio_separator, uvr_config, uvr_mdx, uvr_weights
from unbraid.backends.session import Statistics
from unbraid.backends.uvr_bands import Bands
from unbraid.catalogue import find
from unbraid.errors import UnavailableError, UnbraidError
from unbraid.files import read_json
from unbraid.grid import Chunk

warnings.filterwarnings("ignore", message="Note: you can still call torch.view_as_real")
STATISTICS = Statistics(frames=44100, rate=44100, channels=2, mean=0.0, std=1.0, peak=1.0)
SETTINGS = {**REFERENCE, "overlap": 0.25}
ALONE = {**SETTINGS, "overlap": 0.0}  # a song of one chunk is then nothing but that chunk


def noise(frames: int, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal((frames, 2)) * 0.1).astype(np.float32)


def decibels(found: np.ndarray, true: np.ndarray) -> float:
    rest, whole = np.square(found - true, dtype=np.float64).sum(), np.square(true, dtype=np.float64).sum()
    return float(10 * np.log10(rest / whole + 1e-30))


def opened(made, folder, **settings):
    return begun(made, folder, STATISTICS, {**SETTINGS, **settings})


class Case:
    """A tiny model, a song of two chunks, and its stems made in one segment."""

    def __init__(self, name, folder):
        self.model, self.folder = tiny(folder, name)
        session = opened(self.model, self.folder)
        self.chunk = session.passes[0].grid.chunk
        session.close()
        self.audio = noise(int(1.2 * self.chunk))
        self.scratch = folder
        self.whole = self.stems("whole", self.audio)

    def stems(self, name, audio, **options):
        return separated(self.scratch / name, audio, self.model, self.folder, threads=1, **options)


@pytest.fixture(scope="module", params=TINY)
def case(request, tmp_path_factory):
    return Case(request.param, tmp_path_factory.mktemp("case"))


def test_stems_have_every_frame_and_add_up_to_the_mix(case):
    assert case.whole.shape == (2, 2, len(case.audio))
    assert np.isfinite(case.whole).all()
    assert np.abs(case.whole.sum(axis=0) - case.audio.T).max() <= 2e-7
    assert all(np.square(stem).mean() > 1e-7 for stem in case.whole)


def test_segments_change_no_bit(case):
    for segments in (2, 3, 7):
        assert np.array_equal(case.stems(f"{segments}", case.audio, segments=segments), case.whole)


def test_two_runs_give_the_same_bytes(case):
    again = case.stems("again", case.audio)
    assert again.tobytes() == case.whole.tobytes()
    assert (case.scratch / "again" / "0.wav").read_bytes() == (case.scratch / "whole" / "0.wav").read_bytes()


def test_the_level_of_the_stems_follows_that_of_the_mix(case):
    short = case.audio[: case.chunk // 3]
    reference = case.stems("reference", short)
    for peak in (0.1, 1.0, 1.5):
        gain = np.float32(peak / np.abs(short).max())
        louder = case.stems(f"peak {peak}", short * gain)
        assert decibels(louder / gain, reference) <= -90
        levels = np.sqrt(
            np.square(louder, dtype=np.float64).sum((1, 2)) / np.square(reference, dtype=np.float64).sum((1, 2))
        )
        assert np.abs(20 * np.log10(levels / gain)).max() < 0.01


def test_a_batch_gives_what_single_chunks_give(case):
    session = opened(case.model, case.folder)
    one = session.passes[0]
    length = session.valid_length(one, case.chunk)
    shown = np.stack([noise(length, seed=seed).T for seed in (1, 2)])
    chunks = [Chunk(0, case.chunk), Chunk(case.chunk, case.chunk)]
    session.batch = 2
    both = session.separate(one, shown, chunks)
    single = [session.separate(one, shown[index : index + 1], chunks[index : index + 1])[0] for index in (0, 1)]
    assert decibels(both, np.stack(single)) <= -100


@pytest.mark.parametrize("frames", [1, 777])
def test_a_fraction_of_a_chunk_is_enough(case, frames):
    stems = case.stems(f"short {frames}", np.full((frames, 2), 0.5, np.float32))
    assert stems.shape == (2, 2, frames)
    assert np.isfinite(stems).all()
    assert np.abs(stems.sum(axis=0) - 0.5).max() <= 1e-6


def test_shifts_are_taken_and_change_the_result_a_little(tmp_path):
    made, folder = tiny(tmp_path, "MDX23C")
    audio = noise(20_000)
    plain = separated(tmp_path / "0", audio, made, folder, threads=1)
    settings = {**SETTINGS, "shifts": 2, "seed": 1}
    shifted = separated(tmp_path / "1", audio, made, folder, threads=1, settings=settings)
    assert np.array_equal(
        separated(tmp_path / "2", audio, made, folder, threads=1, segments=2, settings=settings), shifted
    )
    assert -60 < decibels(shifted, plain) < 0


def test_more_stems_than_two_are_given_as_the_network_gives_them(tmp_path):
    instruments = ("Kick", "Snare", "HH")
    paths = configured(tmp_path, uvr_config.MEL, instruments=instruments)
    made, folder = ready(tmp_path, model(uvr_config.MEL, *paths, stems=("hh", "kick", "snare")))
    stems = separated(tmp_path / "x", noise(5000), made, folder, threads=1)
    other = dataclasses.replace(made, stems=("kick", "snare", "hh"))
    assert np.array_equal(separated(tmp_path / "y", noise(5000), other, folder, threads=1)[[2, 0, 1]], stems)
    assert stems.shape == (3, 2, 5000)


def test_a_mono_roformer_takes_one_channel(tmp_path):
    torch.manual_seed(0)
    content = config(uvr_config.BS, target="Vocals")
    content["model"]["stereo"] = False
    from audio_separator.separator.uvr_lib_v5.roformer.bs_roformer import BSRoformer

    torch.save({"state_dict": BSRoformer(**content["model"]).state_dict(), "epoch": 3}, tmp_path / "mono.ckpt")
    write_yaml(tmp_path / "mono.yaml", content)
    made = dataclasses.replace(model(uvr_config.BS, tmp_path / "mono.ckpt", tmp_path / "mono.yaml"), channels=1)
    made, folder = ready(tmp_path, made)
    assert separated(tmp_path / "x", noise(5000), made, folder, threads=1).shape == (2, 1, 5000)


# --- what upstream does with the same networks


def mdxc_upstream(session, kind, content, audio, overlap):
    from audio_separator.separator.architectures.mdxc_separator import MDXCSeparator
    from ml_collections import ConfigDict

    class Quiet:
        def __getattr__(self, name):
            return lambda *args, **kwargs: None

    theirs = MDXCSeparator.__new__(MDXCSeparator)
    theirs.__dict__.update(
        logger=Quiet(), torch_device=torch.device("cpu"), model_run=session.networks[0], pitch_shift=0, batch_size=1,
        is_roformer=kind != uvr_config.MDX23C, overlap=overlap, model_data_cfgdict=ConfigDict(content), segment_size=256,
        override_model_segment_size=False, primary_stem_name="Vocals", secondary_stem_name="Instrumental",
        is_primary_stem_main_target=bool(content["training"]["target_instrument"]),
    )  # fmt: skip
    return theirs.demix(np.ascontiguousarray(audio.T))


@pytest.mark.parametrize("kind", uvr_config.CONFIGURED)
def test_a_chunk_is_evaluated_as_upstream_does(tmp_path, kind):
    content = config(kind, target="Vocals")
    made, folder = ready(tmp_path, model(kind, *configured(tmp_path, kind, target="Vocals")))
    session = opened(made, folder)
    audio = noise(session.passes[0].grid.chunk)
    # The level at which upstream shows a song, so that nothing but the evaluation of the chunk differs.
    audio *= np.float32(0.9 / np.abs(audio).max())
    theirs = mdxc_upstream(session, kind, content, audio, overlap=1)
    ours = separated(tmp_path / "x", audio, made, folder, threads=1, settings=ALONE)
    assert decibels(ours[0], theirs["Vocals"]) <= -100
    assert decibels(ours[1], theirs["Instrumental"]) <= -100


def test_mdx_net_gives_what_upstream_gives_away_from_its_seams(tmp_path):
    made, folder = tiny(tmp_path, "MDX-Net")
    session = opened(made, folder)
    audio = noise(session.passes[0].grid.chunk)
    ours = separated(tmp_path / "x", audio, made, folder, threads=1, settings=ALONE)
    from audio_separator.separator.uvr_lib_v5.stft import STFT

    trim = MDX["mdx_n_fft_scale_set"] // 2
    stft = STFT(None, 2 * trim, 1024, MDX["mdx_dim_f_set"], "cpu")
    peak = np.abs(audio).max() / 0.9
    shown = torch.from_numpy(np.pad(audio.T / peak, ((0, 0), (trim, trim))).astype(np.float32))[None]
    spectrum = stft(shown)
    spectrum[:, :, :3] *= 0
    graph = uvr_mdx.onnxruntime.InferenceSession(str(folder / "tiny.onnx"))
    masked = graph.run(None, {"input": spectrum.numpy()})[0]
    vocals = stft.inverse(torch.from_numpy(masked))[0, :, trim:-trim].numpy() * peak * MDX["compensate"]
    assert decibels(ours[0], vocals) <= -100
    assert decibels(ours[1], audio.T - vocals) <= -100


def vr_upstream(folder, checkpoint, audio, parameters):
    """As `VRSeparator.separate` does it with its defaults: the masked stem of a float file, before it is written."""
    import soundfile
    from audio_separator.separator.architectures.vr_separator import VRSeparator
    from audio_separator.separator.uvr_lib_v5.vr_network.model_param_init import ModelParameters

    class Quiet:
        def __getattr__(self, name):
            return lambda *args, **kwargs: None

    import audio_separator.separator.uvr_lib_v5.vr_network as package

    soundfile.write(folder / "song.wav", audio, 44100, subtype="FLOAT")
    name = Path(package.__file__).parent / "modelparams" / f"{parameters['vr_model_param']}.json"
    theirs = VRSeparator.__new__(VRSeparator)
    theirs.__dict__.update(
        logger=Quiet(), model_params=ModelParameters(str(name)), model_path=str(checkpoint), is_vr_51_model=True,
        model_capacity=(parameters["nout"], parameters["nout_lstm"]), model_run=None, torch_device=torch.device("cpu"),
        audio_file_path=str(folder / "song.wav"), wav_subtype="FLOAT", torch_device_mps=None, high_end_process=False,
        window_size=512, batch_size=1, enable_tta=False, enable_post_process=False, primary_stem_name=parameters["primary_stem"],
        aggressiveness={"value": 0.05, "split_bin": 1024, "aggr_correction": None}, input_high_end=None,
    )  # fmt: skip
    theirs._ensure_model_loaded(0)
    masked, _ = theirs.inference_vr(theirs.loading_mix(), torch.device("cpu"), theirs.aggressiveness)
    return theirs.spec_to_wav(masked)


# --- bands of VR


@pytest.mark.parametrize(
    "name", ["1band_sr44100_hl1024", "2band_32000", "3band_44100_msb2", "4band_v3", "4band_44100_reverse"]
)
@pytest.mark.parametrize("modern", [False, True])
def test_bands_go_to_a_spectrogram_and_back(name, modern):
    """Within the band that the parameters keep, away from the crossovers: a tone comes back as it was."""
    bands = Bands(name, modern=modern)
    frames = bands.frames(300)
    time = np.arange(frames) / 44100
    wave = np.stack([np.sin(2 * np.pi * 300 * time), np.cos(2 * np.pi * 300 * time)]).astype(np.float32)
    found = bands.wave(bands.spectrum(wave), frames)
    core = slice(frames // 4, 3 * frames // 4)
    assert found.shape == wave.shape
    assert decibels(found[:, core], wave[:, core]) <= -35


def test_unknown_vr_parameters_are_an_error_with_the_nearest_name():
    with pytest.raises(UnbraidError, match=r"no VR parameters '4band_v33'.*Did you mean '4band_v3'"):
        Bands("4band_v33", modern=False)


def test_the_size_of_a_vr_network_is_read_from_its_tensors(tmp_path):
    for depth in (31191, 33966, 129605):
        path = vr(tmp_path, modern=False, bins=256, depth=depth)
        made, folder = ready(
            tmp_path / str(depth),
            model(uvr_config.VR, path, vr_model_param="1band_sr44100_hl256", primary_stem="Vocals"),
        )
        assert opened(made, folder).networks[0].offset == 128


# --- files that are not what they should be


@pytest.mark.parametrize("name", TINY)
def test_a_damaged_checkpoint_is_told_with_what_to_delete(tmp_path, name):
    made = TINY[name](tmp_path)
    checkpoint = next(Path(one.sources[0].location) for one in made.weights if not one.name.endswith(".yaml"))
    checkpoint.write_bytes(checkpoint.read_bytes()[: checkpoint.stat().st_size // 3])
    with pytest.raises(UnbraidError, match="is damaged or cut short"):
        ready(tmp_path, made)


class Evil:
    def __reduce__(self):
        return print, ("code was run",)


@pytest.mark.parametrize("suffix", [".ckpt", ".pth"])
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path, suffix, capsys):
    path = tmp_path / f"evil{suffix}"
    torch.save({"state_dict": {}, "payload": Evil()}, path)
    with pytest.raises(UnbraidError, match=r"was refused: loading it would run code \(builtins.print\)"):
        uvr_weights.read_tensors(path)
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(UnbraidError):
        uvr_weights.read_tensors(path)
    assert "code was run" not in capsys.readouterr().out


def test_a_yaml_with_code_is_refused_and_not_run(tmp_path):
    path = tmp_path / "evil.yaml"
    path.write_text(f"audio: !!python/object/apply:pathlib.Path.touch [{tmp_path / 'touched'}]\n")
    with pytest.raises(UnbraidError, match="damaged"):
        uvr_config.read(path)
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("content", ["[1, 2]", "a: b: c", '{"a": '])
def test_a_description_that_is_no_table_is_told(tmp_path, content):
    for name in ("x.yaml", "x.json"):
        (tmp_path / name).write_text(content)
        with pytest.raises(UnbraidError, match=name):
            uvr_config.read(tmp_path / name)


def test_an_onnx_graph_whose_tensors_are_elsewhere_is_refused(tmp_path):
    graph = onnx.load(mdx(tmp_path))
    onnx.save(graph, tmp_path / "split.onnx", save_as_external_data=True, location="tensors.bin", size_threshold=0)
    with pytest.raises(UnbraidError, match="its tensors are in another file"):
        uvr_weights.check_onnx(tmp_path / "split.onnx")


@pytest.mark.parametrize("content", [{}, [torch.zeros(1)], {"epoch": 3}])
def test_a_file_without_tensors_is_told(tmp_path, content):
    torch.save(content, tmp_path / "x.ckpt")
    with pytest.raises(UnbraidError, match="holds no tensors by name"):
        uvr_weights.read_tensors(tmp_path / "x.ckpt")


def test_another_file_than_the_catalogue_means_is_not_kept(tmp_path):
    made = TINY["MDX23C"](tmp_path)
    weights = dataclasses.replace(made.weights[0], sha256="0" * 64)
    with pytest.raises(UnavailableError):
        uvr_weights.keep(tmp_path / "tiny.ckpt", tmp_path / "kept.ckpt", made, weights, {})


def test_tensors_of_another_network_are_told(tmp_path):
    checkpoint, _ = configured(tmp_path, uvr_config.BS)
    (tmp_path / "mel").mkdir()
    _, yaml = configured(tmp_path / "mel", uvr_config.MEL)
    made, folder = ready(tmp_path, model(uvr_config.MEL, checkpoint, yaml))
    with pytest.raises(UnbraidError, match=r"tiny.ckpt is damaged"):
        opened(made, folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": {"num_bands": "many"}}, "damaged"),
        ({"model": {"elements": 3}}, "describes no network"),
        ({"training": {}}, "names no stems"),
        ({"training": None}, "has no section `training`"),
        ({"inference": {}}, "no hop_length or no dim_t"),
        ({"training": {"instruments": ["Drums", "No Drums"]}}, "gives the stems drums, no_drums, but its entry"),
        ({"model": {**config(uvr_config.BS)["model"], "num_stems": 3}}, "3 masks for 2 stems"),
    ],
)
def test_a_yaml_that_does_not_fit_is_told(tmp_path, change, message):
    checkpoint, _ = configured(tmp_path, uvr_config.MDX23C)
    path = write_yaml(tmp_path / "wrong.yaml", {**config(uvr_config.MDX23C), **change})
    made, folder = ready(tmp_path, model(uvr_config.MDX23C, path, checkpoint))
    with pytest.raises(UnbraidError, match=message):
        opened(made, folder)


def test_a_model_without_its_yaml_is_told(tmp_path):
    made, folder = ready(tmp_path, model(uvr_config.BS, configured(tmp_path, uvr_config.BS)[0]))
    with pytest.raises(UnbraidError, match=r"needs one .yaml file among its weights"):
        opened(made, folder)


def test_a_window_that_leaves_nothing_in_its_middle_is_told(tmp_path):
    made, folder = tiny(tmp_path, "VR, older")
    narrow = dataclasses.replace(made, parameters={**made.parameters, "window_size": 256})
    with pytest.raises(UnbraidError, match="window_size of 256 columns is too small"):
        opened(narrow, folder)


@pytest.mark.parametrize(("name", "bins", "segments"), [("4band_v3", 672, 2), ("2band_32000", 768, 1)])
def test_several_bands_add_up_and_segments_change_no_bit(tmp_path, name, bins, segments):
    path = vr(tmp_path, modern=False, bins=bins)
    made, folder = ready(
        tmp_path, model(uvr_config.VR, path, vr_model_param=name, primary_stem="Vocals", window_size=320)
    )
    audio = noise(int((segments - 0.8) * opened(made, folder).passes[0].grid.chunk))
    whole = separated(tmp_path / "1", audio, made, folder, threads=1)
    assert np.abs(whole.sum(axis=0) - audio.T).max() <= 2e-7
    again = separated(tmp_path / "2", audio, made, folder, threads=1, segments=segments)
    assert np.array_equal(again, whole)


@pytest.mark.parametrize("frames", [1, 5000, 100_000])
def test_a_song_is_surveyed_for_the_highest_magnitude_of_its_whole_spectrogram(tmp_path, frames):
    made, folder = tiny(tmp_path, "VR, older")
    session = opened(made, folder)
    audio = noise(frames)
    session.survey(iter([audio[:3000], audio[3000:]]))
    whole = Bands("1band_sr44100_hl256", modern=False).spectrum(np.pad(audio.T, ((0, 0), (0, 1000))))
    assert session._peak == pytest.approx(np.abs(whole).max(), rel=1e-5)


def test_tensors_that_are_of_no_vr_network_are_told(tmp_path):
    torch.save({"weight": torch.zeros(3)}, tmp_path / "x.pth")
    made = model(uvr_config.VR, tmp_path / "x.pth", vr_model_param="4band_v3", primary_stem="Vocals")
    with pytest.raises(UnbraidError, match="it is no VR network"):
        opened(*ready(tmp_path, made))


def test_an_unknown_architecture_is_an_error_with_the_nearest_one(tmp_path):
    made = model("BS-Reformer")
    with pytest.raises(UnbraidError, match="Did you mean 'BS-RoFormer'"):
        audio_separator.session(made, tmp_path, SETTINGS, "cpu", 1)


# --- UVR's tables


def test_parameters_come_from_uvrs_table_by_the_checkpoints_digest(tmp_path, monkeypatch):
    path = mdx(tmp_path)
    (tmp_path / "model_data.json").write_text("{}")
    made, folder = ready(tmp_path, model(uvr_config.MDX, path, tmp_path / "model_data.json"))
    with pytest.raises(UnbraidError, match="does not give mdx_dim_f_set, mdx_dim_t_set"):
        opened(made, folder)
    digest = uvr_weights._digest(path)
    uvr = folder / "model_data.json"
    uvr.write_text(f'{{"{digest}": {{"compensate": 1.2, "primary_stem": "Other"}}}}')
    rows = {digest: {**MDX, "primary_stem": "Vocals"}}
    monkeypatch.setattr(uvr_weights, "_shipped", lambda kind: rows)
    found = uvr_weights.parameters(made, uvr_config.MDX, path, [uvr])
    assert found == MDX  # audio-separator's own row comes before UVR's
    own = dataclasses.replace(made, parameters={"primary_stem": "Bass"})
    assert uvr_weights.parameters(own, uvr_config.MDX, path, [uvr])["primary_stem"] == "Bass"


def test_the_digest_is_that_of_the_last_ten_thousand_kibibytes(tmp_path):
    import hashlib

    data = np.random.default_rng(0).bytes(uvr_weights.HASHED + 100)
    (tmp_path / "long").write_bytes(data)
    assert uvr_weights._digest(tmp_path / "long") == hashlib.md5(data[100:]).hexdigest()


def test_audio_separators_own_table_is_read():
    assert all("vr_model_param" in row for row in uvr_weights._shipped(uvr_config.VR).values())
    assert all("compensate" in row for row in uvr_weights._shipped(uvr_config.MDX).values())


def test_an_onnx_graph_of_another_size_than_its_parameters_say_is_told(tmp_path):
    made, folder = ready(tmp_path, model(uvr_config.MDX, mdx(tmp_path), **{**MDX, "mdx_dim_f_set": 1024}))
    with pytest.raises(UnbraidError, match="takes spectrograms of"):
        opened(made, folder)


def test_an_onnx_graph_that_onnxruntime_cannot_run_is_told(tmp_path):
    graph = onnx.load(mdx(tmp_path))
    graph.graph.node[0].op_type = "Konv"
    onnx.save(graph, tmp_path / "tiny.onnx")
    made, folder = ready(tmp_path, model(uvr_config.MDX, tmp_path / "tiny.onnx", **MDX))
    with pytest.raises(UnbraidError, match="damaged"):
        opened(made, folder)


@pytest.mark.parametrize(
    ("asked", "cuda", "got"),
    [("cpu", True, "cpu"), ("auto", True, "cuda"), ("cuda:1", True, "cuda:1"), ("auto", False, "cpu")],
)
def test_mdx_net_runs_where_onnxruntime_can(monkeypatch, asked, cuda, got):
    offered = ["CUDAExecutionProvider"] * cuda + ["CPUExecutionProvider"]
    monkeypatch.setattr(uvr_mdx.onnxruntime, "get_available_providers", lambda: offered)
    device, notices, providers = uvr_mdx._providers(asked)
    assert device == got
    assert bool(notices) == (asked == "auto" and not cuda)
    assert providers == (
        ["CPUExecutionProvider"] if got == "cpu" else [("CUDAExecutionProvider", {"device_id": int(asked == "cuda:1")})]
    )


@pytest.mark.parametrize(
    ("asked", "message"), [("cuda", "Install onnxruntime-gpu"), ("mps", "no engine for device=mps")]
)
def test_a_device_that_onnxruntime_does_not_offer_is_an_error(monkeypatch, asked, message):
    monkeypatch.setattr(uvr_mdx.onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(UnbraidError, match=message):
        uvr_mdx._providers(asked)


def test_a_model_of_unknown_stems_is_an_error_that_says_where_to_write_them(tmp_path):
    made = model(uvr_config.BS, *configured(tmp_path, uvr_config.BS), stems=("unknown",))
    with pytest.raises(UnbraidError, match=r"stems of the model 'x' are not known.*models.yaml"):
        find({"x": made}, "x")


def test_running_needs_neither_torchvision_nor_onnx2torch():
    import subprocess
    import sys

    code = (
        "import sys, unbraid.backends.uvr_vr, unbraid.backends.uvr_mdx, unbraid.backends.uvr_mdxc;"
        "assert not {'torchvision', 'onnx2torch', 'demucs'} & set(sys.modules)"
    )
    scripts = str(Path(uvr_config.__file__).parents[2])
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], check=True, env={"PYTHONPATH": scripts, "HOME": scripts}
    )


# --- the real UVR-DeNoise-Lite


@pytest.fixture(scope="module")
def denoise():
    from real_weights import fetched

    return fetched("UVR-DeNoise-Lite")


@pytest.fixture(scope="module")
def clip() -> tuple[np.ndarray, np.ndarray]:
    """The vocals of stempeg's song, and the same with pink noise in them, [frames, channels] each."""
    import av

    from unbraid.setup import demo_path

    with av.open(str(demo_path())) as container:
        frames = [frame.to_ndarray() for frame in container.decode(audio=4)]
    clean = np.concatenate(frames, axis=1).T.astype(np.float32)
    spectrum = np.fft.rfft(noise(len(clean), seed=5), axis=0)
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))[:, None]
    pink = np.fft.irfft(spectrum, len(clean), axis=0)
    return clean, (clean + 0.01 * pink / pink.std()).astype(np.float32)


@pytest.mark.weights
def test_denoise_lite_takes_noise_out_of_a_voice_and_adds_up(denoise, clip, tmp_path):
    made, folder = denoise
    clean, noisy = clip
    stems = separated(tmp_path / "1", noisy, made, folder, threads=1)
    assert np.abs(stems.sum(axis=0) - noisy.T).max() <= 1e-6
    before, after = decibels(noisy.T, clean.T), decibels(stems[made.stems.index("no_noise")], clean.T)
    assert after < before - 5
    assert np.array_equal(separated(tmp_path / "3", noisy, made, folder, threads=1, segments=2), stems)
    report = read_json(tmp_path / "1" / "0.json")
    assert (report["engine"], report["device"]) == ("torch", "cpu")


@pytest.mark.weights
def test_denoise_lite_gives_what_upstream_gives_where_both_see_the_same_columns(denoise, clip, tmp_path):
    """Upstream's window begins where the song does. Ours begins two columns earlier, so it is given two more."""
    made, folder = denoise
    noisy = clip[1]
    row = uvr_weights.parameters(made, uvr_config.VR, folder / "UVR-DeNoise-Lite.pth", [folder / "model_data.json"])
    before = 2 * 1024
    theirs = vr_upstream(tmp_path, folder / "UVR-DeNoise-Lite.pth", np.pad(noisy, ((before, before), (0, 0))), row)
    ours = separated(tmp_path / "1", noisy, made, folder, threads=1)[made.stems.index("noise")]
    assert decibels(ours, theirs[:, before : before + len(noisy)]) <= -120


def test_onnxruntime_leaves_nothing_in_the_users_home(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "net").mkdir()
    code = (
        "import unbraid.backends, tiny_uvr; from pathlib import Path;"
        "from unbraid.backends.session import load;"
        f"made, folder = tiny_uvr.tiny(Path({str(tmp_path / 'net')!r}), 'MDX-Net');"
        "session = load(made, folder, {'overlap': 0.25, 'shifts': 0}, 'cpu', 1);"
        "print(session.engine)"
    )
    paths = os.pathsep.join(str(Path(__file__).parents[2] / name) for name in ("scripts", "tests/unit"))
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": paths}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "onnxruntime"
    assert [path for path in home.rglob("*") if "onnxruntime" in str(path)] == []
