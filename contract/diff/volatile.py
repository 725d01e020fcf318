"""What no two runs have in common, in text and in numbers; and whether two such values play the
same part.

An id may be another one, but where one answer has the same id twice, so must the other: ids, nonces
and signatures are paired at their first place, and a place that breaks the pairing is a difference.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_VOLATILE = re.compile(
    r"(?P<uuid>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"
    r"|(?<=timestamp=)(?P<time>\d{10})"
    r"|(?<=nonce=)(?P<nonce>[0-9a-f]{32})"
    r"|(?<=sign=)(?P<signature>[A-Za-z0-9_-]{43}(?:=|%3D))"
    r"|\b0x(?P<address>[0-9a-f]{6,16})\b"
    r"|(?P<date>[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} (?!1970)\d{4} \d\d:\d\d:\d\d GMT)"
)

_UNPAIRED = ("time", "address", "date")
_SECONDS = frozenset({"elapsed_time", "latency"})
COUNTED = frozenset({"sequence_number"})
"""Numbers that name a run: another one each time, and the same one all through a run."""

_COUNT_ENDS = "_tokens"
_UNIX_S = range(10**9, 10**10)
_UNIX_MS = range(10**12, 10**13)


@dataclass(frozen=True, slots=True)
class Told:
    """A text without its volatile values: what is left, and the values that stood there with their
    kinds.
    """

    text: str
    values: tuple[tuple[str, str], ...]


def told(text: str, own: Mapping[str, str]) -> Told:
    """``text`` with names for its volatile values; ``own`` are those that only this answer has,
    with their names.
    """
    for value, name in own.items():
        text = text.replace(value, name)
    values: list[tuple[str, str]] = []

    def named(match: re.Match[str]) -> str:
        kind = str(match.lastgroup)
        values.append((kind, match[kind]))
        return f"<{kind}>"

    return Told(_VOLATILE.sub(named, text), tuple(values))


@dataclass
class Pairs:
    """Which id of the one answer stands for which of the other."""

    _there: dict[str, tuple[str, str]] = field(default_factory=dict)
    _back: dict[str, tuple[str, str]] = field(default_factory=dict)
    _broken: set[tuple[str, str]] = field(default_factory=set)

    def broken(self, a: Told, b: Told, place: str) -> tuple[str, str] | None:
        """What breaks the pairing at ``place``, told of both; None where the values pair well."""
        for (kind, ours), (_, theirs) in zip(a.values, b.values, strict=True):
            if kind in _UNPAIRED or (ours, theirs) in self._broken:
                continue
            there = self._there.setdefault(ours, (theirs, place))
            back = self._back.setdefault(theirs, (ours, place))
            if there[0] != theirs or back[0] != ours:
                self._broken.add((ours, theirs))  # told once
            if there[0] != theirs:
                return f"the {kind} of {there[1]}", f"another {kind}"
            if back[0] != ours:
                return f"another {kind}", f"the {kind} of {back[1]}"
        return None


def number(name: str, value: float) -> str:
    """A number as what it is to a reader: of those that are measured or counted only the kind and
    the sign.
    """
    if isinstance(value, int) and value in _UNIX_S and name.endswith("_at"):
        return "unix seconds"
    if isinstance(value, int) and value in _UNIX_MS and name.endswith("_at"):
        return "unix milliseconds"
    if name in _SECONDS:
        return _sign(value, "seconds")
    if name in COUNTED or name.endswith(_COUNT_ENDS):
        return _sign(value, "count")
    return repr(value)


def _sign(value: float, what: str) -> str:
    return f"a {what if what == 'count' else 'number of ' + what} " + (
        "above 0" if value > 0 else "of 0" if value == 0 else "below 0"
    )
