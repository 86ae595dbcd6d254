"""What a run does beside its jobs: it says which keys of the store it needs, notes what it used, and keeps the store's limits."""

import shutil
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from unbraid import leases, lock, run_note, sent, store
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
        self.began = False

    @property
    def notes(self) -> bool:
        """Whether the store takes what the run has to note."""
        return self._lease is not None

    def begin(self, coming: Collection[str], songs: Iterable[str], *, limits: Mapping[str, int] | None = None) -> None:
        """Take the working directory, lease the keys, and note which are used that were there. Not for runs that do nothing
        for songs: they need no key, and go on beside others.

        coming: the keys that this run is to put into the store, which it then must be able to. songs: that it delivers.
        limits: where its jobs are sent to other machines, those of an allocation.
        Raises: UnbraidError when that cannot be, or a key has just gone.
        """
        lock.hold(Path(".snakemake/unbraid.lock"))
        made: dict[str, Separation | PlannedEnsemble] = {**self._plan.separations, **self._plan.ensembles}
        complete = sorted(key for key, one in made.items() if one.complete)
        try:
            self._lease = Lease(self._store, made)
        except OSError as error:
            if coming:
                raise UnbraidError(
                    f"The store {self._store} cannot be written ({error.strerror or error}), and {len(coming)} key(s) that this"
                    " run needs are not in it.",
                    remedy="See who may write to it, or set store= to a folder of your own.",
                ) from error
        self._check(complete)
        try:
            run_note.tell(self._lease.name if self._lease else "", complete, limits)
            if limits is not None:
                sent.tell(self._plan)
        except OSError as error:
            raise UnbraidError(
                f"{run_note.folder()} cannot be written ({error.strerror or error}), where the run's jobs are told what it found.",
                remedy="See who may write there.",
            ) from error
        if self._lease:
            self._record(songs, hit=True)
            with suppress(OSError):
                leases.leased(self._store, tidy=True)
                run_note.tidy(self._store)
        if self._config.keep != "all":
            self._tidy()
        self.began = True

    def _check(self, complete: Iterable[str]) -> None:
        gone, limit = list(complete), time.monotonic() + PATIENCE
        while gone := [key for key in gone if not store.there(self._store, key)]:
            if time.monotonic() > limit:
                if self._lease:
                    self._lease.end()
                raise UnbraidError(
                    f"{len(gone)} key(s) were removed from the store {self._store} while this run was being planned.",
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
                    shutil.rmtree(run_note.WORK / folder, ignore_errors=True)

    def end(self, songs: Collection[str]) -> None:
        """Note what the songs that were delivered are made of, give up the lease, and remove what is over the store's limits.

        Without a song nothing is removed: that may have been somebody who only wants to see what would be.
        """
        sent.forget()
        run_note.forget()
        if self._lease is None:
            self._warn(
                f"The store {self._store} cannot be written: no use and no speed is noted there, and no limit kept."
            )
            return
        from unbraid import cleaning  # not every parse of the Snakefile comes here

        try:
            self._record(songs, hit=False)
            self._lease.end()
            limits = cleaning.bounds(self._config, age=False)
            used = {key for song in songs for key in self._plan.songs[song].kept}
            if songs and limits and (gone := cleaning.keep_to(self._store, limits, used)):
                self._tell(gone)
        except OSError as error:
            with suppress(OSError):
                self._lease.end()
            self._warn(f"The store {self._store} could not be kept in order: {error}")

    def _record(self, songs: Iterable[str], *, hit: bool) -> None:
        """Note the keys that the songs are made of: those that were there before, or those that were made."""
        if not self._config.track_access:
            return
        uses = {key: song for song in songs for key, before in self._plan.songs[song].kept.items() if before is hit}
        try:
            store.record(self._store, [(key, song, hit) for key, song in uses.items()])
        except OSError as error:
            self._warn(
                f"Some uses cannot be noted in the store {self._store} ({error}); its other users may need `umask 002`."
            )
