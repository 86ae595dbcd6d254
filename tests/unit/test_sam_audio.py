"""SAM-Audio. The MLX engine's real code runs on a tiny random network; the torch engine on a double of upstream's package."""

import mlx.core as mx
import numpy as np
import pytest

import tiny_sam_audio as tiny
from stages_by_hand import REFERENCE, begun, separated
from tiny_sam_audio import CHUNK, HOP, RATE
from unbraid.backends import sam_audio, sam_audio_mlx, sam_audio_options
from unbraid.backends.session import Statistics
from unbraid.errors import UnbraidError

SETTINGS = {**REFERENCE, "prompt": "bass guitar", "ode_steps": 2, "ode_method": "euler"}
STRIDE = CHUNK * 3 // 4


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return tiny.fetched(tmp_path_factory.mktemp("tiny"))


def noise(frames, channels=1, seed=0):
    return (np.random.default_rng(seed).standard_normal((frames, channels)) * 0.1).astype(np.float32)


def run(made, tmp_path, audio, segments=1, prompt_file=None, **options):
    found, folder = made
    return separated(
        tmp_path, audio, found, folder, segments=segments, settings={**SETTINGS, **options}, rate=RATE, threads=1,
        prompt=prompt_file,
    )  # fmt: skip


def session(made, frames=CHUNK, channels=1, **options):
    statistics = Statistics(frames=frames, rate=RATE, channels=channels, mean=0.0, std=0.1, peak=1.0)
    return begun(*made, statistics, {**SETTINGS, **options})


def decibels(found, true):
    rest, whole = np.square(found - true, dtype=np.float64).sum(), np.square(true, dtype=np.float64).sum()
    return float(10 * np.log10(rest / whole + 1e-30))


@pytest.mark.parametrize("frames", [1, HOP + 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * STRIDE + CHUNK + 777])
def test_the_target_has_the_songs_frames_whatever_its_length(made, tmp_path, frames):
    target = run(made, tmp_path, np.full((1, 1), 0.5, np.float32) if frames == 1 else noise(frames))
    assert target.shape == (1, 1, frames)
    assert np.isfinite(target).all()
    assert target.any()


def test_any_number_of_segments_and_any_run_give_the_same_bits(made, tmp_path):
    audio = noise(2 * STRIDE + CHUNK + 777, channels=2)
    whole = run(made, tmp_path / "1", audio)
    assert np.array_equal(run(made, tmp_path / "again", audio), whole)
    for segments in (2, 3, 7):
        assert np.array_equal(run(made, tmp_path / str(segments), audio, segments=segments), whole)


@pytest.mark.parametrize(
    "options",
    [{"seed": 1}, {"prompt": "singing voice"}, {"ode_method": "midpoint"}, {"ode_steps": 3}, {"crossfade": "linear"},
     {"anchors": [["+", 0.01, 0.02]]}],
    ids=str,
)  # fmt: skip
def test_each_option_changes_the_target(made, tmp_path, options):
    audio = noise(CHUNK + 1000)
    assert decibels(run(made, tmp_path / "b", audio, **options), run(made, tmp_path / "a", audio)) > -80


def test_positive_and_negative_anchors_differ(made, tmp_path):
    audio = noise(CHUNK)
    one, other = (run(made, tmp_path / sign, audio, anchors=[[sign, 0, 0.02]]) for sign in "+-")
    assert decibels(one, other) > -80


def test_anchors_reach_the_network_in_the_time_of_each_chunk(made, monkeypatch):
    length, stride = CHUNK / RATE, STRIDE / RATE
    frames = 2 * STRIDE + CHUNK
    found = session(made, frames=frames, anchors=[["+", 0, 0.01], ["-", stride, 2 * stride + 0.01]])
    seen = []
    real = found._engine.separate

    def separate(audio, text, anchors, noise, seed):
        seen.append(anchors)
        return real(audio, text, anchors, noise, seed)

    monkeypatch.setattr(found._engine, "separate", separate)
    chunks = found.passes[0].grid.touching(frames, 0, frames)[:3]
    found.separate(found.passes[0], np.stack([noise(CHUNK).T] * 3), chunks)
    expected = [[("+", 0, 0.01), ("-", stride, length)], [("-", 0, length)], [("-", 0, 0.01)]]
    for got, want in zip(seen, expected, strict=True):
        assert [entry[0] for entry in got] == [entry[0] for entry in want]
        assert np.allclose([entry[1:] for entry in got], [entry[1:] for entry in want])


