import numpy as np
import pytest
import soundfile

from unbraid.audio import wav
from unbraid.stages.preview import preview


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("frames", [1, 1000])
def test_each_stem_of_a_segment_becomes_a_file_to_listen_to(tmp_path, channels, frames):
    audio = np.random.default_rng(0).uniform(-0.9, 0.9, (frames, 2 * channels)).astype(np.float32)
    with wav.create(tmp_path / "0.wav", 48000, 2 * channels) as file:
        file.write(audio)
    outputs = [tmp_path / "preview" / f"{stem}.flac" for stem in ("a", "b")]
    preview(tmp_path / "0.wav", outputs)
    for number, output in enumerate(outputs):
        heard, rate = soundfile.read(output, dtype="float32", always_2d=True)
        assert rate == 48000
        assert heard.shape == (frames, channels)
        assert np.allclose(heard, audio[:, number * channels : (number + 1) * channels], atol=2**-15)


def test_what_passes_full_scale_is_clipped(tmp_path):
    with wav.create(tmp_path / "0.wav", 48000, 1) as file:
        file.write(np.array([[2.0], [-2.0]], dtype=np.float32))
    preview(tmp_path / "0.wav", [tmp_path / "a.flac"])
    assert soundfile.read(tmp_path / "a.flac")[0].tolist() == [1 - 2**-15, -1.0]
