"""A long recording, whole and in segments: what splitting costs on one machine, where it gains nothing.

Fails unless the stems of all runs are the same to the last bit.
"""

import argparse
import hashlib
import tempfile
from pathlib import Path

import environment
import songs
import tables
from peers import STEMS, unbraid

CORES = 2


def digests(results: Path) -> dict[str, str]:
    """sha256 of each stem's file."""
    found = {}
    for stem in STEMS:
        with open(results / f"{stem}.wav", "rb") as file:
            found[stem] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--parts", type=int, nargs="+", default=[1, 12])
    tables.add_option(parser)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="unbraid-bench-") as folder:
        scratch = Path(folder)
        made = songs.make(scratch / "songs", arguments.minutes * 60, range(1))
        rows, first = [], (0.0, dict[str, str]())
        for parts in arguments.parts:
            tool = unbraid("cpu", CORES, {"segment_seconds": arguments.minutes * 60 / parts})
            place = scratch / str(parts)
            ended = tool.good(made, place)
            assert len(list((place / "logs/separate").rglob("*.log"))) == parts
            stems = digests(place / "results" / made[0].stem)
            first = first if rows else (ended.seconds, stems)
            assert stems == first[1], f"in {parts} segments the stems are others"
            cost = f"{ended.seconds / first[0]:.3f}"
            rows.append([f"{arguments.minutes:g}", parts, f"{ended.seconds:.0f}", cost, "the same"])
            print(*rows[-1], flush=True)
    text = tables.table(["minutes", "segments", "wall, s", "ratio", "stems"], rows)
    tables.publish("split", f"{text}\n\n{environment.describe()}", arguments.write)


if __name__ == "__main__":
    main()
