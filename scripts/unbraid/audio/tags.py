"""What a song's file says of itself (title, artist, …, and its cover), and saying it in the files of its stems.

Read with ffmpeg's libraries, which know all containers, and written with mutagen. Loudness tags (ReplayGain and the like)
are not among what is kept: they are the mix's.
"""

import dataclasses
import importlib
import logging
import re
from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unbraid.audio.source import open_source

log = logging.getLogger("unbraid")

ID3 = {
    "title": "TIT2", "artist": "TPE1", "album": "TALB", "album_artist": "TPE2", "track": "TRCK", "disc": "TPOS", "date": "TDRC",
    "genre": "TCON", "composer": "TCOM", "copyright": "TCOP", "publisher": "TPUB", "bpm": "TBPM", "key": "TKEY",
}  # fmt: skip
VORBIS = {
    **{name: name for name in ID3}, "album_artist": "albumartist", "track": "tracknumber", "disc": "discnumber",
    "publisher": "organization", "key": "initialkey",
}  # fmt: skip
MP4 = {
    "title": "©nam", "artist": "©ART", "album": "©alb", "album_artist": "aART", "track": "trkn", "disc": "disk", "date": "©day",
    "genre": "©gen", "composer": "©wrt", "copyright": "cprt", "bpm": "tmpo",
}  # fmt: skip
FREE = "----:com.apple.iTunes:{}"  # of MP4, for what has no atom of its own
READ = {
    **{name: name for name in ID3}, **{written: name for name, written in VORBIS.items()}, "year": "date", "tbpm": "bpm",
    "tmpo": "bpm", "tkey": "key", "tpub": "publisher", "label": "publisher",
}  # fmt: skip
"""Names by which ffmpeg tells them: mostly its own, some the container's."""
LONGEST = 1000  # characters
LARGEST = 16_000_000  # bytes of a cover: more than a page of an ogg file can tell
MIMES = {"mjpeg": "image/jpeg", "png": "image/png"}


@dataclass(frozen=True)
class Tags:
    """text: by the names of `ID3`. cover: an image as it was, of a type of `MIMES`."""

    text: dict[str, str] = field(default_factory=dict)
    cover: bytes = b""
    mime: str = ""

    def __bool__(self) -> bool:
        return bool(self.text or self.cover)

    def of_stem(self, stem: str, song: str) -> "Tags":
        """The same of a stem, whose name stands behind the title. song: what the title is where there is none."""
        return dataclasses.replace(self, text={**self.text, "title": f"{self.text.get('title', song)} ({stem})"})


def read(song: Path) -> Tags:
    """Of a recording. Raises: UnbraidError for what cannot be opened."""
    from av.stream import Disposition

    with open_source(song) as source:
        said = {**source.stream.metadata, **source.container.metadata}
        # A year alone first: a date says more.
        told = sorted(said.items(), key=lambda item: item[0].lower() != "year")
        known = [(READ[name.lower()], _plain(value)) for name, value in told if name.lower() in READ]
        text = {name: value for name, value in known if value}
        text |= {"date": date} if (date := _date(text.pop("date", ""))) else {}
        pictures = [one for one in source.container.streams.video if one.disposition & Disposition.attached_pic]
        for stream in pictures:
            mime = MIMES.get(stream.codec_context.name if stream.codec_context else "", "")
            cover = next((bytes(packet) for packet in source.container.demux(stream) if packet.size), b"")
            if mime and 0 < len(cover) < LARGEST:
                return Tags(text, cover, mime)
        return Tags(text)


def write(path: Path, name: str, tags: Tags) -> None:
    """Into a file of the format `name`. Raises: OSError."""
    from mutagen import MutagenError

    try:
        {"mp3": _mp3, "wav": _wav, "m4a": _m4a, "flac": _flac, "ogg": _ogg, "opus": _opus}[name](path, tags)
    except MutagenError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from error
        log.warning("Title, artist and the like cannot be written into this %s file: %s", name, error)


