"""Spleeter: its weights, its chunks, and what its two stems are; on tiny untrained networks, and on the real ones."""

import codecs
import functools
import pickle
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import stages_by_hand
from real_weights import HOME, fetched
from stages_by_hand import REFERENCE, begun
from unbraid.backends import spleeter, spleeter_network, spleeter_weights, tensors
from unbraid.backends.session import Statistics
from unbraid.backends.spleeter_network import HOP, SHOWN, SIZE, Spleeter, UNet
from unbraid.catalogue import Model, Source, Weights
from unbraid.errors import UnavailableError, UnbraidError
from unbraid.fetch import fetch
from unbraid.files import sha256

sys.path.insert(0, str(HOME / "tests" / "bench"))

import quality

FILTERS = (2, 3, 4)
FRAMES = 32
CHUNK = (FRAMES - 5) * HOP
STEMS = ("vocals", "accompaniment")
LENGTHS = [1, 500, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 777]


separated = functools.partial(stages_by_hand.separated, threads=1)


def decibels(found: np.ndarray, true: np.ndarray) -> float:
    rest, whole = np.square(found - true, dtype=np.float64).sum(), np.square(true, dtype=np.float64).sum()
    return float(10 * np.log10(rest / whole + 1e-30))


def noise(frames: int, channels: int = 2) -> np.ndarray:
    return (np.random.default_rng(frames).standard_normal((frames, channels)) * 0.1).astype(np.float32)


def network(seed: int) -> UNet:
    torch.manual_seed(seed)
    return UNet(filters=FILTERS).eval()


def model(*sources: Source, digests: tuple[str | None, ...] = (None, None)) -> Model:
    return Model(
        name="tiny",
        backend="spleeter",
        architecture="Spleeter",
        description="untrained",
        stems=STEMS,
        licence="CC0, made for a test",
        rate=44100,
        channels=2,
        weights=tuple(
            Weights(stem, (source,), digest) for stem, source, digest in zip(STEMS, sources, digests, strict=True)
        ),
    )


@pytest.fixture(autouse=True)
def _small(request, monkeypatch):
    """Networks of few and narrow levels that see few frames, but for the tests on the real weights."""
    if "weights" not in request.keywords:
        monkeypatch.setattr(spleeter_network, "SHOWN", (FRAMES - 1) * HOP + SIZE)
        monkeypatch.setattr(spleeter, "CHUNK", CHUNK)
        monkeypatch.setattr(spleeter_network, "UNet", functools.partial(UNet, filters=FILTERS))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> tuple[Model, Path]:
    folder = tmp_path_factory.mktemp("tiny")
    sources = []
    for seed, stem in enumerate(STEMS):
        tensors.write(folder / f"{stem}.safetensors", network(seed).state_dict(), {})
        sources.append(Source("file", str(folder / f"{stem}.safetensors")))
    made = model(*sources)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(spleeter_network, "UNet", functools.partial(UNet, filters=FILTERS))
        fetch(made, folder / "model", log=lambda text: None)
    return made, folder / "model"


@pytest.mark.parametrize("frames", LENGTHS)
def test_any_length_in_any_number_of_segments_gives_the_same_bits_and_adds_up_to_the_mix(tiny, tmp_path, frames):
    audio = noise(frames)
    whole = separated(tmp_path / "1", audio, *tiny)
    assert whole.shape == (2, 2, frames)
    assert decibels(whole.sum(axis=0), audio.T) <= -120
    assert np.abs(whole[0] - whole[1]).max() > 0.01 * np.abs(audio).max()
    for segments in (2, 3, 7):
        assert np.array_equal(separated(tmp_path / str(segments), audio, *tiny, segments=segments), whole)


def test_a_second_run_gives_the_same_bits(tiny, tmp_path):
    audio = noise(CHUNK + 5)
    first, second = (separated(tmp_path / name, audio, *tiny, segments=2) for name in "ab")
    assert np.array_equal(first, second)


