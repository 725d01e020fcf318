"""Finding entries by a description, counting and awaiting them, and the nearest where none fits.

A description is JSON: ``method``, ``path`` (``*`` stands for anything), ``operation``, ``user``,
``prompt``, ``model``, ``mode``, ``status``, ``header`` (name to value, null for "absent") and
``json`` (a part of the body). What it leaves out may be anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from heapq import heappop, heappush
from typing import Any, NamedTuple, TypeVar

from dify_wire.strict import Field
from fake_server.journal.entry import Entry
from fake_server.journal.exchanges import Journal

T = TypeVar("T")

MISSING = "(missing)"
"""Shown for what is not there."""

_TOGETHER = 32
"""So many entries are looked at before the server's other tasks go on."""

_TURN_S, _PAUSE_S = 0.000_5, 0.000_1

_COMPARED_CHARACTERS = 200
"""The similarity of two strings is that of their beginnings."""


class Difference(NamedTuple):
    """A field in which an entry does not fit its description."""

    field: str
    wanted: Any
    got: Any


class Match(NamedTuple):
    """A checked description."""

    fields: Mapping[str, Any]
    texts: tuple[bytes, ...] = ()
    """Strings that have to stand in the body."""

    def differences(self, entry: Entry) -> list[Difference]:
        """Empty where ``entry`` matches."""
        return list(self._differences(entry))

    def fits(self, entry: Entry) -> bool:
        """Whether ``entry`` matches."""
        body = entry.body
        if b"\\" not in body and b"\0" not in body:  # then a string stands there as it is, in UTF-8
            for text in self.texts:
                if text not in body:
                    return False
        return next(self._differences(entry), None) is None

    def _differences(self, entry: Entry) -> Iterator[Difference]:
        for name, wanted in self.fields.items():
            yield from _differences(name, wanted, entry)


def _input(entry: Entry, name: str) -> Any:
    inputs = entry.json_field("inputs")
    return inputs.get(name) if isinstance(inputs, dict) else None


_VALUES: Mapping[str, Callable[[Entry], Any]] = {
    "method": lambda entry: entry.scope["method"],
    "path": lambda entry: entry.scope["path"],
    "operation": lambda entry: entry.operation,
    "user": lambda entry: entry.user(),
    "prompt": lambda entry: _input(entry, "prompt"),
    "model": lambda entry: _input(entry, "model_name"),
    "mode": lambda entry: entry.json_field("response_mode"),
    "status": lambda entry: entry.status,
}
_STRINGS = ("prompt", "model", "mode")
FIELDS = (*_VALUES, "header", "json")


def _value_error(path: str, message: str) -> ValueError:
    return ValueError(f"{path}: {message}")


def read_match(fields: Any, error: Callable[[str, str], Exception] = _value_error) -> Match:
    """A checked description; ``error`` is raised with path and message."""
    match = Field(fields, "match", error=error).only(*FIELDS)
    for name, value in match.items():
        if name == "status":
            value.whole()
        elif name == "header":
            for header in value.mapping():
                if value.value[header] is not None:
                    value[header].text(expected="a string, or null for absent")
        elif name != "json":
            value.text()
    texts = (match[name].value for name in _STRINGS if name in match)
    return Match(match.mapping(), tuple(text.encode("utf-8", "surrogatepass") for text in texts))


def _differences(name: str, wanted: Any, entry: Entry) -> Iterator[Difference]:
    if name == "json":
        yield from _part_differences(name, wanted, entry.json())
    elif name == "header":
        for header, value in wanted.items():
            key = header.lower().encode("latin-1", "replace")
            sent = [one.decode("latin-1") for known, one in entry.scope["headers"] if known == key]
            if (value is None and sent) or (value is not None and value not in sent):
                yield Difference(f"header.{header}", value, ", ".join(sent) if sent else MISSING)
    else:
        got = _VALUES[name](entry)
        if name == "method":
            fits = wanted.upper() == got
        elif name == "path":
            fits = fnmatchcase(got, wanted.replace("[", "[[]"))
        else:
            fits = _equal(wanted, got)
        if not fits:
            yield Difference(name, wanted, MISSING if got is None else got)


def _part_differences(name: str, wanted: Any, got: Any) -> Iterator[Difference]:
    """An object fits if each of its wanted names does; anything else has to be equal."""
    if not isinstance(wanted, dict) or not isinstance(got, dict):
        if not _equal(wanted, got):
            yield Difference(name, wanted, got)
        return
    for key, value in wanted.items():
        if key in got:
            yield from _part_differences(f"{name}.{key}", value, got[key])
        else:
            yield Difference(f"{name}.{key}", value, MISSING)


