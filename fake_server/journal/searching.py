"""Finding, counting and awaiting entries that match, and the nearest where there is none."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fake_server.journal.entry import Entry
from fake_server.journal.matching import MISSING, Difference, Match
from fake_server.journal.ring import Journal

_COMPARED = 200
"""Of texts only so many characters say how far they are apart."""


@dataclass(frozen=True, slots=True)
class Nearest:
    """The entry that differs the least, and where."""

    entry: Entry
    differences: list[Difference]


def matching(journal: Journal, match: Match, since: int = 0) -> list[Entry]:
    """The entries above ``since`` that match, oldest first; a request counts once the host has
    heard all of it.
    """
    return [
        entry for entry in journal.entries(since) if entry.heard and not match.differences(entry)
    ]


def nearest(journal: Journal, match: Match, since: int = 0) -> Nearest | None:
    """The entry above ``since`` that all but matches, of several the newest; None where there is no
    entry.
    """
    best: Nearest | None = None
    for entry in reversed(journal.entries(since)):
        differences = match.differences(entry)
        if differences and (best is None or _distance(differences) < _distance(best.differences)):
            best = Nearest(entry, differences)
    return best


def _distance(differences: list[Difference]) -> float:
    """A field that is not there is further off than one that is other, and a text the further the
    less it is alike.
    """
    return sum(
        2.0 if one.got is MISSING else 1.0 - _likeness(one.wanted, one.got) for one in differences
    )


def _likeness(wanted: Any, got: Any) -> float:
    """From 0 to nearly 1."""
    if not isinstance(wanted, str) or not isinstance(got, str):
        return 0.0
    return 0.9 * difflib.SequenceMatcher(None, wanted[:_COMPARED], got[:_COMPARED]).ratio()


class _Search:
    """The entries above ``since`` that match, kept up to date: an entry that changes is looked at,
    not the whole ring.

    ``wake`` is called in the server's thread when there is something to look at.
    """

    def __init__(
        self, journal: Journal, match: Match, since: int, wake: Callable[[], None]
    ) -> None:
        self._journal, self._match, self._since, self._wake = journal, match, since, wake
        self._found: dict[int, Entry] = {}
        self._changed: deque[Entry] = deque()

    def __enter__(self) -> _Search:
        self._journal.watch(self, self._note)
        self._changed.extend(self._journal.entries(self._since))
        return self

    def __exit__(self, *_: object) -> None:
        self._journal.unwatch(self)

    def _note(self, entry: Entry | None) -> None:
        if entry is not None:
            self._changed.append(entry)
        self._wake()

    def found(self) -> list[Entry]:
        """What matches now, oldest first."""
        while self._changed:
            entry = self._changed.popleft()
            if entry.heard and entry.number > self._since and not self._match.differences(entry):
                self._found[entry.number] = entry
            else:
                self._found.pop(entry.number, None)
        return [entry for _, entry in sorted(self._found.items()) if not entry.forgotten]


async def await_matching(
    journal: Journal, match: Match, count: int, since: int, timeout_s: float
) -> list[Entry]:
    """Wait in the server's own loop until ``count`` entries match, at most ``timeout_s`` of real
    time.

    Returns those that match then, be they fewer. Ends early when the server does.
    """
    changed = asyncio.Event()
    with _Search(journal, match, since, changed.set) as search, contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            while len(search.found()) < count and not journal.closed:
                changed.clear()
                await changed.wait()
    return search.found()


def wait_matching(
    journal: Journal, match: Match, count: int, since: int, timeout_s: float
) -> list[Entry]:
    """The same from a thread that is not the server's."""
    changed = threading.Event()
    deadline = time.monotonic() + timeout_s
    with _Search(journal, match, since, changed.set) as search:
        while len(search.found()) < count and not journal.closed:
            if not changed.wait(max(deadline - time.monotonic(), 0)):
                break
            changed.clear()
    return search.found()
