"""What a run does beside its jobs: it says which keys of the store it needs, notes what it used, and keeps the store's limits."""

import shutil
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from unbraid import lock, run_note, store
from unbraid.config import Config
from unbraid.errors import UnbraidError
from unbraid.leases import Lease
from unbraid.plan import Plan, PlannedEnsemble, Separation

PATIENCE = 3.0  # seconds for which a key may be out of the store until its remover sees that it is needed


class Run:
    """One run of Snakemake that has jobs to do; not a dry run."""

    def __init__(
        self, config: Config, plan: Plan, warn: Callable[[str], object], tell: Callable[[str], object]
    ) -> None:
        self._config, self._plan, self._warn, self._tell = config, plan, warn, tell
        self._store = Path(config.store)
        self._lease: Lease | None = None

    def begin(self, coming: Collection[str], *, songs: bool) -> None:
        """Take the working directory and lease the keys. Raises: UnbraidError when that cannot be, or a key has just gone.

        coming: the keys that this run is to put into the store, which it then must be able to. songs: whether it is to do
        anything for songs; else it needs no key, such as one that only cleans.
        """
        lock.hold(Path(".snakemake/unbraid.lock"))
        made: dict[str, Separation | PlannedEnsemble] = {}
        if songs:
            made = {**self._plan.separations, **self._plan.ensembles}
        complete = sorted(key for key, one in made.items() if one.complete)
        try:
            self._lease = Lease(self._store, made)
        except OSError as error:
            if coming:
                raise UnbraidError(
                    f"The store {self._store} cannot be written ({error.strerror or error}), and {len(coming)} keys that this"
                    " run needs are not in it.",
                    remedy="See who may write to it, or set store= to a folder of your own.",
                ) from error
        self._check(complete)
        run_note.tell(self._lease.name if self._lease else "", complete)
        if self._config.keep != "all":
            self._tidy()

    def _check(self, complete: Iterable[str]) -> None:
        gone, limit = list(complete), time.monotonic() + PATIENCE
        while gone := [key for key in gone if not store.there(self._store, key)]:
            if time.monotonic() > limit:
                if self._lease:
                    self._lease.end()
                raise UnbraidError(
                    f"{len(gone)} keys were removed from the store {self._store} while this run was being planned.",
                    remedy="Run again: they are made again.",
                )
            time.sleep(0.1)

    def _tidy(self) -> None:
        """Delete what a run that was killed has left of keys that it had already put into the store."""
        made = self._plan.separations.values()
        needed = {one.segments.key for one in made if not one.complete}
        for one in made:
            if one.complete:
                left = [f"stems/{one.key}", f"separated/{one.work}"]
                left += [f"segments/{one.segments.key}"] if one.segments.key not in needed else []
                for folder in left:
                    shutil.rmtree(run_note.NOTE.parent / folder, ignore_errors=True)

    def end(self, songs: Collection[str]) -> None:
        """Note what the songs that were delivered are made of, give up the lease, and remove what is over the store's limits.

        Without a song nothing is removed: that may have been somebody who only wants to see what would be.
        """
        run_note.forget()
        if self._lease is None:  # nothing can be written there
            return
        from unbraid import cleaning  # not every parse of the Snakefile comes here

        try:
            if self._config.track_access:
                uses = [(key, song, before) for song in songs for key, before in self._plan.songs[song].kept.items()]
                store.record(self._store, uses)
            self._lease.end()
            limits = cleaning.bounds(self._config, age=False)
            if songs and limits and (gone := cleaning.keep_to(self._store, limits)):
                self._tell(gone)
        except OSError as error:
            self._warn(f"The store {self._store} could not be kept in order: {error}")
