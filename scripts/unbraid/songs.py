"""Which songs there are: a folder scanned recursively, or a table."""

import csv
import io
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from unbraid.errors import UnbraidError, suggest

# What a songs folder may hold that is worth trying; other files (covers, texts, playlists) are passed over and counted.
EXTENSIONS = frozenset(
    """
    3g2 3gp aac ac3 aif aifc aiff alac amr ape asf au avi caf dsf dts eac3 flac flv m2ts m4a m4b m4v mka mkv mov mp2
    mp3 mp4 mpc mpeg mpg mpga oga ogg ogv opus ra rm shn snd spx tak ts tta vob w64 wav wave webm wma wmv wv
    """.split()
)
TAKEN = ("index.html", "summary.tsv", "plan.tsv", "qc.json", "provenance.json", "passed.json", "stems.stem.mp4")
COLUMNS = ("song", "path", "start", "end", "recipe", "preset", "prompts", "have", "references")


@dataclass(frozen=True)
class Song:
    """One input recording. start and end are seconds into the file; None means its beginning or end.

    recipe, preset, prompts: its own, instead of the configuration's. have: where the stems are that need not be computed
    (see `unbraid.have`). references: where the true stems are, to measure against.
    """

    id: str
    path: str
    start: float | None = None
    end: float | None = None
    recipe: str | None = None
    preset: str | None = None
    prompts: str | None = None
    have: str | None = None
    references: str | None = None


class Probed(Protocol):
    """What the plan needs to know of a song, or of a stem of it (see `unbraid.audio.probe.Probe`)."""

    @property
    def sha256(self) -> str: ...
    @property
    def duration(self) -> float: ...
    @property
    def rate(self) -> int: ...
    @property
    def channels(self) -> int: ...


def song_id(name: str) -> str:
    """The id of a song from its path under the songs folder, without extension, `/` between folders.

    >>> song_id("Live (2019)/-01 Café?")
    'Live_2019_/01_Café_'
    """
    # Composed form first: file systems differ in how they store an accent, and the id must not.
    composed = unicodedata.normalize("NFC", name)
    replaced = re.sub(r"[^\w.\-/]+", "_", composed)
    parts = (part.lstrip("-._") for part in replaced.split("/"))
    # Results have files of these names beside and in the folders of songs.
    return "/".join(f"{part}_" if part.casefold() in TAKEN else part or "untitled" for part in parts)


def scan(folder: Path, skip: Iterable[Path] = ()) -> tuple[list[Song], list[Path]]:
    """Songs below `folder`, sorted by id, and the other files that were passed over.

    Hidden files and folders, and the folders in `skip`, are left out. A folder that is named like a song is a song
    (one that will fail by name) rather than a folder silently walked into.
    """
    avoid = {path.resolve() for path in skip}
    songs, others = [], []
    for path in _walk(folder, avoid, set()):
        if path.suffix.lower().lstrip(".") in EXTENSIONS:
            relative = path.relative_to(folder).with_suffix("").as_posix()
            songs.append(Song(song_id(relative), str(path)))
        else:
            others.append(path)
    return sorted(songs, key=lambda song: song.id), others


def _walk(folder: Path, avoid: set[Path], seen: set[Path]) -> Iterator[Path]:
    real = folder.resolve()
    if real in seen or real in avoid:  # `seen` ends a cycle of links
        return
    seen.add(real)
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        yield folder  # counted among the files that were passed over
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        path = Path(entry.path)
        if _is_folder(entry) and path.suffix.lower().lstrip(".") not in EXTENSIONS:
            yield from _walk(path, avoid, seen)
        else:
            yield path


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or into a folder without permission: a song that fails by name
        return False


def read_table(table: Path) -> list[Song]:
    """Songs of a tab-separated table with the columns of `COLUMNS`; all but song and path may be missing or empty.

    Paths are taken from the working directory. Times are seconds, or `[h:]mm:ss`.
    """
    try:
        text = table.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UnbraidError(
            f"{table} is not a table that can be read ({type(error).__name__}).",
            remedy="Give a folder, or a text file in UTF-8 whose columns are separated by tabs.",
        ) from None
    with io.StringIO(text, newline="") as file:
        reader = csv.DictReader(file, delimiter="\t")
        columns = reader.fieldnames or []
        for column in columns:
            if column not in COLUMNS:
                commas = re.search(r"[,;]", str(column))
                remedy = "Separate columns by tabs." if commas else suggest(str(column), COLUMNS)
                raise UnbraidError(f"{table} has an unknown column {column!r}.", remedy=remedy)
        missing = [column for column in ("song", "path") if column not in columns]
        if missing:
            raise UnbraidError(
                f"{table} lacks the column {' and '.join(missing)}.",
                remedy="Its first line must name the columns, separated by tabs: song, path, and optionally "
                + ", ".join(COLUMNS[2:])
                + ".",
            )
        return [_row(table, reader.line_num, row) for row in reader if any(row.values())]


def _row(table: Path, line: int, row: dict[str, str | None]) -> Song:
    values = {column: (row.get(column) or "").strip() or None for column in COLUMNS}
    if None in row or values["song"] is None or values["path"] is None:
        raise UnbraidError(f"{table}, line {line}: the row does not fit the columns.", remedy="Give song and path.")
    return Song(
        song_id(values["song"]),
        values["path"],
        _seconds(table, line, values["start"]),
        _seconds(table, line, values["end"]),
        values["recipe"],
        values["preset"],
        values["prompts"],
        values["have"],
        values["references"],
    )


def _seconds(table: Path, line: int, text: str | None) -> float | None:
    if text is None:
        return None
    if not re.fullmatch(r"(\d+:){0,2}\d+(\.\d+)?", text):
        raise UnbraidError(
            f"{table}, line {line}: {text!r} is not a time.", remedy="Write seconds (75.5) or [h:]mm:ss (1:15.5)."
        )
    total = 0.0
    for part in text.split(":"):
        total = total * 60 + float(part)
    return total


def collect(source: str, skip: Iterable[Path] = ()) -> tuple[list[Song], list[Path]]:
    """Songs of a folder or a table, with unique ids, and the files that were passed over.

    Raises: UnbraidError when the source is missing, or when two songs have one id (naming both).
    """
    path = Path(source)
    others: list[Path] = []
    if path.is_file():
        songs = read_table(path)
    elif path.is_dir():
        songs, others = scan(path, skip)
    elif source.rstrip("/") == "songs":  # the default folder need not exist: there are simply no songs yet
        return [], []
    else:
        raise UnbraidError(
            f"The songs {source!r} are neither a folder nor a table.", remedy="Set songs= to a folder or a .tsv file."
        )
    first: dict[str, Song] = {}
    for song in songs:
        other = first.setdefault(song.id, song)
        if other is not song:
            raise UnbraidError(
                f"Two songs have the id {song.id!r}: {other.path!r} and {song.path!r}.",
                remedy="Rename one of them, or give both their own id in a songs.tsv.",
            )
    return songs, others
