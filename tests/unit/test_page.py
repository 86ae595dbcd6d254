"""What stands in the pages. What they do: test_page_in_browser.py."""

import base64
import hashlib
import html
import re

import numpy as np
import pytest

from audio_samples import music, png
from page_samples import EVIL, measured, provenance, quality, row, tone, track
from unbraid.audio.previews import bitrate_for
from unbraid.page import render, song, songs
from unbraid.page.song import Track, first_heard, outline

NAMES = ["vocals", "drums"]


@pytest.fixture(scope="module")
def tracks():
    return [track(name, tone(440, 2)) for name in ("mix", *NAMES)]


def written(folder, tracks, *, cover=None, said=None, recorded=None):
    names = [one.name for one in tracks if one.name != "mix"]
    file = folder / "my" / "song" / "index.html"
    song.write(file, quality(names, 2.0, **(said or {})), provenance(names, **(recorded or {})), tracks, cover)
    assert [path.name for path in file.parent.iterdir()] == ["index.html"]  # nothing half-written is left
    return file.read_text(encoding="utf-8")


def listed(folder, rows):
    songs.write(folder / "index.html", rows)
    return (folder / "index.html").read_text(encoding="utf-8")


def words(page):
    """What a reader sees of it, more or less."""
    text = re.sub(r"(?s)<(script|style).*?</\1>|<[^>]*>", " ", page)
    return " ".join(html.unescape(text).split())


def test_a_page_holds_every_track_with_its_sound_and_its_pictures(tmp_path, tracks):
    page = written(tmp_path, tracks)
    for number, one in enumerate(tracks):
        assert f'data-track="{number}" data-chunk="0">{base64.b64encode(one.chunks[0]).decode()}<' in page
        assert base64.b64encode(one.spectrogram).decode() in page
        assert outline(*one.waveform) in page
        assert f'aria-label="Mute {one.name}"' in page


def test_a_page_says_what_was_measured_and_recorded(tmp_path, tracks):
    said = {
        "notices": ["It fell back to the CPU."],
        "warnings": ["vocals are nearly silent."],
        "metrics": {
            "vocals": {"sdr": 8.125, "sdr_global": None, "si_sdr": -0.001, "mix": {"sdr": -2, "sdr_global": 1, "si_sdr": 0}}
        },
        "residuals": [
            {"stems": ["vocals", "drums"], "residual_db": -31.26, "exact": False, "lag": 3},
            {"stems": ["copy"], "residual_db": None, "exact": True, "lag": None},
        ],
        "stems": {"vocals": measured(clipped_samples=17, nonfinite_samples=5), "drums": measured(peak_dbfs=None, lufs=None)},
        "gain": 0.5,
    }  # fmt: skip
    recorded = {
        "window": {"start": None, "end": 12.5},
        "tags": {"title": "A title", "artist": "An artist"},
        "have": {"drums": {"path": "given/drums.mp3", "sha256": "def", "key": "h"}},
    }
    text = words(written(tmp_path, tracks, said=said, recorded=recorded))
    for part in (
        *("A title", "An artist", "my/song", "0:02", "recipe stems", "htdemucs", "It fell back to the CPU."),
        *("vocals are nearly silent.", "vocals + drums −31.3 dB 3", "copy nothing: they are exact –"),
        *("vocals 8.12 (−2.00) – (1.00) 0.00 (0.00)", "vocals −3.25 −20.50 −18.0 17 0 12.5 % 5", "drums silent"),
        *("Licence MIT", "1" * 64, "drums mix − vocals (htdemucs)", "drums was given given/drums.mp3 def"),
        *("from 0 s to 12.5 s", "separate 2.50 yes", "2.00 times as fast", "after a gain of 0.5000"),
    ):
        assert part in text


def test_what_was_not_measured_is_left_out(tmp_path, tracks):
    page = written(
        tmp_path, tracks, said={"residuals": [], "real_time_factor": None, "bit_depth": None, "bitrate": 96000}
    )
    for part in ("Worth a listen", "true stems", "Not a number", "Lag", "times as fast", 'class="cover"', "<h3>Notes"):
        assert part not in page
    assert "No set of these stems" in page
    assert "(wav, bitrate 96000)" in words(page)


@pytest.mark.parametrize("content", [png(), b"\xff\xd8\xff a JPEG"])
def test_a_cover_is_shown(tmp_path, tracks, content):
    kind = "png" if content == png() else "jpeg"
    assert f'src="data:image/{kind};base64,{base64.b64encode(content).decode()}"' in written(
        tmp_path, tracks, cover=content
    )


def test_a_page_says_that_it_holds_the_first_part_only(tmp_path, tracks):
    assert "holds the first" not in words(written(tmp_path, tracks))
    text = words(written(tmp_path, tracks, said={"audio_seconds": 4000.0}))
    assert "The player holds the first 30:00 of 1:06:40." in text