def test_an_anchor_elsewhere_in_the_song_changes_no_chunk_that_it_does_not_touch(made, tmp_path):
    audio = noise(STRIDE + CHUNK)
    plain = run(made, tmp_path / "a", audio)
    late = run(made, tmp_path / "b", audio, anchors=[["+", (CHUNK + 10) / RATE, 9]])
    assert np.array_equal(plain[..., :STRIDE], late[..., :STRIDE])
    assert not np.array_equal(plain[..., CHUNK:], late[..., CHUNK:])


def test_chunks_see_the_same_noise_where_they_overlap_and_other_noise_elsewhere(made):
    found = session(made)
    steps = CHUNK // HOP
    first, second = found._noise(0, steps), found._noise(STRIDE // HOP, steps)
    assert first.shape == (1, steps, 16)
    assert np.array_equal(first[:, STRIDE // HOP :], second[:, : steps - STRIDE // HOP])
    assert len(np.unique(first)) == first.size
    assert 0.8 < first.std() < 1.2
    assert np.isfinite(found._noise(-3, 3)).all()


@pytest.mark.parametrize("peak", [0.1, 1.0, 1.5])
def test_a_scaled_song_gives_the_target_scaled_alike(made, tmp_path, peak):
    audio = noise(CHUNK + 500)
    audio /= np.abs(audio).max()
    plain, scaled = run(made, tmp_path / "1", audio), run(made, tmp_path / "s", audio * np.float32(peak))
    assert abs(20 * np.log10(np.sqrt(np.square(scaled).mean() / np.square(plain).mean()) / peak)) < 0.01
    assert decibels(scaled / np.float32(peak), plain) < -80


def test_the_network_is_shown_a_peak_of_one_and_its_output_is_taken_back(made):
    found = begun(*made, Statistics(CHUNK, RATE, 1, mean=0.2, std=0.1, peak=0.25), SETTINGS)
    assert found.level() == (0, 0.25)


def test_each_channel_is_separated_by_itself_and_equal_channels_stay_equal(made, tmp_path):
    left, right = noise(CHUNK, seed=1), noise(CHUNK, seed=2)
    both = run(made, tmp_path / "2", np.hstack([left, right]))[0]
    assert not np.array_equal(both[0], both[1])
    same = run(made, tmp_path / "1", np.hstack([left, left]))[0]
    assert np.array_equal(same[0], same[1])
    assert np.array_equal(same[0], run(made, tmp_path / "mono", left)[0, 0])


def test_silence_gives_silence_in_a_song_a_chunk_or_a_channel(made, tmp_path):
    assert not run(made, tmp_path / "all", np.zeros((CHUNK + 5, 2), np.float32)).any()
    audio = noise(3 * CHUNK, channels=2)
    audio[:, 1] = 0
    audio[: 2 * CHUNK] = 0
    target = run(made, tmp_path / "part", audio)
    assert not target[0, 1].any()
    assert not target[..., :STRIDE].any()
    assert target[0, 0, 2 * CHUNK :].any()


def test_the_prompt_is_encoded_once_for_all_chunks_and_channels(made, tmp_path, monkeypatch):
    prompts = []
    real = sam_audio_mlx.encode
    monkeypatch.setattr(sam_audio_mlx, "encode", lambda *given: prompts.append(given[1]) or real(*given))
    run(made, tmp_path, noise(4 * CHUNK, channels=2))
    assert prompts == ["bass guitar"]


def test_an_encoded_prompt_from_a_file_gives_the_same_bits_without_the_text_encoder(made, tmp_path, monkeypatch):
    audio = noise(CHUNK)
    plain = run(made, tmp_path / "a", audio)
    file = tmp_path / "prompt.safetensors"
    sam_audio.encode_prompt(*made, file, SETTINGS, "cpu")
    monkeypatch.setattr(sam_audio_mlx, "encode", lambda *given: pytest.fail("encoded again"))
    assert np.array_equal(run(made, tmp_path / "b", audio, prompt_file=file), plain)
    with pytest.raises(UnbraidError, match="'bass guitar', and 'singing voice' is wanted"):
        run(made, tmp_path / "c", audio, prompt_file=file, prompt="singing voice")
    file.write_bytes(b"cut")
    with pytest.raises(UnbraidError, match="damaged"):
        run(made, tmp_path / "d", audio, prompt_file=file)


def test_the_network_is_shown_whole_steps_and_never_less_than_its_shortest(made):
    found = session(made)
    one = found.passes[0]
    assert found.valid_length(one, 1) == CHUNK  # chunks shorter than SHORTEST set the limit
    assert found.valid_length(one, CHUNK) == CHUNK
    long = (tiny.replace(made[0], segment=20.0), made[1])
    found = session(long)
    one = found.passes[0]
    assert one.grid.chunk == 20 * RATE
    assert found.valid_length(one, 1) == 10 * RATE
    assert found.valid_length(one, 11 * RATE + 1) == 11 * RATE + HOP
    assert session((tiny.replace(made[0], segment=None), made[1])).passes[0].grid.chunk == 30 * RATE


@pytest.mark.parametrize("crossfade", ["cosine", "linear"])
@pytest.mark.parametrize("stride", [10, 30, 75, 100])
def test_the_window_is_positive_and_its_overlaps_add_up_evenly(crossfade, stride):
    window = sam_audio.window(100, stride, crossfade)
    assert window.dtype == np.float32
    assert (window > 0).all()
    assert window.max() <= 1
    assert np.allclose(window, window[::-1])
    if stride >= 50:
        assert np.allclose(window[stride:] + window[: 100 - stride], 1)
        assert (window[100 - stride : stride] == 1).all()


@pytest.mark.parametrize("steps", [2, 3, 7, 49])
def test_the_ode_ends_at_one_for_every_number_of_steps(made, monkeypatch, steps):
    found = session(made, ode_steps=steps)
    times = []
    real = found._engine._network._ode_step_euler

    def step(t, dt, noisy_audio, **conditions):
        times.append((t, dt))
        return real(t=t, dt=dt, noisy_audio=noisy_audio, **conditions) if not times[1:] else noisy_audio

    monkeypatch.setattr(type(found._engine._network), "_ode_step_euler", lambda self, **given: step(**given))
    found.separate(found.passes[0], noise(CHUNK).T[None], found.passes[0].grid.touching(CHUNK, 0, CHUNK)[:1])
    assert len(times) == steps
    assert times[-1][0] + times[-1][1] == pytest.approx(1)


@pytest.mark.parametrize("method", ["euler", "midpoint"])
def test_the_mlx_engine_gives_what_mlx_audio_gives_for_the_same_noise(made, method):
    found = session(made, ode_steps=4, ode_method=method)
    audio, drawn, engine = noise(CHUNK)[:, 0], found._noise(0, CHUNK // HOP), found._engine
    ours = engine.separate(audio, found._text, [("+", 0, 0.01)], drawn, 0)
    batch = engine._processor(["bass guitar"], [audio], [[("+", 0, 0.01)]])
    theirs = engine._network.separate(
        batch.audios,
        ["bass guitar"],
        anchor_ids=batch.anchor_ids,
        anchor_alignment=batch.anchor_alignment,
        noise=mx.array(drawn),
        ode_opt={"method": method, "step_size": 0.25},
        _text_features=mx.array(found._text[None]),
        _text_mask=mx.ones((1, len(found._text)), dtype=mx.bool_),
    )
    assert np.array_equal(ours, np.array(theirs.target[0][:, 0]))


BAD = [
    ({"prompt": None}, "needs a prompt"),
    ({"prompt": "  "}, "needs a prompt"),
    ({"anchors": "+"}, "anchor"),
    ({"anchors": [["+", 2, 1]]}, "anchor"),
    ({"anchors": [["*", 0, 1]]}, "anchor"),
    ({"anchors": [["+", 0]]}, "anchor"),
    ({"anchors": [["+", "a", 1]]}, "anchor"),
    ({"seed": -1}, "seed is -1"),
    ({"ode_steps": 0}, "ode_steps is 0"),
    ({"ode_steps": 0.5}, "ode_steps is 0.5"),
    ({"candidates": True}, "candidates is True"),
    ({"ode_method": "midpont"}, "ode_method 'midpont'"),
    ({"crossfade": "sine"}, "crossfade 'sine'"),
]


@pytest.mark.parametrize(("options", "message"), BAD, ids=str)
def test_an_option_that_makes_no_sense_is_an_error_with_a_remedy(options, message):
    with pytest.raises(UnbraidError, match=message) as caught:
        sam_audio_options.read({**SETTINGS, **options})
    assert caught.value.remedy


def test_options_that_are_not_given_are_upstreams():
    found = sam_audio_options.read({"prompt": " bass guitar ", "anchors": None, "overlap": 0.25})
    assert found == sam_audio_options.Options("bass guitar", (), 0, "midpoint", 16, 1, "cosine")


def test_candidates_on_mlx_are_an_error_that_says_so(made):
    with pytest.raises(UnbraidError, match="cannot choose among 2 candidates"):
        session(made, candidates=2)


def test_a_closed_session_has_no_network(made):
    found = session(made)
    found.close()
    assert not hasattr(found._engine, "_network")
