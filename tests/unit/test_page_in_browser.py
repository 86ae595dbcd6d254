"""What the pages do in a browser, without a network: headless Chromium opens them from a file and is listened to."""

import re
import shutil
from itertools import pairwise

import numpy as np
import pytest

from audio_samples import music
from page_samples import EVIL, RATE, provenance, quality, row, tone, track
from unbraid.page import song, songs
from unbraid.page.song import Track

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
try:
    from playwright.sync_api import sync_playwright
except ImportError:
    MISSING = "playwright is not installed (envs/requirements-dev.txt)"
else:
    MISSING = "" if CHROMIUM else "there is no chromium and no google-chrome on the PATH"
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"No browser: {MISSING}.")

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
SECONDS = 24
TONES = {"mix": 400, "vocals": 600, "drums": 1000, "bass": 1500, "instrumental": 2100}  # Hz
CHIRP = (2500, 100)  # Hz at the beginning, and more in each second: what is heard tells where the song is

# What the page sends to the loudspeaker goes to an analyser of ours too, whose last 0.7 s can be looked at at any time.
TAP = """
const connect = AudioNode.prototype.connect;
AudioNode.prototype.connect = function (to, ...rest) {
  if (to instanceof AudioDestinationNode) {
    window.tap = new AnalyserNode(this.context, { fftSize: 32768 });
    connect.call(this, window.tap);
  }
  return connect.call(this, to, ...rest);
};
window.samples = () => {
  const held = new Float32Array(32768);
  if (window.tap) window.tap.getFloatTimeDomainData(held);
  return held;
};
window.place = () => Number(document.getElementById("position").value);
"""


def chirp(seconds):
    time = np.arange(round(seconds * RATE)) / RATE
    wave = 0.2 * np.sin(2 * np.pi * (CHIRP[0] * time + CHIRP[1] * time**2 / 2))
    return np.repeat(wave[:, None], 2, axis=1).astype(np.float32)


def page_file(folder, tracks, **said):
    names = [one.name for one in tracks if one.name != "mix"]
    recorded = {"tags": said.pop("tags", {})}
    song.write(folder / "index.html", quality(names, SECONDS, **said), provenance(names, **recorded), tracks, None)
    return folder / "index.html"


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """tones: a tone for each track, with a mix and a stem that the others hold. places: a chirp beside its opposite."""
    folder = tmp_path_factory.mktemp("pages")
    tones = [track(name, tone(frequency, SECONDS)) for name, frequency in TONES.items()]
    whole = [{"stems": ["vocals", "drums", "bass"], "residual_db": -30.0, "exact": False, "lag": 0}]
    page_file(folder / "tones", tones, residuals=whole)
    sweep, opposite = chirp(SECONDS), music(SECONDS * RATE, RATE)
    places = [track("chirp", sweep), track("music", opposite, 64_000), track("opposite", -opposite, 64_000)]
    page_file(folder / "places", places)
    evil = [Track(EVIL + "long" * 60, one.chunks, one.waveform, one.spectrogram) for one in tones[:2]]
    page_file(folder / "evil", evil, tags={"title": EVIL, "artist": "x" * 300}, warnings=[EVIL], song=EVIL)
    return folder


