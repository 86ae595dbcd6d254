"""From the configuration as Snakemake read it to the plan: what `rules/common.smk` calls."""

import dataclasses
import functools
import importlib.util
import os
import platform
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tqdm import tqdm

from unbraid import catalogue, presets, recipes, run_note, sent
from unbraid.audio.probe import Probes
from unbraid.config import Config, load
from unbraid.errors import UnbraidError
from unbraid.models import Models
from unbraid.plan import Plan, Planner
from unbraid.songs import Song, collect
from unbraid.store import complete_in

DEMO = "demo"


def set_up(
    raw: dict[str, Any],
    home: Path,
    *,
    look: bool,
    warn: Callable[[str], object],
    results: str = "results",
    others: Iterable[str] = ("work", "logs"),
) -> tuple[Config, Plan, list[str]]:
    """The checked configuration, the plan of all songs and the demo song, and the ids of the user's songs.

    home: the folder of the Snakefile, whose config/ ships the catalogue, recipes and presets; files of the same names
    in the working directory's config/ add to them. look: whether to look at what the store holds; what the run has seen
    there serves its jobs. Where it does not look, and the run has told of its songs, the plan is of those that this
    process's jobs are for. results, others: folders of unbraid's own, in which no songs are.
    """
    config = load(raw)
    folders = config_folders(home)

    def files(name: str) -> list[Path]:
        return [path for folder in folders if (path := folder / name).is_file()]

    models = Models(folders)
    written = recipes.load(files("recipes.yaml"))
    known_presets = presets.load(files("presets.yaml"))
    probes = Probes(Path(config.store) / "probes")
    if not look:
        run_note.check()
    known = None if look else sent.told(sys.argv[1:])
    find_model = functools.cache(lambda name: _pinned(models.find(name), probes))
    planner = Planner(
        config,
        model=find_model,
        recipe=functools.cache(lambda name: recipes.compile_recipe(name, recipes.find(written, name), find_model)),
        preset=functools.cache(lambda name: presets.choose(known_presets, name, config)),
        probe=known[1] if known else probes.get,
        complete=_complete(config, look=look),
        results=Path(results),
    )
    if known:
        return config, planner.compile(known[0]), [song.id for song in known[0]]
    ours = [Path(name) for name in (results, *others, config.store, config.models)]
    songs, strange = collect(config.songs, skip=ours)
    if look and strange:
        named = ", ".join(path.name for path in strange[:3]) + (", …" if len(strange) > 3 else "")
        warn(f"Passed over {len(strange)} file(s) in {config.songs} that are not audio or video by name: {named}")
    if look and not songs:
        warn(f"There are no songs in {config.songs!r} yet: put audio files there, or try the target `demo`.")
    wanted = [song.id for song in songs]
    demo = [] if DEMO in wanted else [Song(DEMO, demo_path())]
    # A song that is seen for the first time is hashed, which takes a while for a large folder.
    shown = tqdm([*songs, *demo], "reading songs", unit="song", delay=2, leave=False, disable=None if look else True)
    return config, planner.compile(shown), wanted


def _complete(config: Config, *, look: bool) -> Callable[[str, tuple[str, ...]], bool]:
    if not config.reuse:
        return lambda key, stems: False
    if look:
        return complete_in(Path(config.store))
    seen = run_note.reused()
    if seen is None:
        return complete_in(Path(config.store))
    return lambda key, stems: key in seen


def found_by_jobs(folder: Path) -> None:
    """The library in this folder is found by all processes that this one starts."""
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))


def config_folders(home: Path) -> list[Path]:
    """Where catalogues, recipes and presets are looked for: what ships first, then what the working directory adds."""
    own = Path("config")
    return [home / "config"] if own.resolve() == (home / "config").resolve() else [home / "config", own]


def stack(device: str, backend: str = "") -> str:
    """Which of envs/ serves a device and a backend; `auto` takes the one that can use this kind of machine's GPU."""
    system = {"Linux": "cuda", "Darwin": "mlx"}.get(platform.system(), "cpu")
    named = {"auto": system, "cpu": "cpu", "mps": "mlx", "mlx": "mlx"}
    found = named.get(device, "cuda")
    # SAM-Audio's torch code asks for versions that the others cannot live with.
    return "cuda-sam-audio" if (found, backend) == ("cuda", "sam_audio") else found


def demo_path() -> str:
    """Where stempeg's example song is installed; found without importing stempeg."""
    spec = importlib.util.find_spec("stempeg")
    found = sorted(Path(spec.origin).parent.glob("data/*.stem.mp4")) if spec and spec.origin else []
    return str(found[0]) if found else "demo song (pip install stempeg)"


def _pinned(model: catalogue.Model, probes: Probes) -> catalogue.Model:
    """The model with the sha256 of its local checkpoints filled in from their bytes."""

    def source(written: catalogue.Source) -> catalogue.Source:
        if written.kind != "file" or written.sha256 is not None:
            return written
        digest = probes.sha256(Path(written.location).expanduser())
        if isinstance(digest, UnbraidError):
            raise digest
        return dataclasses.replace(written, sha256=digest)

    weights = tuple(
        dataclasses.replace(entry, sources=tuple(source(one) for one in entry.sources)) for entry in model.weights
    )
    return dataclasses.replace(model, weights=weights)
