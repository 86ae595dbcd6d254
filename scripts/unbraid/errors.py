"""Errors for people: what happened, to which song, at which stage, and what to do about it."""

import difflib
from collections.abc import Iterable


class UnbraidError(Exception):
    """An error that a user can act on.

    what: one sentence that says what happened.
    remedy: one sentence that says what to do.
    song, stage: where it happened; the job fills them in when the place that raises cannot know them.
    """

    def __init__(self, what: str, *, remedy: str, song: str | None = None, stage: str | None = None):
        super().__init__(what)
        self.what = what
        self.remedy = remedy
        self.song = song
        self.stage = stage

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (self.what, self.remedy, self.song, self.stage)

    def __str__(self) -> str:
        where = ", ".join(
            part for part in (self.song and f"song {self.song!r}", self.stage and f"stage {self.stage}") if part
        )
        return f"{where + ': ' if where else ''}{self.what} {self.remedy}"


class UnavailableError(Exception):
    """A place that does not give a file of weights; trying it again would not help."""


def _rebuild(what: str, remedy: str, song: str | None, stage: str | None) -> UnbraidError:
    return UnbraidError(what, remedy=remedy, song=song, stage=stage)


def suggest(name: str, known: Iterable[str]) -> str:
    """The remedy for an unknown name: the nearest known one, or else what is known.

    >>> suggest("vocal", ["vocals", "drums"])
    "Did you mean 'vocals'?"
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"Did you mean {near[0]!r}?"
    listed = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    return f"Known: {listed or 'none'}."