@pytest.fixture
def opened(browser, folder):
    """Opens a page; at the end, nothing but it was asked for, and the browser had nothing to complain of."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_offline(True)
    context.add_init_script(TAP)
    asked, complaints = [], []
    context.on("request", lambda request: asked.append(request.url))
    context.on("console", lambda message: complaints.append(message.text))
    context.on("weberror", lambda error: complaints.append(str(error.error)))

    def open_page(name, width=1280):
        page = context.new_page()
        page.set_viewport_size({"width": width, "height": 900})
        page.goto((folder / name).as_uri())
        return page

    yield open_page
    context.close()
    assert [url for url in asked if not re.fullmatch(rf"data:.*|{folder.as_uri()}/[a-z/]+\.html", url)] == []
    assert complaints == []


def wait(page, condition):
    page.wait_for_function(condition, timeout=20_000)


def play(page):
    page.get_by_role("button", name="Play").click()
    wait(page, "() => samples().slice(-4096).some((sample) => Math.abs(sample) > 0.02)")


def loudness(page, *frequencies):
    """Amplitudes of these tones in what was heard last."""
    page.wait_for_timeout(300)  # for what is looked at, 0.17 s, to come after what was done before
    heard = np.array(page.evaluate("Array.from(samples().slice(-8192))"))
    window = np.hanning(len(heard))
    time = np.arange(len(heard)) / RATE
    return [
        2 * abs(np.sum(heard * window * np.exp(-2j * np.pi * frequency * time))) / window.sum()
        for frequency in frequencies
    ]


def sounding(page):
    return {name for name, level in zip(TONES, loudness(page, *TONES.values()), strict=True) if level > 0.02}


def around_the_border(page):
    """What was heard just before and after the first piece gave way to the second: 0.68 s, all of it in the song."""
    for _ in range(5):
        page.locator("#position").fill("9.2")
        wait(page, "() => place() > 10.25")
        place, heard = page.evaluate("[place(), Array.from(samples())]")
        if place < 10.55:  # or the machine was too busy to look in time
            return np.array(heard)
    pytest.fail("The page could not be looked at in time.")


def test_a_click_is_heard_and_another_stops_it(opened):
    page = opened("tones/index.html")
    assert page.evaluate("window.tap") is None  # nothing may sound, or try to, before a click
    play(page)
    page.get_by_role("button", name="Pause").click()
    wait(page, "() => samples().every((sample) => sample === 0)")
    assert page.get_by_role("button", name="Play").is_visible()


def test_at_first_those_play_that_add_up_to_the_song(opened):
    page = opened("tones/index.html")
    play(page)
    assert sounding(page) == {"vocals", "drums", "bass"}
    assert page.locator(".unheard h3").all_inner_texts() == ["mix", "instrumental"]


def test_mute_solo_and_volume_do_what_they_say(opened):
    page = opened("tones/index.html")
    play(page)
    mute, solo = (
        lambda name, what=what: page.get_by_role("button", name=f"{what} {name}") for what in ("Mute", "Solo")
    )
    mute("drums").click()
    assert sounding(page) == {"vocals", "bass"}
    assert mute("drums").get_attribute("aria-pressed") == "true"
    solo("bass").click()
    assert sounding(page) == {"bass"}
    solo("instrumental").click()
    assert sounding(page) == {"bass", "instrumental"}
    solo("drums").click(modifiers=["Shift"])
    assert sounding(page) == {"drums"}
    solo("drums").click()
    assert sounding(page) == {"vocals", "bass"}
    (before,) = loudness(page, TONES["bass"])
    page.get_by_role("slider", name="Volume of bass").fill("50")
    (after,) = loudness(page, TONES["bass"])
    assert after / before == pytest.approx(0.25, rel=0.05)


def test_the_original_and_its_stems_can_be_compared(opened):
    page = opened("tones/index.html")
    play(page)
    page.get_by_role("button", name="Original").click()
    assert sounding(page) == {"mix"}
    page.get_by_role("button", name="Stems").click()
    assert sounding(page) == {"vocals", "drums", "bass"}


@pytest.mark.parametrize("second", [3.3, 9.98, 17.2])
def test_what_is_heard_after_seeking_is_what_stands_there(opened, second):
    page = opened("places/index.html")
    page.get_by_role("button", name="Solo chirp").click()
    play(page)
    if second > 15:
        box = page.locator(".picture").nth(1).bounding_box()
        page.mouse.click(box["x"] + box["width"] * second / SECONDS, box["y"] + 20)
    else:
        page.get_by_role("slider", name="Position in the song").fill(str(second))
    page.wait_for_timeout(500)
    place, heard = page.evaluate("[place(), Array.from(samples().slice(-4096))]")
    spectrum = np.abs(np.fft.rfft(np.array(heard) * np.hanning(4096), 65536))
    said = (np.argmax(spectrum) * RATE / 65536 - CHIRP[0]) / CHIRP[1]
    assert said == pytest.approx(place, abs=0.4)
    assert second < place < second + 5


def test_between_two_pieces_nothing_is_missing_and_nothing_clicks(opened):
    page = opened("tones/index.html")
    page.get_by_role("button", name="Solo drums").click()
    play(page)
    heard = around_the_border(page)
    time = np.arange(len(heard)) / RATE
    carrier = np.exp(-2j * np.pi * TONES["drums"] * time)
    parts = (heard * carrier)[: len(heard) // 240 * 240].reshape(-1, 240)  # 5 ms, five periods
    levels = 2 * np.abs(parts.mean(axis=1))
    assert levels.min() > 0.9 * levels.max() > 0.15
    turns = np.angle(parts.mean(axis=1))
    assert max(abs(np.angle(np.exp(1j * (b - a)))) for a, b in pairwise(turns)) < 0.1  # and it goes on where it was


def test_tracks_stay_in_time_with_each_other_from_piece_to_piece(opened):
    page = opened("places/index.html")
    for name in ("music", "opposite"):
        page.get_by_role("button", name=f"Solo {name}").click()
    page.get_by_role("button", name="Play").click()
    together = around_the_border(page)
    page.get_by_role("button", name="Solo opposite").click()
    alone = around_the_border(page)
    assert np.sqrt(np.mean(together**2)) < 0.05 * np.sqrt(np.mean(alone**2))


def test_a_song_ends_and_begins_again(opened):
    page = opened("tones/index.html")
    play(page)
    page.keyboard.press("End")
    wait(page, "() => document.getElementById('play').getAttribute('aria-label') === 'Play'")
    assert page.locator("#now").inner_text() == "0:24"
    play(page)
    assert page.locator("#now").inner_text() in ("0:00", "0:01", "0:02")


def test_the_keyboard_does_it_all(opened):
    page = opened("tones/index.html")
    press = page.keyboard.press
    place = lambda: page.evaluate("place()")  # noqa: E731
    pressed = lambda name: page.get_by_role("button", name=name).get_attribute("aria-pressed") == "true"  # noqa: E731
    for key, expected in [("ArrowRight", 5), ("ArrowRight", 10), ("ArrowLeft", 5), ("End", 24), ("Home", 0)]:
        press(key)
        assert place() == expected
    press("Space")
    wait(page, "() => place() > 0.2")
    press("k")
    assert page.get_by_role("button", name="Play").is_visible()
    press("2")
    assert pressed("Mute vocals")
    assert page.get_by_role("status").inner_text() == "vocals muted"
    press("Shift+3")
    assert pressed("Solo drums")
    press("o")
    assert pressed("Original")
    press("v")
    assert page.get_by_role("img", name="Spectrogram of drums").is_visible()
    assert not page.get_by_role("img", name="Waveform of drums").is_visible()
    press("v")
    page.get_by_role("button", name="Mute bass").focus()
    press("Space")  # of a button that has the focus, it is the button's
    assert pressed("Mute bass")
    press("s")
    assert pressed("Solo bass")
    page.get_by_role("slider", name="Volume of bass").focus()
    press("ArrowLeft")
    assert page.get_by_role("slider", name="Volume of bass").get_attribute("aria-valuetext") == "99 %"
    page.get_by_text("Keys", exact=True).click()
    page.get_by_label("Use these keys").uncheck()
    press("2")
    assert pressed("Mute vocals")


@pytest.mark.parametrize("name", ["tones/index.html", "songs.html"])
def test_whatever_can_be_used_has_a_name_and_shows_the_focus(opened, folder, name):
    songs.write(folder / "songs.html", [row("a")])
    page = opened(name)
    tree = page.locator("body").aria_snapshot()
    usable = re.findall(r"- (?:button|slider|checkbox|searchbox|link|region|img|group|table)\b.*", tree)
    assert len(usable) > 8
    assert [line for line in usable if '"' not in line and "group" not in line] == []
    seen = set()
    for _ in range(30):
        page.keyboard.press("Tab")
        seen.add(
            page.evaluate("""() => {
            const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
            return document.activeElement === document.body ? "" : `${outlineStyle} ${outlineWidth}`;
        }""")
        )
    assert seen - {""} == {"solid 3px"}


@pytest.mark.parametrize("name", ["tones/index.html", "evil/index.html", "songs.html"])
def test_a_phone_shows_it_without_scrolling_sideways(opened, folder, name):
    rows = [row("long" * 60, title=EVIL, warnings=["w" * 200]), row("a", status="failed", reason="No " * 50, page=None)]
    songs.write(folder / "songs.html", rows)
    page = opened(name, 375)
    assert page.evaluate("document.documentElement.scrollWidth") <= 375


def test_what_a_song_says_of_itself_does_no_harm(opened, folder):
    songs.write(folder / "songs.html", [row(EVIL, title=EVIL, artist=EVIL, page="evil/index.html", warnings=[EVIL])])
    for name, place in [("evil/index.html", "h1"), ("songs.html", "th a")]:
        page = opened(name)
        page.wait_for_timeout(100)
        assert page.evaluate("window.harmed") is None
        assert EVIL in page.locator(place).inner_text()
        assert page.locator("img[src=x]").count() == 0


def test_a_page_that_cannot_play_says_so_and_shows_the_rest(opened):
    page = opened("tones/index.html")
    page.add_init_script("delete window.AudioContext;")
    page.reload()
    assert "no Web Audio" in page.locator("#trouble").inner_text()
    assert not page.locator("#play").is_visible()
    assert page.get_by_role("img", name="Waveform of drums").is_visible()


def test_without_scripts_everything_but_the_sound_is_there(browser, folder):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((folder / "tones/index.html").as_uri())
    for name in TONES:
        for picture in ("Waveform", "Spectrogram"):
            assert page.get_by_role("img", name=f"{picture} of {name}").is_visible()
    assert not page.locator("button, input").first.is_visible()
    assert page.get_by_role("table").count() >= 3
    context.close()


def test_the_list_is_searched_sorted_and_leads_to_the_pages(opened, folder):
    rows = [
        row("a", title="Été", artist="Zoë", residual_db=-30.5, audio_seconds=100.0, page="tones/index.html"),
        row("b", title="Blue 10", residual_db=None, audio_seconds=20.0, status="failed", reason="No audio.", page=None),
        row("c", title="Blue 9", residual_db=-152.5, audio_seconds=3000.0, models=["bs_roformer"]),
    ]  # fmt: skip
    songs.write(folder / "songs.html", rows)
    page = opened("songs.html")

    def titles():
        return page.locator("tbody tr:not([hidden]) th > :first-child").all_inner_texts()

    for text, expected in [("ete", ["Été"]), ("blue FAILED", ["Blue 10"]), ("roformer", ["Blue 9"]), ("none", [])]:
        page.get_by_label("Search").fill(text)
        assert titles() == expected
        assert page.get_by_role("status").inner_text() == f"{len(expected)} of 3"
    page.get_by_label("Search").fill("")
    for column, up in [
        ("Song", "Blue 9, Blue 10, Été"),
        ("Length", "Blue 10, Été, Blue 9"),
        ("Residual", "Blue 9, Été, Blue 10"),
    ]:
        page.get_by_role("button", name=column).click()
        assert ", ".join(titles()) == up
        assert page.locator("th[aria-sort=ascending]").inner_text().startswith(column)
    page.get_by_role("button", name="Residual").click()
    assert titles() == ["Été", "Blue 9", "Blue 10"]  # what is not known stays last
    page.get_by_role("link", name="Été").click()
    assert page.url == (folder / "tones/index.html").as_uri()
