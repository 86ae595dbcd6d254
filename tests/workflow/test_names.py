"""Songs of any name are delivered under the id that the rule for ids gives (written out here by hand)."""

import numpy as np
import pytest
import soundfile

from flow import Desk, Run, noise, write

NAMES = {
    "two  words": "two_words",
    'it\'s "quoted"': "it_s_quoted_",
    "[brackets] {braces} (round)": "brackets_braces_round_",
    "{input} {wildcards.song}": "input_wildcards.song_",
    "100% $HOME;echo&|`id`": "100_HOME_echo_id_",
    "--config": "config",
    "two\nlines\ttab": "two_lines_tab",
    "back\\slash*?": "back_slash_",
    "日本語の歌": "日本語の歌",
    "أغنية عربية": "أغنية_عربية",
    "🎵 ça ira": "ça_ira",
    "x" * 200: "x" * 200,
    "y" * 251: "y" * 251,  # with .wav, the longest name that Linux allows
    "歌" * 83: "歌" * 83,
    "Album: one/Disc (2)/-01 Intro": "Album_one/Disc_2_/01_Intro",
}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    desk = Desk(tmp_path_factory.mktemp("names"))
    for number, name in enumerate(NAMES):  # each of its own, so that each is opened by its name
        write(desk.songs / f"{name}.wav", noise(0.05, seed=number))
    return desk


@pytest.fixture(scope="module")
def run(desk: Desk) -> Run:
    return desk.good()


def delivered(desk: Desk) -> set[str]:
    results = desk.path / "results"
    return {str(path.parent.relative_to(results)) for path in results.rglob("copy.wav")}


def test_every_name_is_delivered_under_its_id_with_sub_folders_mirrored(desk, run):
    assert delivered(desk) == set(NAMES.values())


@pytest.mark.parametrize("name", NAMES, ids=lambda name: NAMES[name][:20])
def test_each_id_holds_the_samples_of_its_own_song(desk, run, name):
    source, _ = soundfile.read(desk.songs / f"{name}.wav", dtype="int16")
    copy, _ = soundfile.read(desk.path / "results" / NAMES[name] / "copy.wav", dtype="int16")
    np.testing.assert_array_equal(copy, source)


def test_a_second_run_over_all_these_names_does_nothing(desk, run):
    assert desk.good().idle


def test_nothing_is_written_outside_the_known_folders(desk: Desk, run: Run):
    known = {"songs", "results", "work", "store", "logs", ".snakemake"}
    assert {path.name for path in desk.path.iterdir()} <= known
