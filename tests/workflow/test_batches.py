"""Many songs: a part of them at a time."""

from flow import Desk, noise, write


def test_batches_of_all_songs_together_make_what_one_run_makes(tmp_path):
    whole, parts = Desk(tmp_path / "whole"), Desk(tmp_path / "parts")
    for desk in (whole, parts):
        for number in range(5):
            write(desk.songs / f"song{number}.wav", noise(0.5, seed=number))
    whole.good()
    done = []
    for batch in (1, 2, 3):
        run = parts.good("--batch", f"all={batch}/3")
        done.append(run.ran["convert"])
    assert max(done) < 5
    assert parts.audio() == whole.audio()
    assert parts.good().idle
