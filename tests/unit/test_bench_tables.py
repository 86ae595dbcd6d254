"""The tables of docs/benchmarks.md are put there by the commands that measure them."""

import re
from pathlib import Path

import pytest
from bench import tables

HOME = Path(__file__).parents[2]
DOCUMENT = "a\n\n<!-- table: one -->\n\nold\n\n<!-- end -->\n\nb\n\n<!-- table: two -->\n\nkept\n\n<!-- end -->\n"


def test_a_table_replaces_the_one_of_its_name_and_nothing_else():
    text = tables.table(["x", "y"], [[1, "\\2"]])
    assert text == "| x | y |\n| --- | --- |\n| 1 | \\2 |"
    assert tables.replaced(DOCUMENT, "one", text) == DOCUMENT.replace("old", text)
    assert tables.replaced(DOCUMENT, "two", "old") == DOCUMENT.replace("kept", "old")


def test_an_unknown_table_is_an_error():
    with pytest.raises(KeyError, match="three"):
        tables.replaced(DOCUMENT, "three", "text")


def test_the_document_has_a_place_for_every_table():
    document = (HOME / "docs/benchmarks.md").read_text(encoding="utf-8")
    places = re.findall(r"<!-- table: (.+) -->", document)
    assert len(places) == len(set(places)) == document.count("<!-- end -->")
    made = {
        "song",
        "batch",
        "added",
        "song-cuda",
        "batch-cuda",
        "songs-cuda",
        "quality-cuda",
        "stages",
        "chunk",
        "planning",
        "quality",
        "estimate",
        "page",
        "split",
        "scheduling",
    }
    assert set(places) == made | {"memory-network", "memory-peers", "memory-stages"}
