"""Names of delivered files made from the song's tags, by a template such as `{artist} - {title} ({stem})`."""

import string
import unicodedata
from collections.abc import Mapping
from pathlib import PurePosixPath

FIELDS = (
    "title", "artist", "album", "album_artist", "track", "disc", "date", "year", "genre", "composer", "bpm", "key", "song", "stem",
)  # fmt: skip
LONGEST = 200  # bytes of a part of a path: file systems take 255, and an ending and a number may follow
SHORTEST = 8  # bytes that a tag is cut to
UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")  # Unicode's categories of what is not seen


def check(template: str) -> str:
    """The template, if it can be used. Raises: ValueError."""
    asked = {name for _, name, form, conversion in string.Formatter().parse(template) if name is not None}
    plain = all(not form and not conversion for _, name, form, conversion in string.Formatter().parse(template) if name)
    if not plain or not asked <= {*FIELDS} or "stem" not in asked or not asked & {"title", "song"}:
        raise ValueError(template)
    return template


def render(template: str, tags: Mapping[str, str], song: str, stem: str) -> PurePosixPath:
    """The path that a stem gets, without an ending. What is not known is left out, with what separates it at an end.

    tags: the song's, by their names. song: its id, whose last part stands for a title that is missing. Only the template's own
    `/` make folders; what a tag holds that a name cannot becomes `_`.
    """
    limit = LONGEST
    while True:
        parts = [_part(part.format_map(_known(tags, song, stem, limit))) for part in template.split("/")]
        # What a song says of itself is cut, so that what names the stem stays.
        if limit < SHORTEST or all(len(part.encode()) <= LONGEST for part in parts):
            return PurePosixPath(*(_cut(part, LONGEST) for part in parts if part))
        limit = limit * 3 // 4


def _known(tags: Mapping[str, str], song: str, stem: str, limit: int) -> dict[str, str]:
    name = PurePosixPath(song).name
    known = dict.fromkeys(FIELDS, "") | dict(tags)
    known |= {"title": tags.get("title") or name, "song": name, "year": known["date"][:4]}
    known |= {"track": _number(known["track"], 2), "disc": _number(known["disc"], 1)}
    return {field: _cut(value, limit) for field, value in known.items()} | {"stem": stem}


def _number(value: str, digits: int) -> str:
    """Of 3/12 the 3, so wide that names sort."""
    number = value.partition("/")[0].strip()
    return number.zfill(digits) if number else ""


def _cut(text: str, limit: int) -> str:
    return text.encode(errors="replace")[:limit].decode(errors="ignore")


def _part(text: str) -> str:
    from pathvalidate import sanitize_filename

    # Of names that look alike, some disks take one for the other; marks that turn the reading direction hide an ending.
    plain = unicodedata.normalize("NFC", text)
    seen = "".join("_" if unicodedata.category(sign) in UNSEEN else sign for sign in plain)
    return sanitize_filename(seen.strip(" -_."), replacement_text="_", platform="universal", max_len=1000)
