"""A page of a song of four minutes and six tracks: what it takes to make, how large it is, and how soon a browser plays it."""

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from playwright.sync_api import Page, sync_playwright

import environment
import songs
import tables
from unbraid.audio import wav
from unbraid.files import write_json
from unbraid.page import FILE
from unbraid.stages.page import page
from unbraid.stages.report import report

STEMS = ("vocals", "drums", "bass", "other", "instrumental")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# From the click to the first sample that is no silence, looked for as often as the screen is drawn.
LISTEN = """
const connect = AudioNode.prototype.connect;
AudioNode.prototype.connect = function (to, ...rest) {
  if (to instanceof AudioDestinationNode) {
    window.tap = new AnalyserNode(this.context, { fftSize: 2048 });
    connect.call(this, window.tap);
  }
  return connect.call(this, to, ...rest);
};
window.heard = () => new Promise((resolve) => {
  document.getElementById("play").addEventListener("click", () => {
    const clicked = performance.now();
    const look = () => {
      const samples = new Float32Array(2048);
      if (window.tap) window.tap.getFloatTimeDomainData(samples);
      if (samples.some((sample) => Math.abs(sample) > 1e-3)) resolve(performance.now() - clicked);
      else requestAnimationFrame(look);
    };
    look();
  }, { capture: true });
});
"""


def delivered(folder: Path, seconds: float) -> dict[str, Path]:
    """Stems that stand for a song's: the demo song, each from another point of it; and what report says of them."""
    (song,) = songs.make(folder, seconds, range(1))
    audio, rate = soundfile.read(song, dtype="float32", always_2d=True)
    with wav.create(folder / "mix.wav", rate, 2) as file:
        file.write(audio)
    stems = {stem: folder / f"{stem}.wav" for stem in STEMS}
    for number, path in enumerate(stems.values(), start=1):
        soundfile.write(path, np.roll(audio, number * rate // 3, axis=0), rate, subtype="PCM_16")
    told = {
        "frames": len(audio), "rate": rate, "channels": 2, "source_channels": 2, "downmixed": False, "damaged": False,
        "tags": {}, "seconds": 1.0, "created": "2026-01-01T00:00:00.000+00:00",
    }  # fmt: skip
    clipped = dict.fromkeys(stems, 0)
    write_json(
        folder / "delivery.json",
        {"format": "wav", "bit_depth": 16, "bitrate": None, "gain": 1.0, "clipped_by_delivery": clipped, "seconds": 1.0, "song": told},
    )  # fmt: skip
    facts = {
        "id": "song", "path": "song.wav", "recipe": "stems", "preset": "balanced", "mix": "mix", "content": {}, "sha256": "", "start": None,
        "end": None, "delivery": {}, "haves": {}, "references": {}, "expressions": {stem: [[1, "key", stem]] for stem in stems},
    }  # fmt: skip
    files = folder / "qc.json", folder / "provenance.json"
    report(stems, folder / "mix.wav", folder / "delivery.json", {}, {}, {}, *files, song=facts)
    return stems


def opened(tab: Page, file: Path) -> tuple[float, float]:
    """Seconds until the page can be used, and from a click to the first sound."""
    begun = time.perf_counter()
    tab.goto(file.as_uri())
    tab.wait_for_function("() => !document.querySelector('.transport').hidden")
    loaded = time.perf_counter() - begun
    tab.evaluate("window.waiting = window.heard(), 0")
    tab.locator("#play").click()
    return loaded, float(tab.evaluate("window.waiting")) / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--rounds", type=int, default=5)
    tables.add_option(parser)
    arguments = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if not chromium:
        parser.error("there is no chromium and no google-chrome on the PATH")
    with tempfile.TemporaryDirectory(prefix="unbraid-page-") as scratch:
        folder = Path(scratch)
        stems = delivered(folder, arguments.seconds)
        begun = time.process_time()
        page(stems, folder / "mix.wav", folder / "qc.json", folder / "provenance.json", folder / FILE, limits=None)
        taken, size = time.process_time() - begun, (folder / FILE).stat().st_size
        with sync_playwright() as playwright:
            browser: Any = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
            rounds = []
            for _ in range(arguments.rounds):
                context = browser.new_context()
                context.set_offline(True)
                context.add_init_script(LISTEN)
                rounds.append(opened(context.new_page(), folder / FILE))
                context.close()
            version = browser.version
            browser.close()
    loaded, heard = zip(*rounds, strict=True)
    rows = [
        ["made in, s of CPU time", f"{taken:.1f} ({taken / arguments.seconds:.1%} of the song's length)"],
        ["size, MB", f"{size / 1e6:.2f}"],
        ["loaded in, s", f"{statistics.median(loaded):.2f} ({min(loaded):.2f}–{max(loaded):.2f})"],
        ["from a click to the first sound, s", f"{statistics.median(heard):.2f} ({min(heard):.2f}–{max(heard):.2f})"],
    ]
    text = tables.table(["page", f"{arguments.seconds:g} s, {len(stems) + 1} tracks"], rows)
    said = f"{environment.describe()} Chromium {version}, without a window; median of {arguments.rounds}, lowest and highest."
    tables.publish("page", f"{text}\n\n{said}", arguments.write)


if __name__ == "__main__":
    main()
