"""Recorded exchanges by their requests: the one that matches, or those that come close."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from operator import itemgetter
from typing import Generic, TypeVar

from dify_wire.exchange import Recording
from dify_wire.recording.decoding import DECODED
from dify_wire.recording.matching import MATCHERS, Difference, Matcher, RequestKey, short
from dify_wire.redaction.exchange import RULES, RecordingRedactor
from dify_wire.redaction.replacement import GONE
from dify_wire.redaction.rules import KINDS, RuleError, parse_rule
from dify_wire.text_file import printable

AFTER_LAST = ("repeat", "miss")
"""What a request gets after the last of its recorded responses: that one again, or a miss."""

_LONG_BODY = 64 << 10
_KNOWN_BODY = 16 << 10
_MOST_KNOWN = 256
_MOST_NEAREST = 3

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Identity = tuple[Hashable, ...]
Distance = tuple[bool, bool, int]


@dataclass(frozen=True, slots=True)
class NearMiss(Generic[T_co]):
    """A recorded ``value`` that does not match, and why not."""

    value: T_co
    recorded: RequestKey
    differences: tuple[Difference, ...]

    def __str__(self) -> str:
        request = f"{self.recorded.request.method} {short(self.recorded.request.path)}"
        name = printable(getattr(self.value, "label", ""))
        differences = "; ".join(map(str, self.differences))
        return f"{name} ({request}): {differences}" if name else request


class NotRecordedError(LookupError):
    """A miss: nothing was recorded for the request, or all ``given`` responses were returned."""

    def __init__(self, key: RequestKey, given: int, nearest: Sequence[NearMiss[object]]) -> None:
        self.key = key
        self.given = given
        self.nearest = tuple(nearest)
        super().__init__(str(self))

    def __str__(self) -> str:
        request = f"{printable(self.key.request.method)} {short(self.key.request.path)}"
        if self.given:
            return f"{request}: all {self.given} recorded responses were returned"
        what = f"{request} with this content was not recorded"
        return "\n  nearest: ".join([what, *map(str, self.nearest)])


class RecordingStore(Generic[T]):
    """Recorded values by their requests: of several same requests the n-th gets the n-th value.

    ``after_last`` says what comes then (``AFTER_LAST``). ``as_recorded`` makes of a request what
    would have been recorded of it. ``redacted`` are recorded requests of which redaction removed
    something that anything may replace. May be used from several threads.
    """

    def __init__(
        self,
        entries: Iterable[tuple[RequestKey, T]],
        matchers: Sequence[Matcher] = MATCHERS,
        after_last: str = "repeat",
        as_recorded: Callable[[RequestKey], RequestKey] = lambda key: key,
        redacted: Sequence[RequestKey] = (),
    ) -> None:
        self._matchers = tuple(matchers)
        self._after_last = after_last
        self._as_recorded = as_recorded
        self._redacted = redacted
        self._entries = [(key, self._identity(key), value) for key, value in entries]
        self._values: dict[Identity, list[T]] = {}
        for _, identity, value in self._entries:
            self._values.setdefault(identity, []).append(value)
        self._given: dict[Identity, int] = {}
        self._lock = threading.Lock()
        self._known = lru_cache(_MOST_KNOWN)(self._looked_up)

    def next(self, key: RequestKey) -> T:
        """The next value for ``key``. Raises ``NotRecordedError``."""
        key, identity = self._found(key)
        values = self._values.get(identity)
        if values is None:
            raise NotRecordedError(key, 0, self._nearest(key, identity))
        with self._lock:
            given = self._given.get(identity, 0)
            self._given[identity] = given + 1
        if given >= len(values) and self._after_last == "miss":
            raise NotRecordedError(key, len(values), ())
        return values[min(given, len(values) - 1)]

    def knows(self, key: RequestKey) -> bool:
        """Whether something was recorded for ``key``, returned already or not."""
        return self._found(key)[1] in self._values

    def nearest(self, key: RequestKey) -> list[NearMiss[T]]:
        """The recordings that come closest to ``key``, the closest first."""
        return self._nearest(key, self._identity(key))

    def rewound(self) -> RecordingStore[T]:
        """The same recordings from the start."""
        rewound: RecordingStore[T] = RecordingStore(
            (), self._matchers, self._after_last, self._as_recorded, self._redacted
        )
        rewound._entries, rewound._values = self._entries, self._values
        rewound._known = self._known
        return rewound

    def _nearest(self, key: RequestKey, identity: Identity) -> list[NearMiss[T]]:
        """Parts are compared first, which is quick; then, where they differ, in their order, until
        no other recording can come closer.
        """
        at_least = []
        for index, (_, ours, _) in enumerate(self._entries):
            differing = [
                matcher.name
                for matcher, one, other in zip(self._matchers, ours, identity, strict=True)
                if one != other
            ]
            at_least.append((_distance(differing), index))
        found: list[tuple[Distance, int, NearMiss[T]]] = []
        for least in sorted(at_least):
            if len(found) == _MOST_NEAREST and found[-1][:2] <= least:
                break
            recorded, ours, value = self._entries[least[1]]
            differences = self._differences(recorded, ours, key, identity)
            distance = _distance([one.matcher for one in differences])
            found.append((distance, least[1], NearMiss(value, recorded, differences)))
            found = sorted(found, key=itemgetter(0, 1))[:_MOST_NEAREST]
        return [miss for *_, miss in found]

    def _differences(
        self, recorded: RequestKey, ours: Identity, key: RequestKey, identity: Identity
    ) -> tuple[Difference, ...]:
        differences: list[Difference] = []
        for matcher, one, other in zip(self._matchers, ours, identity, strict=True):
            # To compare a long body with every recorded one would take seconds.
            if matcher.name == "body" and len(key.request.body) > _LONG_BODY and one != other:
                sizes = (f"{len(each.request.body)} bytes" for each in (recorded, key))
                differences.append(Difference(matcher.name, "", *sizes))
            else:
                differences += matcher.differences(one, other)
        return tuple(differences)

    def _found(self, key: RequestKey) -> tuple[RequestKey, Identity]:
        """``key`` as it would be recorded, and what it matches; redaction, which takes longest, is
        done once for requests that are equal to the byte.
        """
        is_known = len(key.request.body) <= _KNOWN_BODY
        return self._known(key) if is_known else self._looked_up(key)

    def _looked_up(self, key: RequestKey) -> tuple[RequestKey, Identity]:
        key = self._as_recorded(key)
        return key, self._matching(key)

    def _matching(self, key: RequestKey) -> Identity:
        """The identity of the recorded request that ``key`` matches, else its own.

        A rule may have taken out of a request what only its response gave away.
        """
        identity = self._identity(key)
        if identity in self._values or len(key.request.body) > _LONG_BODY:
            return identity
        for recorded in self._redacted:
            if all(matcher.fits(recorded, key) for matcher in self._matchers):
                return self._identity(recorded)
        return identity

    def _identity(self, key: RequestKey) -> Identity:
        return tuple(matcher.part(key) for matcher in self._matchers)


def _distance(differing: Sequence[str]) -> Distance:
    """How far two requests are apart, by the matchers that differ, one for each difference."""
    return "path" in differing or "target" in differing, "method" in differing, len(differing)


def recording_store(
    recordings: Sequence[Recording],
    after_last: str = "repeat",
    keys: Mapping[str, str] | None = None,
) -> RecordingStore[Recording]:
    """A store for a replay.

    What the recorder's rules took out of requests is taken out of new requests too; ``keys``, with
    the labels of their apps, are read as the recordings write them.
    """
    entries = [
        (RequestKey(recording.request, recording.app), recording) for recording in recordings
    ]
    redacted = [
        key
        for key, recording in entries
        if (GONE.encode() in key.request.body or GONE in key.request.target)
        and any(name.partition(":")[0] in KINDS for name in recording.redacted)
    ]
    as_recorded = _redaction_of(recordings, keys or {})
    return RecordingStore(entries, MATCHERS, after_last, as_recorded, redacted)


def _redaction_of(
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
            continue  # a rule of a later version: what it took out shows as a difference
    redactor = RecordingRedactor(keys, rules=rules)
    return lambda key: replace(key, request=redactor.request(key.request, key.app))
