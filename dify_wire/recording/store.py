"""Which recorded request is the one that is asked, and what comes close where none is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from dify_wire.exchange import Recording
from dify_wire.printable import printable
from dify_wire.recording.matching import MATCHERS, Difference, Matcher, RequestKey, short
from dify_wire.redaction.exchange import DECODED, RULES, RecordingRedactor
from dify_wire.redaction.pseudonyms import GONE
from dify_wire.redaction.rules import KINDS, RuleError, parse_rule

AFTER_LAST = ("repeat", "miss")
"""What the next same request gets when every recorded answer was given: the last one again, or
none.
"""

_LONG_BODY = 64 << 10
_MOST_NEAREST = 3

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class NearMiss(Generic[T_co]):
    """A recorded answer that is not the one asked for, and why not."""

    answer: T_co
    recorded: RequestKey
    differences: tuple[Difference, ...]

    def __str__(self) -> str:
        asked = f"{self.recorded.request.method} {short(self.recorded.request.path)}"
        name = printable(getattr(self.answer, "label", ""))
        return f"{name} ({asked}): " + "; ".join(map(str, self.differences)) if name else asked


class NotRecordedError(LookupError):
    """What was asked has no recorded answer, or no further one: ``given`` were there. ``nearest``
    come close.
    """

    def __init__(self, key: RequestKey, given: int, nearest: Sequence[NearMiss[object]]) -> None:
        self.key = key
        self.given = given
        self.nearest = tuple(nearest)
        super().__init__(str(self))

    def __str__(self) -> str:
        asked = f"{printable(self.key.request.method)} {short(self.key.request.path)}"
        if self.given:
            return f"{asked}: all {self.given} recorded answers were given"
        return "\n  nearest: ".join(
            [f"{asked} with this body was not recorded", *map(str, self.nearest)]
        )


class RecordingStore(Generic[T]):
    """Recorded answers by their requests: of several same requests the n-th gets the n-th answer.

    ``after_last`` says what comes then (``AFTER_LAST``), ``gappy`` are recorded requests out of
    which something was taken that anything may stand for. May be used from several threads.
    """

    def __init__(
        self,
        entries: Iterable[tuple[RequestKey, T]],
        matchers: Sequence[Matcher] = MATCHERS,
        after_last: str = "repeat",
        ready: Callable[[RequestKey], RequestKey] = lambda key: key,
        gappy: Sequence[RequestKey] = (),
    ) -> None:
        self._matchers = tuple(matchers)
        self._after_last = after_last
        self._ready = ready
        self._gappy = gappy
        self._entries = [(key, self._identity(key), answer) for key, answer in entries]
        self._answers: dict[Hashable, list[T]] = {}
        for _, identity, answer in self._entries:
            self._answers.setdefault(identity, []).append(answer)
        self._turns: dict[Hashable, int] = {}
        self._lock = threading.Lock()

    def next(self, key: RequestKey) -> T:
        """The next answer to ``key``. Raises ``NotRecordedError``."""
        key = self._ready(key)
        identity = self._known(key)
        answers = self._answers.get(identity)
        if answers is None:
            raise NotRecordedError(key, 0, self._nearest(key, identity))
        with self._lock:
            turn = self._turns.get(identity, 0)
            self._turns[identity] = turn + 1
        if turn >= len(answers) and self._after_last == "miss":
            raise NotRecordedError(key, len(answers), ())
        return answers[min(turn, len(answers) - 1)]

    def knows(self, key: RequestKey) -> bool:
        """Whether an answer to ``key`` was recorded, given already or not."""
        return self._known(self._ready(key)) in self._answers

    def nearest(self, key: RequestKey) -> list[NearMiss[T]]:
        """The recordings that come closest to ``key``, the closest first."""
        return self._nearest(key, self._identity(key))

    def _nearest(self, key: RequestKey, asked: tuple[Hashable, ...]) -> list[NearMiss[T]]:
        misses = []
        for recorded, identity, answer in self._entries:
            sizes = len(recorded.request.body), len(key.request.body)
            parts = zip(self._matchers, identity, asked, strict=True)
            found = (
                one
                for matcher, ours, theirs in parts
                for one in _differences(matcher, ours, theirs, sizes)
            )
            misses.append(NearMiss(answer, recorded, tuple(found)))
        return sorted(misses, key=_distance)[:_MOST_NEAREST]

    def rewound(self) -> RecordingStore[T]:
        """The same recordings, of which nothing has been asked yet."""
        again: RecordingStore[T] = RecordingStore(
            (), self._matchers, self._after_last, self._ready, self._gappy
        )
        again._entries, again._answers = self._entries, self._answers
        return again

    def _known(self, asked: RequestKey) -> tuple[Hashable, ...]:
        """The identity of the recorded request that ``asked`` is; its own where there is none.

        A rule may have taken out of a request what only its response gave away, which nobody knows
        who asks.
        """
        identity = self._identity(asked)
        if identity in self._answers or len(asked.request.body) > _LONG_BODY:
            return identity
        fitting = (
            one
            for one in self._gappy
            if all(matcher.fits(one, asked) for matcher in self._matchers)
        )
        return next(map(self._identity, fitting), identity)

    def _identity(self, key: RequestKey) -> tuple[Hashable, ...]:
        return tuple(matcher.part(key) for matcher in self._matchers)


def recording_store(
    recordings: Sequence[Recording],
    after_last: str = "repeat",
    keys: Mapping[str, str] | None = None,
) -> RecordingStore[Recording]:
    """A library for a replay. What the recorder took out of requests by a team's rules is taken out
    of the asked ones too, and ``keys``, each with its app's label, are read as the recordings write
    them."""
    entries = [
        (RequestKey(recording.request, recording.app), recording) for recording in recordings
    ]
    gappy = [key for key, recording in entries if _has_gaps(recording)]
    return RecordingStore(
        entries, MATCHERS, after_last, _redacted_as(recordings, keys or {}), gappy
    )


def _has_gaps(recording: Recording) -> bool:
    """Whether a rule of a team may have taken something out of its request."""
    by_team = any(name.partition(":")[0] in KINDS for name in recording.redacted)
    return by_team and (GONE.encode() in recording.request.body or GONE in recording.request.target)


def _redacted_as(
    recordings: Iterable[Recording], keys: Mapping[str, str]
) -> Callable[[RequestKey], RequestKey]:
    names = dict.fromkeys(name for recording in recordings for name in recording.redacted)
    if not names:
        return lambda key: key
    rules = []
    for name in names:
        try:
            rules += [parse_rule(name)] if name not in (*RULES, DECODED) else []
        except RuleError:
            continue  # a rule of a later version: what it took out will be shown as a difference
    redactor = RecordingRedactor(keys, rules=rules)
    return lambda key: replace(key, request=redactor.request(key.request, key.app))


def _differences(
    matcher: Matcher, recorded: Hashable, asked: Hashable, sizes: tuple[int, int]
) -> list[Difference]:
    """Of a long body only its size: to compare it with every recorded one would take seconds."""
    if recorded == asked:
        return []
    if matcher.name == "body" and sizes[1] > _LONG_BODY:
        return [Difference(matcher.name, "", f"{sizes[0]} bytes", f"{sizes[1]} bytes")]
    return matcher.differences_of(recorded, asked)


def _distance(miss: NearMiss[object]) -> tuple[bool, bool, int]:
    differing = {difference.matcher for difference in miss.differences}
    return bool(differing & {"path", "target"}), "method" in differing, len(miss.differences)
