"""The page of a song: its tracks to hear and to see, and what was measured and recorded of them."""

import itertools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unbraid.audio.pictures import HIGHEST, LOWEST
from unbraid.audio.previews import CHUNK, LEAD, LONGEST
from unbraid.page import render

MIX = "mix"
METRICS = {"sdr": "SDR", "sdr_global": "SDR, whole song", "si_sdr": "SI-SDR"}  # as qc.json names them
TICKS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200)  # seconds between marks on the ruler
TONES = 8  # colours of tracks in page.css
PITCHES = {100: "100", 1000: "1k", 10_000: "10k"}  # Hz, marked on spectrograms


@dataclass(frozen=True)
class Track:
    """chunks: of `audio.previews`, asked for once. waveform, spectrogram: of `audio.pictures`. The song itself is the track `mix`."""

    name: str
    chunks: Iterable[bytes]
    waveform: tuple[list[int], list[int]]
    spectrogram: bytes


def write(
    file: Path,
    quality: Mapping[str, Any],
    provenance: Mapping[str, Any],
    tracks: Sequence[Track],
    cover: bytes | None,
) -> None:
    """Write `file`, the page. quality, provenance: what qc.json and provenance.json hold. cover: an image file's content.

    The previews may hold less than the song; the page says so then.
    """
    total = quality["audio_seconds"]
    heard = min(total, LONGEST) if tracks else 0
    playing = first_heard([track.name for track in tracks], quality["residuals"])
    reach = max((abs(level) for track in tracks for side in track.waveform for level in side), default=0)
    tones = itertools.cycle(range(TONES))
    tags = {name: " ".join(str(text).split()) for name, text in provenance["tags"].items()}
    render.write(
        file,
        "song.html",
        "player.js",
        title=tags.get("title") or quality["song"],
        byline=" · ".join(tags[name] for name in ("artist", "album", "date") if tags.get(name)),
        cover=render.image(cover) if cover else None,
        quality=quality,
        provenance=provenance,
        everything=json.dumps(provenance, indent=2, ensure_ascii=False),
        tracks=[
            {
                "name": track.name,
                "tone": "-mix" if track.name == MIX else next(tones),
                "chunks": track.chunks,
                "path": outline(*track.waveform),
                "columns": len(track.waveform[0]),
                "spectrogram": render.image(track.spectrogram),
                "muted": track.name not in playing,
                "levels": quality["mix"] if track.name == MIX else quality["stems"].get(track.name),
            }
            for track in tracks
        ],
        mix=MIX if any(track.name == MIX for track in tracks) else None,
        reach=max(reach, 8),
        heard=heard,
        data={"seconds": total, "heard": heard, "chunk": CHUNK, "lead": LEAD},
        ticks=_ticks(total),
        pitches=_pitches(highest(quality)),
        metrics=METRICS,
        made_of={stem: _formula(terms, provenance) for stem, terms in provenance["stems"].items()},
    )


def first_heard(names: Iterable[str], residuals: Iterable[Mapping[str, Any]]) -> set[str]:
    """The tracks that sound at first: the most that add up to the song, since others would sound twice; or all stems."""
    stems = {name for name in names if name != MIX}
    whole = [set(one["stems"]) for one in residuals if stems.issuperset(one["stems"])]
    return max(whole, key=len, default=stems) or {MIX}


def outline(low: Sequence[int], high: Sequence[int]) -> str:
    """An SVG path around a waveform: x by columns, y down from full scale at -127 to 127."""
    above = [*enumerate(high), (len(high), high[-1])]
    below = [*enumerate(low), (len(low), low[-1])]
    return "M" + " ".join(f"{x} {-y}" for x, y in [*above, *reversed(below)]) + "Z"


def _ticks(total: float) -> list[tuple[str, str]]:
    """(place, time) of about eight marks on the ruler."""
    step = next((step for step in TICKS if total / step <= 8), TICKS[-1])
    count = math.ceil(total / step)
    return [(f"{100 * number * step / total:.3f}%", render.clock(number * step)) for number in range(count)]


def highest(quality: Mapping[str, Any]) -> float:
    """In Hz, the top of all spectrograms of a page: what each of the tracks can hold."""
    rates = [quality["rate"], *(stem["rate"] for stem in quality["stems"].values())]
    return min(HIGHEST, float(min(rates)) / 2)


def _pitches(top: float) -> list[tuple[str, str]]:
    """(place, frequency) of the marks on a spectrogram."""
    return [
        (f"{100 - 100 * math.log(pitch / LOWEST) / math.log(top / LOWEST):.1f}%", name)
        for pitch, name in PITCHES.items()
        if pitch < top
    ]


def _formula(terms: Iterable[Sequence[Any]], provenance: Mapping[str, Any]) -> str:
    """What a stem is made of: `mix − vocals (htdemucs)`."""
    makers = {one["key"]: one["model"] for one in provenance["separations"].values()}
    makers |= {one["key"]: f"ensemble {step}" for step, one in provenance["ensembles"].items()}
    makers |= {one["key"]: "given" for one in provenance["have"].values()}
    text = ""
    for factor, key, name in terms:
        sign = ("+" if factor > 0 else render.MINUS) if text or factor < 0 else ""
        times = "" if abs(factor) == 1 else f"{abs(factor)} × "
        maker = "" if key == provenance["mix"]["key"] else f" ({makers.get(key, key)})"
        text += f" {sign} {times}{name}{maker}"
    return " ".join(text.split())