def test_no_name_is_markup(tmp_path, tracks):
    evil = [Track(EVIL, one.chunks, one.waveform, one.spectrogram) for one in tracks]
    said = {"song": EVIL, "warnings": [EVIL], "notices": [EVIL], "recipe": EVIL, "models": [EVIL]}
    page = written(tmp_path, evil, said=said, recorded={"path": EVIL, "tags": {"title": EVIL, "artist": EVIL}})
    page += listed(
        tmp_path, [row(EVIL, title=EVIL, artist=EVIL, reason=EVIL, warnings=[EVIL], page=EVIL, models=[EVIL])]
    )
    assert "<img src=x" not in page
    assert "<svg onload" not in page
    assert page.count("&lt;/script&gt;&lt;img") > 15


@pytest.mark.parametrize(
    "make", [lambda folder, tracks: written(folder, tracks), lambda folder, _: listed(folder, [row("a")])]
)
def test_only_the_pages_own_script_and_style_may_run_and_nothing_is_asked_for(tmp_path, tracks, make):
    page = make(tmp_path, tracks)
    policy = html.unescape(re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1])
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert (rules["default-src"], rules["connect-src"], rules["img-src"]) == ("'none'", "'none'", "data:")
    for kind in ("script", "style"):
        (inside,) = re.findall(rf"(?s)<{kind}>(.*?)</{kind}>", page)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert rules[f"{kind}-src"] == f"'sha256-{digest}'"
    assert not re.search(r'(src|href)="(?!data:|a/index)|style="|\son\w+="|url\(|@import', page)


def test_the_same_song_is_the_same_page(tmp_path, tracks):
    assert written(tmp_path / "a", tracks) == written(tmp_path / "b", tracks)


def test_the_most_stems_that_add_up_play_at_first():
    names = ["mix", "vocals", "drums", "bass", "instrumental"]
    sets = [["vocals", "instrumental"], ["vocals", "drums", "bass"], ["drums", "bass", "vocals"], ["a", "b", "c", "d"]]
    assert first_heard(names, [{"stems": one} for one in sets]) == {"vocals", "drums", "bass"}
    assert first_heard(names, []) == {"vocals", "drums", "bass", "instrumental"}
    assert first_heard(["mix"], []) == {"mix"}


def test_tracks_that_the_others_hold_start_muted(tmp_path, tracks):
    page = written(
        tmp_path, tracks, said={"residuals": [{"stems": ["vocals"], "residual_db": None, "exact": True, "lag": 0}]}
    )
    found = re.findall(r'class="mute" aria-pressed="(\w+)" aria-label="Mute (\w+)"', page)
    assert found == [("true", "mix"), ("false", "vocals"), ("true", "drums")]


def test_an_outline_goes_along_the_top_and_back_along_the_bottom():
    assert outline([-5, -127], [4, 0]) == "M0 -4 1 0 2 0 2 127 1 127 0 5Z"


@pytest.mark.parametrize(
    ("value", "expected"),
    [(-1.25, "−1.2"), (0.0, "0.0"), (-0.01, "0.0"), (12.06, "12.1"), (None, "–"), (-130, "−130.0")],
)
def test_numbers_are_written_as_in_print(value, expected):
    assert render.number(value) == expected


@pytest.mark.parametrize(("seconds", "expected"), [(0, "0:00"), (59.6, "1:00"), (245, "4:05"), (3605, "1:00:05")])
def test_times_are_written_as_on_a_clock(seconds, expected):
    assert render.clock(seconds) == expected


def test_the_list_names_each_song_and_links_its_page(tmp_path):
    rows = [
        row("a b", page="a%20b/index.html", title="Blue", artist="Ann", sdr={"vocals": 8.21, "drums": 6.0},
            warnings=["Listen!"], residual_db=-30.26),
        row("broken", page=None, status="failed", reason="No audio.", audio_seconds=None, residual_db=None, models=[]),
    ]  # fmt: skip
    page = listed(tmp_path, rows)
    assert '<a href="a%20b/index.html"><bdi>Blue</bdi></a>' in page
    assert page.count("<a ") == 1
    text = words(page)
    for part in (
        "2 songs 3:20 of audio 1 ok 1 failed 1 with warnings",
        "Blue Ann · a b ok 3:20 stems balanced htdemucs −30.3 vocals 8.2 drums 6.0 Listen!",
    ):
        assert part in text
    assert "broken failed No audio. stems balanced" in text


def test_a_list_without_songs_says_so(tmp_path):
    assert "There is no song yet." in words(listed(tmp_path, []))


def test_the_page_of_four_minutes_and_six_tracks_is_below_8_mb(tmp_path):
    frames, rate = 240 * 44100, 44100
    noise = np.random.default_rng(0).normal(0, 0.05, (frames, 2)).astype(np.float32)
    one = track("a", music(frames) + noise, bitrate_for(6, 2), rate)
    tracks = [Track(name, one.chunks, one.waveform, one.spectrogram) for name in ("mix", "a", "b", "c", "d", "e")]
    written(tmp_path, tracks, said={"audio_seconds": 240.0})
    assert (tmp_path / "my/song/index.html").stat().st_size < 8_000_000
