"""Names of delivered files made from the song's tags, by a template such as `{artist} - {title} ({stem})`."""

import string
from collections.abc import Mapping
from pathlib import PurePosixPath

FIELDS = (
    "title", "artist", "album", "album_artist", "track", "disc", "date", "year", "genre", "composer", "bpm", "key", "song", "stem",
)  # fmt: skip
LONGEST = 200  # bytes of a part of a path: file systems take 255, and an ending and a number may follow


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
    known = dict.fromkeys(FIELDS, "") | dict(tags)
    name = PurePosixPath(song).name
    known |= {"title": tags.get("title") or name, "song": name, "stem": stem, "year": known["date"][:4]}
    known |= {"track": _number(known["track"], 2), "disc": _number(known["disc"], 1)}
    parts = [_part(part.format_map(known)) for part in template.split("/")]
    return PurePosixPath(*filter(None, parts))


def _number(value: str, digits: int) -> str:
    """Of 3/12 the 3, so wide that names sort."""
    number = value.partition("/")[0].strip()
    return number.zfill(digits) if number else ""


def _part(text: str) -> str:
    from pathvalidate import sanitize_filename

    safe = sanitize_filename(text, replacement_text="_", platform="universal", max_len=1000)
    return safe.encode()[:LONGEST].decode(errors="ignore").strip(" -_.")
