from types import SimpleNamespace

import pytest

from unbraid.errors import UnbraidError
from unbraid.targets import check

SONG = SimpleNamespace(stems={"vocals": 1, "drums": 1}, recipe=SimpleNamespace(name="stems"))
PLAN = SimpleNamespace(songs={"song": SONG, "live/song": SONG})


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (
            "results/song/vocls.wav",
            "The recipe 'stems' delivers no 'vocls.wav' of the song 'song'. Did you mean 'vocals.wav'?",
        ),
        ("results/live/song/vocals.wave", "Did you mean 'vocals.wav'?"),
        ("results/sogn/vocals.wav", "There is no song 'sogn' for results/sogn/vocals.wav. Did you mean 'song'?"),
        ("results/song/vocals.mp4", "delivers no 'vocals.mp4'"),
    ],
)
def test_a_file_that_nothing_makes_is_an_error_with_the_nearest_name(target, message):
    with pytest.raises(UnbraidError) as caught:
        check(["--cores", "2", target], PLAN)
    assert message in str(caught.value)


def test_what_is_made_and_what_is_no_file_of_a_song_is_passed_over():
    files = ["vocals.wav", "drums.flac", "qc.json", "provenance.json", "preview/split.0.vocals.flac"]
    check([f"results/song/{name}" for name in files], PLAN)
    check(["all", "-n", "--report", "results/report.html", "results"], PLAN)
