"""Tables go from the command that measured them into docs/benchmarks.md, so that no number is typed by hand."""

import argparse
import re
from collections.abc import Iterable
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def table(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A table in Markdown."""
    head = list(columns)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def replaced(document: str, name: str, text: str) -> str:
    """`document` with `text` between `<!-- table: name -->` and the next `<!-- end -->`. Raises: KeyError without them."""
    begin, end = f"<!-- table: {name} -->\n", "<!-- end -->"
    place = re.compile(f"({re.escape(begin)}).*?({end})", re.DOTALL)
    changed, count = place.subn(lambda found: f"{found[1]}\n{text.strip()}\n\n{found[2]}", document)
    if count != 1:
        raise KeyError(name)
    return changed


def add_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md")


def publish(name: str, text: str, write: bool) -> None:
    """Print a table; with `write`, put it into the document as well."""
    print(text, flush=True)
    if write:
        document = DOCS / "benchmarks.md"
        document.write_text(replaced(document.read_text(encoding="utf-8"), name, text), encoding="utf-8")
