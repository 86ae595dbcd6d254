"""What a run tells its jobs on other machines of its songs.

Such a job makes the plan again, of the songs that it is for and no others, from what the run found: it looks neither for songs
nor at any (only whether given stems are still there), which thousands of jobs would do to one file system; and a song that has
changed or gone meanwhile is still the one that the run has planned.
"""

import dataclasses
import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from unbraid.audio.probe import Probe
from unbraid.errors import UnbraidError
from unbraid.files import read_json, replacing
from unbraid.plan import Plan, PlannedSong
from unbraid.run_note import folder
from unbraid.songs import Song

NAME = "songs.json"
Found = Probe | UnbraidError


def tell(plan: Plan) -> None:
    """Write down the songs of a plan, by what their jobs are called."""
    users = defaultdict(list)
    for name, made in plan.songs.items():
        for key in _keys(made):
            users[key].append(name)
    note = {
        "songs": {name: dataclasses.asdict(_row(plan, name)) for name in plan.rows},
        "probed": {path: _plain(found) for path, found in plan.probed.items()},
        "users": users,
    }
    with replacing(folder() / NAME) as partial:
        # Names of files need not be text: as escapes they are.
        partial.write_text(json.dumps(note), encoding="ascii")


def forget() -> None:
    (folder() / NAME).unlink(missing_ok=True)


def told(arguments: Iterable[str]) -> tuple[list[Song], Callable[[str], Found]] | None:
    """The songs that the jobs of a command line are for, and what the run knows of a file; None where it told of none.

    arguments: as Snakemake gives them to its jobs on other machines: `--target-jobs separate:key=…,part=0 report:song=…`.
    """
    try:
        note = read_json(folder() / NAME)
    except FileNotFoundError:
        return None
    names: dict[str, None] = {}
    for rule in _jobs(arguments):
        values = dict(pair.split("=", 1) for pair in rule.partition(":")[2].split(",") if "=" in pair)
        users = [values["song"]] if "song" in values else note["users"].get(values.get("key"), [])
        if not users:
            return None  # a job of another kind: whatever it needs is in the whole plan
        names.update(dict.fromkeys(users))
    songs = [Song(**note["songs"][name]) for name in names]
    return (songs, lambda path: _found(note["probed"][str(path)])) if songs else None


def _jobs(arguments: Iterable[str]) -> list[str]:
    given = list(arguments)
    if "--target-jobs" not in given:
        return []
    rest = given[given.index("--target-jobs") + 1 :]
    end = next((at for at, word in enumerate(rest) if word.startswith("--")), len(rest))
    return rest[:end]


def _row(plan: Plan, name: str) -> Song:
    """As it was given, with the files that were found in its folders of stems."""
    row, made = plan.rows[name], plan.songs[name]
    if made.mix.problem:
        return row
    haves = "; ".join(one.path for one in made.haves.values())
    references = "; ".join(one.path for one in made.references.values())
    return dataclasses.replace(row, have=haves or row.have, references=references or row.references)


def _keys(made: PlannedSong) -> set[str]:
    """Of all jobs that make the song."""
    keys = {made.mix.key, *(one.key for one in made.ensembles.values())}
    keys |= {one.key for one in (*made.haves.values(), *made.references.values())}
    for one in made.separations.values():
        keys |= {one.key, one.work, one.segments.key, *filter(None, [one.prompt])}
    return keys


def _plain(found: Any) -> dict[str, Any]:
    if isinstance(found, UnbraidError):
        return {"error": found.what, "remedy": found.remedy}
    return dataclasses.asdict(found)


def _found(plain: dict[str, Any]) -> Found:
    if "error" in plain:
        return UnbraidError(plain["error"], remedy=plain["remedy"])
    return Probe(**plain)