def _date(value: str) -> str:
    """2024, 2024-05 or 2024-05-06 of a date however it is written; a year of it where nothing else is sure, or nothing."""
    if whole := re.match(r"(\d{4})(?:-?(\d\d)(?:-?(\d\d))?)?(?!\d)", value):
        return "-".join(filter(None, whole.groups()))
    year = re.search(r"(?<!\d)\d{4}(?!\d)", value)
    return year[0] if year else ""


def _plain(value: str) -> str:
    """Of several values that an ID3 frame has, the first."""
    return value.split("\0")[0].strip()[:LONGEST]


def _mutagen(module: str) -> Any:
    """A module of mutagen, which says the types of some functions only."""
    return importlib.import_module(f"mutagen.{module}")


def _mp3(path: Path, tags: Tags) -> None:
    _add(made := _mutagen("id3").ID3(), tags)
    made.save(path, v2_version=3)


def _wav(path: Path, tags: Tags) -> None:
    """An ID3 chunk, which most players and editors read. Not beyond 4 GB, where a file is RF64."""
    from mutagen import MutagenError

    if path.stat().st_size + len(tags.cover) + 2**20 >= 2**32:
        raise MutagenError("it is as long as a wav file can be")
    file = _mutagen("wave").WAVE(path)
    file.add_tags()
    _add(file.tags, tags)
    file.tags.save(path, v2_version=3)


def _add(made: Any, tags: Tags) -> None:
    id3 = _mutagen("id3")
    for name, value in tags.text.items():
        made.add(id3.Frames[ID3[name]](encoding=id3.Encoding.UTF16, text=[value]))
    if tags.cover:
        kind = id3.PictureType.COVER_FRONT
        made.add(id3.APIC(encoding=id3.Encoding.LATIN1, mime=tags.mime, type=kind, data=tags.cover))
    made.update_to_v23()  # what every player knows


def _m4a(path: Path, tags: Tags) -> None:
    mp4 = _mutagen("mp4")
    file = mp4.MP4(path)
    for name, value in tags.text.items():
        atom = MP4.get(name)
        if atom in ("trkn", "disk"):
            number, _, total = value.partition("/")
            file[atom] = [(_number(number), _number(total))]
        elif atom == "tmpo":
            file[atom] = [_number(value)]
        elif atom:
            file[atom] = [value]
        else:
            file[FREE.format(VORBIS[name])] = [mp4.MP4FreeForm(value.encode(), dataformat=mp4.AtomDataType.UTF8)]
    if tags.cover:
        kind = mp4.MP4Cover.FORMAT_PNG if tags.mime == "image/png" else mp4.MP4Cover.FORMAT_JPEG
        file["covr"] = [mp4.MP4Cover(tags.cover, imageformat=kind)]
    file.save()


def _number(value: str) -> int:
    """As an atom of 16 bits holds it; 0 for what is none."""
    try:
        return round(min(max(float(value), 0.0), 65535.0))
    except ValueError:
        return 0


def _flac(path: Path, tags: Tags) -> None:
    file = _mutagen("flac").FLAC(path)
    if file.tags is None:
        file.add_tags()
    _comment(file, tags)
    if tags.cover:
        file.add_picture(_picture(tags))
    file.save()


def _ogg(path: Path, tags: Tags) -> None:
    _comment_ogg(_mutagen("oggvorbis").OggVorbis(path), tags)


def _opus(path: Path, tags: Tags) -> None:
    _comment_ogg(_mutagen("oggopus").OggOpus(path), tags)


def _comment_ogg(file: Any, tags: Tags) -> None:
    _comment(file, tags)
    if tags.cover:
        file["metadata_block_picture"] = [b64encode(_picture(tags).write()).decode()]
    file.save()


def _comment(file: Any, tags: Tags) -> None:
    for name, value in tags.text.items():
        file[VORBIS[name]] = [value]


def _picture(tags: Tags) -> Any:
    picture = _mutagen("flac").Picture()
    picture.type, picture.mime, picture.data = _mutagen("id3").PictureType.COVER_FRONT, tags.mime, tags.cover
    return picture