def test_a_song_of_one_chunk_gets_upstreams_frames_and_masks(tiny, tmp_path):
    """Against torch's own STFT of the song after one frame of silence, as upstream has it, at the level that is heard."""
    audio = noise(CHUNK // 2)
    stems = separated(tmp_path, audio, *tiny)
    level = spleeter.LEVEL / float(audio.mean(axis=1).std(ddof=1))
    shown = torch.zeros(2, spleeter_network.SHOWN)
    shown[:, SIZE : SIZE + len(audio)] = torch.from_numpy(audio.T)
    window = torch.hann_window(SIZE)
    # Centred, torch has two more frames on either side, of silence: it refuses to invert frames that begin at 0.
    spectrum = torch.stft(shown, SIZE, HOP, window=window, pad_mode="constant", return_complex=True)
    magnitudes = spectrum[:, :1024, 2:-2].abs().transpose(1, 2)[None] * level
    with torch.inference_mode():
        power = torch.stack([network(seed)(magnitudes)[0].transpose(1, 2) for seed in (0, 1)]) ** 2
    masks = (power + 5e-11) / (power.sum(0) + 1e-10)
    masks = torch.cat([masks, masks.mean(2, keepdim=True).expand(-1, -1, SIZE // 2 + 1 - 1024, -1)], 2)
    for stem, mask in zip(stems, torch.nn.functional.pad(masks, (2, 2)), strict=True):
        whole = torch.istft(spectrum * mask, SIZE, HOP, window=window, length=shown.shape[-1])
        assert decibels(stem, whole[:, SIZE : SIZE + len(audio)].numpy()) <= -100


def test_seeded_shifts_and_overlap_give_the_same_bits_in_any_number_of_segments(tiny, tmp_path):
    audio, settings = noise(CHUNK // 2), {**REFERENCE, "shifts": 2, "overlap": 0.5, "seed": 3}
    whole = separated(tmp_path / "1", audio, *tiny, settings=settings)
    assert decibels(whole.sum(axis=0), audio.T) <= -120
    assert np.array_equal(separated(tmp_path / "3", audio, *tiny, segments=3, settings=settings), whole)
    other = separated(tmp_path / "other", audio, *tiny, settings={**settings, "seed": 4})
    assert not np.array_equal(other, whole)


@pytest.mark.parametrize("peak", [1e-4, 0.1, 1.5])
def test_stems_keep_the_level_of_the_mix_however_loud_it_is(tiny, tmp_path, peak):
    audio = noise(50_000)
    audio /= np.abs(audio).max()
    loud, other = (separated(tmp_path / name, audio * gain, *tiny) for name, gain in (("1", 1), ("g", peak)))
    for stem in range(2):
        assert abs(20 * np.log10(np.std(other[stem]) / np.std(loud[stem]) / peak)) < 0.001
    assert decibels(other, loud * np.float32(peak)) <= -100


def test_what_has_no_level_in_mono_gives_finite_stems_that_add_up(tiny, tmp_path):
    opposed = noise(20_000, 1) * np.array([1, -1], dtype=np.float32)
    for name, audio in {"opposed": opposed, "constant": np.full((20_000, 2), 0.25, np.float32)}.items():
        stems = separated(tmp_path / name, audio, *tiny)
        assert np.isfinite(stems).all()
        assert decibels(stems.sum(axis=0), audio.T) <= -110


def test_silence_gives_silence_and_within_a_song_too(tiny, tmp_path):
    assert not separated(tmp_path / "all", np.zeros((3000, 2), np.float32), *tiny).any()
    audio = noise(60_000)
    audio[20_000:40_000] = 0
    stems = separated(tmp_path / "part", audio, *tiny)
    assert not stems[..., 25_000:35_000].any()


def test_the_networks_see_the_frames_that_they_were_trained_on_and_chunks_share_them(tiny, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(spleeter_network, "UNet", functools.partial(UNet, filters=FILTERS))
    session = begun(*tiny, Statistics(10**7, 44100, 2, 0.0, 0.1, 1.0), REFERENCE, threads=2)
    (one,) = session.passes
    assert (one.grid.chunk, one.grid.stride) == (507 * HOP, 380 * HOP)
    assert session.valid_length(one, 507 * HOP) == SHOWN == 511 * HOP + SIZE
    assert [session.valid_length(one, length) for length in (1, 1000)] == [1 + 2 * SIZE, 1000 + 2 * SIZE]


def test_a_batch_gives_each_chunks_stems():
    separator = Spleeter([network(0), network(1)]).eval()
    audio = torch.from_numpy(noise(spleeter_network.SHOWN).T.copy())
    with torch.inference_mode():
        single = separator(audio[None])
        batch = separator(torch.stack([audio * 0.5, audio]))
    assert decibels(batch[1].numpy(), single[0].numpy()) <= -110


def test_above_what_the_networks_see_each_stem_has_its_mean_share_of_the_frame():
    class Third(torch.nn.Module):
        def __init__(self, factor):
            super().__init__()
            self.factor = factor

        def forward(self, magnitudes):
            return magnitudes * self.factor

    separator = Spleeter([Third(1.0), Third(2**0.5)])
    high = np.sin(2 * np.pi * 15_000 / 44100 * np.arange(spleeter_network.SHOWN)).astype(np.float32)
    low = np.sin(2 * np.pi * 500 / 44100 * np.arange(spleeter_network.SHOWN)).astype(np.float32)
    inner = slice(SIZE, -SIZE)
    for tone in (low, high + low):
        stems = separator(torch.from_numpy(np.stack([tone, tone]))[None])[0].numpy()
        assert decibels(stems[..., inner].sum(axis=0)[0], tone[inner]) <= -120
    for share, stem in zip((1 / 3, 2 / 3), stems[:, 0, inner], strict=True):
        heard = 2 * np.mean(stem * high[inner])
        assert heard == pytest.approx(share, abs=0.17)  # silent bins are shared evenly, which draws the mean to 1/2


def arrays(built: UNet) -> dict[str, np.ndarray]:
    """The names and values that a checkpoint of upstream's form has."""
    found = {}
    depth = len(FILTERS)
    for name, tensor in built.state_dict().items():
        layer, *level, value = name.split(".")
        if value == "num_batches_tracked":
            continue
        number = int(level[0]) + 1 if level else 0
        there = {
            "down": f"down{number}_conv.1",
            "down_norm": f"down{number}_act.0",
            "up": f"up{number}.0",
            "up_norm": f"up{number}.3",
            "mask": "up7.0",
        }[layer]
        found[f"{there}.{value}"] = tensor.numpy().copy()
    found["down6_act.0.weight"] = np.ones(depth, np.float32)  # the norm that feeds nothing
    return found


class Exploit:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return codecs.open, (str(self.path), "w")


def pickled(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def pinned(tmp_path: Path, content: object | None = None) -> Model:
    paths = [pickled(tmp_path / f"{seed}.ckpt", content or arrays(network(seed))) for seed in (0, 1)]
    return model(*(Source("file", str(path), sha256(path)) for path in paths))


def test_a_pinned_pickle_of_arrays_becomes_the_same_network(tmp_path):
    made = pinned(tmp_path)
    fetch(made, tmp_path / "model", log=lambda text: None)
    mix = torch.rand(1, 2, 8, 16)
    for seed, stem in enumerate(STEMS):
        loaded = spleeter_weights.load(tmp_path / "model" / f"{stem}.safetensors")
        with torch.inference_mode():
            assert torch.equal(loaded(mix), network(seed)(mix))
    # A second time, with the record lost, what was made is taken as it is.
    before = (tmp_path / "model/model.json").read_text()
    (tmp_path / "model/model.json").unlink()
    (tmp_path / "0.ckpt").unlink()
    fetch(made, tmp_path / "model", log=lambda text: None)
    assert sha256(tmp_path / "model/vocals.safetensors") in (tmp_path / "model/model.json").read_text()
    assert made.weights[0].sources[0].sha256 in before


@pytest.mark.parametrize("digest", [None, "first digits"])
def test_a_pickle_that_is_not_pinned_by_its_whole_sha256_is_not_opened(tmp_path, digest, monkeypatch):
    path = pickled(tmp_path / "0.ckpt", arrays(network(0)))
    source = Source("file", str(path), sha256(path)[:16] if digest else None)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was opened"))
    with pytest.raises(UnbraidError, match="it is a pickle, which is read only where"):
        fetch(model(source, source), tmp_path / "model", log=lambda text: None)


def test_a_pinned_pickle_that_would_run_code_is_refused_and_runs_nothing(tmp_path):
    with pytest.raises(UnbraidError, match=r"0\.ckpt is damaged"):
        fetch(pinned(tmp_path, {"down1_conv.1.weight": Exploit(tmp_path / "harm")}), tmp_path / "model", log=print)
    assert not (tmp_path / "harm").exists()
    torch.load(tmp_path / "0.ckpt", weights_only=False)  # it is a real one: read without care, it does its harm
    assert (tmp_path / "harm").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", pickle.dumps([1, 2], protocol=2)])
def test_a_pinned_file_of_another_kind_is_an_error_that_names_it(tmp_path, content):
    path = tmp_path / "0.ckpt"
    path.write_bytes(content)
    source = Source("file", str(path), sha256(path))
    with pytest.raises(UnbraidError, match=r"0\.ckpt is damaged"):
        fetch(model(source, source), tmp_path / "model", log=lambda text: None)


def test_tensors_of_another_network_are_an_error(tmp_path):
    content = arrays(network(0))
    del content["up1.0.bias"]
    with pytest.raises(UnbraidError, match=r"0\.ckpt is damaged.*up\.0\.bias"):
        fetch(pinned(tmp_path, content), tmp_path / "model", log=lambda text: None)


def test_a_kept_file_with_a_flipped_bit_is_made_again(tmp_path):
    made, said = pinned(tmp_path), []
    fetch(made, tmp_path / "model", log=said.append)
    path = tmp_path / "model/vocals.safetensors"
    whole = bytearray(path.read_bytes())
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    (tmp_path / "model/model.json").unlink()
    fetch(made, tmp_path / "model", log=said.append)
    assert any("it is damaged" in line for line in said)
    loaded = spleeter_weights.load(path).state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in network(0).state_dict().items())


def test_other_tensors_than_the_catalogue_names_are_refused(tiny, tmp_path):
    made, _ = tiny
    source = made.weights[0].sources[0]
    other = model(source, source, digests=("0" * 64, None))
    with pytest.raises(UnavailableError, match="other weights than the catalogue names"):
        spleeter_weights.keep(Path(source.location), tmp_path / "a", other, other.weights[0], {"source_sha256": ""})


def test_weights_that_are_not_one_a_stem_are_an_error(tiny, tmp_path):
    made, _ = tiny
    swapped = replace(made, stems=STEMS[::-1])
    with pytest.raises(UnbraidError, match="one file of weights for each stem"):
        fetch(swapped, tmp_path / "model", log=lambda text: None)


@pytest.mark.weights
def test_the_real_weights_separate_real_music_and_keep_its_level(tmp_path):
    mix, true, rate = quality.example()
    made, folder = fetched("spleeter-2stems")
    inner = slice(rate // 2, -rate // 2)  # the ends of the true stems are no music
    mix, vocals = mix[inner], true["vocals"][inner]
    whole = separated(tmp_path / "1", mix, made, folder)
    assert quality.sdr(whole[0].T, vocals) > quality.sdr(mix, vocals) + 8
    assert decibels(whole.sum(axis=0), mix.T) <= -120
    assert np.array_equal(separated(tmp_path / "2", mix, made, folder, segments=2), whole)
    quiet = separated(tmp_path / "quiet", mix * np.float32(0.1), made, folder)
    assert decibels(quiet, whole * np.float32(0.1)) <= -80
