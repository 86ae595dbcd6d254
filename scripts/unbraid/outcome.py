"""What became of a song, in a few lines: `python -m unbraid.outcome results/song`."""

import sys
from pathlib import Path

from unbraid.files import read_json


def lines(folder: Path) -> list[str]:
    """Where the stems of a delivered song are, how long it took and how much faster than real time that is."""
    quality = read_json(folder / "qc.json")
    taken = sum(stage["seconds"] for stage in quality["seconds"].values() if not stage["reused"])
    reused = any(stage["reused"] for stage in quality["seconds"].values())
    speed = quality["real_time_factor"]
    told = [
        f"{quality['song']}: {quality['audio_seconds']:.1f} s of audio, preset {quality['preset']}, "
        + (f"{', '.join(quality['models'])} on {', '.join(quality['devices'])}" if quality["models"] else "no model"),
        f"  took {taken:.1f} s{' (the separation was in the store already)' if reused else ''}"
        + (f", real-time factor {speed:.2f} (seconds of audio per second)" if speed else ""),
    ]
    for stem, measured in quality["stems"].items():
        peak = "silent" if measured["peak_dbfs"] is None else f"peak {measured['peak_dbfs']:+.1f} dBFS"
        file = folder / f"{stem}.{quality['format']}"
        have = f" (yours: {quality['have'][stem]['path']})" if stem in quality["have"] else ""
        told.append(f"  {file}  {peak}{have}")
    for residual in quality["residuals"]:
        level = "exactly 0" if residual["exact"] else _decibels(residual["residual_db"], 1)
        told.append(f"  mix − ({' + '.join(residual['stems'])}) = {level}")
    for stem, score in quality["metrics"].items():
        told.append(
            f"  SDR of {stem}: {_decibels(score['sdr'])} (of the mix as it was: {_decibels(score['mix']['sdr'])})"
        )
    return told + [f"  note: {notice}" for notice in quality["notices"]]


def _decibels(level: float | None, places: int = 2) -> str:
    return "no number" if level is None else f"{level:.{places}f} dB"


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        print(*lines(Path(argument)), sep="\n")
