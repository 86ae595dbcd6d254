"""The store's targets, and what a run notes of its uses."""

from flow import Desk, noise, write


def furnish(path, *names):
    desk = Desk(path)
    for seed, name in enumerate(names):
        write(desk.songs / f"{name}.wav", noise(0.5, seed=seed))
    return desk


def rows(desk, **config):
    """The table that `cache_list` prints, without its head: a list of words a line."""
    text = desk.good("cache_list", **config).text
    assert " hits\n" in text, text
    return [line.split() for line in text.partition(" hits\n")[2].partition("\n\n")[0].splitlines()]


def test_a_real_run_notes_what_it_uses_and_a_dry_run_nothing(tmp_path):
    desk = furnish(tmp_path, "a", "b")
    desk.good()
    assert sorted((row[2], row[-1]) for row in rows(desk)) == [("a", "0"), ("b", "0")]
    desk.good("-n", "results/a/copy.flac")
    desk.good()  # nothing to do
    assert {row[-1] for row in rows(desk)} == {"0"}
    desk.good("results/a/copy.flac")
    assert sorted((row[2], row[-1]) for row in rows(desk)) == [("a", "1"), ("b", "0")]
    desk.good("results/b/copy.flac", track_access="false")
    assert sorted((row[2], row[-1]) for row in rows(desk)) == [("a", "1"), ("b", "0")]


def test_a_damaged_key_is_taken_out_and_made_again(tmp_path):
    desk = furnish(tmp_path, "a", "b")
    desk.good()
    audio = desk.audio()
    stem = next((desk.path / "store/stems").glob("*/copy.wav"))
    content = bytearray(stem.read_bytes())
    content[-5] ^= 1
    stem.write_bytes(content)
    text = desk.good("cache_verify").text
    assert f"{stem.parent.name}: copy.wav has changed" in text
    assert "2 key(s) in store, 1 damaged." in text
    assert "2 key(s) in store, 0 damaged." not in desk.good("cache_verify").text
    again = desk.good("results/a/copy.flac", "results/b/copy.flac")
    assert again.ran["merge_identity"] == 1
    assert "2 key(s) in store, 0 damaged." in desk.good("cache_verify").text
    for path in desk.path.glob("results/*/copy.wav"):
        path.unlink()
    desk.good()
    assert {name: digest for name, digest in desk.audio().items() if name.endswith(".wav")} == audio


def test_a_store_that_cannot_be_written_still_delivers_what_it_holds(tmp_path):
    desk = furnish(tmp_path, "a")
    desk.good()
    used = desk.path / "store/used"
    for path in used.iterdir():
        path.unlink()
    used.rmdir()
    used.write_text("in the way")  # what a folder without permission is to everyone but root
    run = desk.good("results/a/copy.flac")
    assert "Some uses cannot be noted" in run.text