def _equal(wanted: Any, got: Any) -> bool:
    """Equal as in JSON: true is not 1."""
    return bool(wanted == got) and isinstance(wanted, bool) == isinstance(got, bool)


class Nearest(NamedTuple):
    """The entry that differs the least, and where."""

    entry: Entry
    differences: list[Difference]


def matching(journal: Journal, match: Match, since: int = 0) -> list[Entry]:
    """The complete requests above ``since`` that match, oldest first."""
    return [
        entry for entry in journal.entries(since) if entry.request_complete and match.fits(entry)
    ]


def nearest_entry(journal: Journal, match: Match, since: int = 0) -> Nearest | None:
    """The entry above ``since`` that differs the least without matching, the newest of several."""
    best: Nearest | None = None
    least = math.inf
    for entry in in_turns(reversed(journal.entries(since))):
        differences = match.differences(entry)
        if differences and (distance := _distance(differences)) < least:
            best, least = Nearest(entry, differences), distance
    return best


def in_turns(entries: Iterable[T]) -> Iterator[T]:
    """``entries``, for a thread that has more to do with them than the server's own can wait for.

    A thread that only computes lets another one go on every 5 ms; this one does so more often.
    """
    since = time.perf_counter()
    for entry in entries:
        yield entry
        if time.perf_counter() - since > _TURN_S:
            time.sleep(_PAUSE_S)
            since = time.perf_counter()


def _distance(differences: list[Difference]) -> float:
    """A missing field counts 2, another value 1, a similar string less."""
    import difflib  # a server that starts does not need it

    distance = 0.0
    for one in differences:
        distance += 2.0 if one.got is MISSING else 1.0
        if one.got is not MISSING and isinstance(one.wanted, str) and isinstance(one.got, str):
            wanted, got = one.wanted[:_COMPARED_CHARACTERS], one.got[:_COMPARED_CHARACTERS]
            distance -= 0.9 * difflib.SequenceMatcher(None, wanted, got).ratio()
    return distance


class _Search:
    """The entries above ``since`` that match. Each is looked at when it changes, whatever else the
    journal has; ``wake`` is called in the server's thread when there are ``count`` of them.
    """

    def __init__(
        self, journal: Journal, match: Match, count: int, since: int, wake: Callable[[], None]
    ) -> None:
        self._journal, self._match, self._count, self._since = journal, match, count, since
        self._wake = wake
        self._found: dict[int, Entry] = {}
        self._numbers: list[int] = []
        """A heap of the numbers of what was found, and perhaps of more."""
        self._lock = threading.Lock()

    def __enter__(self) -> _Search:
        self._journal.watch(self, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        self._journal.unwatch(self)

    def _note(self, entry: Entry | None) -> None:
        if entry is None or (self.look_at(entry) and self.over):
            self._wake()

    def look_at(self, entry: Entry) -> bool:
        """Whether ``entry`` matches as it is now; keeps it then."""
        number = entry.number
        with self._lock:
            fits = number > self._since and entry.request_complete and self._match.fits(entry)
            if not fits:
                self._found.pop(number, None)
            elif number not in self._found:
                self._found[number] = entry
                heappush(self._numbers, number)
        return fits

    @property
    def over(self) -> bool:
        """Whether there is nothing to wait for any more."""
        with self._lock:
            while self._numbers and self._numbers[0] <= self._journal.last_discarded:
                self._found.pop(heappop(self._numbers), None)
            return len(self._found) >= self._count or self._journal.closed

    def found(self) -> list[Entry]:
        """What matches now, oldest first."""
        with self._lock:
            return [entry for _, entry in sorted(self._found.items()) if not entry.discarded]


async def await_matching(
    journal: Journal, match: Match, count: int, since: int, timeout_s: float
) -> list[Entry]:
    """Wait in the server's own loop until ``count`` entries match, at most ``timeout_s`` of real
    time.

    Returns those that match then, be they fewer. Ends early when the server does.
    """
    changed = asyncio.Event()
    with _Search(journal, match, count, since, changed.set) as search:
        for number, entry in enumerate(journal.entries(since), 1):
            search.look_at(entry)
            if number % _TOGETHER == 0:
                await asyncio.sleep(0)  # a full journal takes long enough to make streams late
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not search.over:
                    changed.clear()
                    await changed.wait()
    return search.found()


def wait_matching(
    journal: Journal, match: Match, count: int, since: int, timeout_s: float
) -> list[Entry]:
    """The same from a thread that is not the server's."""
    changed = threading.Event()
    deadline = time.monotonic() + timeout_s
    with _Search(journal, match, count, since, changed.set) as search:
        for entry in journal.entries(since):
            search.look_at(entry)
        while not search.over and changed.wait(max(deadline - time.monotonic(), 0)):
            changed.clear()
    return search.found()
