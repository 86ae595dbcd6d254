import os
import tempfile
from pathlib import Path

import pytest

from unbraid.errors import UnbraidError
from unbraid.songs import collect, read_table, scan, song_id


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("plain", "plain"),
        ("two  words", "two_words"),
        ('it\'s "quoted"', "it_s_quoted_"),
        ("a[b]{c}(d)", "a_b_c_d_"),
        ("100%", "100_"),
        ("-dash", "dash"),
        ("..hidden/--x", "hidden/x"),
        ("日本語の歌", "日本語の歌"),
        ("Ünïcode/Ça", "Ünïcode/Ça"),
        ("Cafe\u0301", "Café"),
        ("???", "untitled"),
        ("🎵 x", "x"),
        ("x" * 200, "x" * 200),
        ("v1.2-final_mix", "v1.2-final_mix"),
        ("live/index.html", "live/index.html_"),  # what results have a file of
        ("qc.json/x", "qc.json_/x"),
    ],
)
def test_an_id_keeps_letters_of_any_script_and_replaces_the_rest(name, expected):
    assert song_id(name) == expected


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_a_folder_is_scanned_recursively_without_hidden_files_and_own_outputs(tmp_path):
    touch(
        tmp_path,
        "b.mp3",
        "album/a.flac",
        ".hidden.wav",
        ".git/x.wav",
        "results/b/vocals.wav",
        "cover.jpg",
        "album/x.txt",
    )
    songs, others = scan(tmp_path, skip=[tmp_path / "results"])
    assert [song.id for song in songs] == ["album/a", "b"]
    assert sorted(path.name for path in others) == ["cover.jpg", "x.txt"]


def test_a_folder_named_like_a_song_is_a_song_that_will_fail_by_name(tmp_path):
    touch(tmp_path, "song.mp3/inside.mp3")
    assert [song.path for song in scan(tmp_path)[0]] == [str(tmp_path / "song.mp3")]


def test_a_dangling_link_is_a_song_and_a_cycle_of_links_ends(tmp_path):
    touch(tmp_path, "album/a.wav")
    (tmp_path / "gone.wav").symlink_to(tmp_path / "nowhere.wav")
    (tmp_path / "album/loop").symlink_to(tmp_path)
    assert [song.id for song in scan(tmp_path)[0]] == ["album/a", "gone"]


def test_two_files_with_one_id_are_an_error_that_names_both(tmp_path):
    touch(tmp_path, "a b.mp3", "a_b.flac")
    with pytest.raises(UnbraidError) as caught:
        collect(str(tmp_path))
    assert "'a_b'" in str(caught.value)
    assert "a b.mp3" in str(caught.value)
    assert "a_b.flac" in str(caught.value)


def test_no_songs_folder_yet_means_no_songs_but_a_misspelt_one_is_an_error(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert collect("songs") == ([], [])
    with pytest.raises(UnbraidError, match="neither a folder nor a table"):
        collect("sogns")


def write(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_a_table_gives_ids_paths_windows_and_choices(tmp_path):
    table = write(
        tmp_path / "songs.tsv",
        "song\tpath\tstart\tend\trecipe\tpreset\thave",
        "My Song\tin/a.mp3\t10.5\t1:02:03.25\tidentity\tfast\tstems/a",
        "",
        "b\tin/b.mp3\t\t0:30\t\t\t",
    )
    first, second = collect(str(table))[0]
    assert (first.id, first.path, first.start, first.end) == ("My_Song", "in/a.mp3", 10.5, 3723.25)
    assert (first.recipe, first.preset, first.have) == ("identity", "fast", "stems/a")
    assert (second.start, second.end, second.recipe, second.have) == (None, 30.0, None, None)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["song\tpth", "a\tb"], "Did you mean 'path'?"),
        (["song,path", "a,b"], "Separate columns by tabs"),
        (["song", "a"], "lacks the column path"),
        (["song\tpath", "a\t"], "line 2: the row does not fit"),
        (["song\tpath", "a\tb\tc"], "line 2: the row does not fit"),
        (["song\tpath\tstart", "a\tb\tsoon"], "'soon' is not a time"),
        (["song\tpath\tstart", "a\tb\t-3"], "'-3' is not a time"),
    ],
)
def test_a_wrong_table_is_an_error_that_says_where(tmp_path, rows, message):
    with pytest.raises(UnbraidError) as caught:
        read_table(write(tmp_path / "songs.tsv", *rows))
    assert message in str(caught.value)


def test_a_folder_that_may_not_be_read_is_passed_over_and_the_other_songs_are_found():
    with tempfile.TemporaryDirectory() as name:  # not below pytest's own folder, which only its user may enter
        folder = Path(name)
        touch(folder, "good.wav", "album/a.wav")
        os.chmod(folder / "album", 0)
        os.chmod(folder, 0o755)
        found = _as_nobody(folder)
        os.chmod(folder / "album", 0o755)
    assert found == "['good'] ['album']"


def test_a_link_to_itself_is_a_song_that_will_fail_by_name(tmp_path):
    (tmp_path / "loop.mp3").symlink_to("loop.mp3")
    assert [song.id for song in scan(tmp_path)[0]] == ["loop"]


def test_what_is_no_table_is_an_error_that_says_so(tmp_path):
    table = tmp_path / "songs.tsv"
    table.write_bytes(b"RIFF\xff\xfe\x00")
    with pytest.raises(UnbraidError, match="not a table that can be read"):
        read_table(table)


def _as_nobody(folder: Path) -> str:
    reader, writer = os.pipe()
    if os.fork() == 0:
        if os.geteuid() == 0:  # root reads everything
            os.seteuid(65534)
        try:
            songs, others = scan(folder)
            answer = f"{[song.id for song in songs]} {[path.name for path in others]}"
        except BaseException as error:
            answer = type(error).__name__
        os.write(writer, answer.encode())
        os._exit(0)
    os.close(writer)
    os.wait()
    return os.read(reader, 100).decode()
