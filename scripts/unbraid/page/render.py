"""A page from its template, with its style and script inside and everything else forbidden."""

import base64
import hashlib
from pathlib import Path
from typing import Any

from unbraid.files import replacing

HERE = Path(__file__).parent
MINUS = "−"


def write(file: Path, template: str, script: str, **values: Any) -> None:
    """Write `file` from a template and a script of this folder, atomically.

    values: what the template names; whatever they hold is text there and never markup.
    """
    import jinja2  # a tenth of a second, for jobs that write no page
    from markupsafe import Markup

    style = (HERE / "page.css").read_text(encoding="utf-8")
    code = (HERE / script).read_text(encoding="utf-8")
    # Nothing is asked for from anywhere, and of scripts and styles only these two count, whatever a song's tags hold.
    policy = (
        f"default-src 'none'; img-src data:; connect-src 'none'; style-src {_hash(style)}; script-src {_hash(code)};"
        " base-uri 'none'; form-action 'none'"
    )
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, clock=clock, told=told, base64=_base64)
    made = environment.get_template(template).stream(
        policy=policy, style=Markup(style), code=Markup(code), **values
    )  # in parts, since the previews are some megabytes
    with replacing(file) as partial, open(partial, "w", encoding="utf-8", newline="\n") as output:
        output.writelines(made)


def number(value: float | None, places: int = 1, none: str = "–") -> str:
    """With a real minus sign, and none before zero."""
    if value is None:
        return none
    text = f"{value:.{places}f}"
    return (MINUS if float(text) < 0 else "") + text.lstrip("-")


def clock(seconds: float) -> str:
    """4:05, or 1:04:05."""
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


def told(value: Any) -> str:
    """A cell of a table: a number, a list of names, or text as it is."""
    if isinstance(value, float):
        return number(value)
    return ", ".join(value) if isinstance(value, list | tuple) else str("" if value is None else value)


def image(content: bytes) -> str:
    """A data address for an image of any type; browsers look for themselves, but want some type to be named."""
    kind = "image/png" if content.startswith(b"\x89PNG") else "image/jpeg"
    return f"data:{kind};base64,{_base64(content)}"


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _hash(text: str) -> str:
    return f"'sha256-{_base64(hashlib.sha256(text.encode()).digest())}'"
