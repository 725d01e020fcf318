"""Differences between two hosts, and groups of them that one change of a host explains."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from dify_wire.strict import closest

DIFF_FORMAT = 1
"""Of a comparison as JSON; changes when a field changes its meaning or goes."""

KINDS = (
    "status",
    "end",
    "header",
    "header order",
    "framing",
    "keys",
    "key order",
    "type",
    "length",
    "value",
    "identity",
    "text",
    "style",
    "events",
    "frame",
    "ping",
    "image",
    "timing",
)
"""What can differ, the most important first."""

NOTES = frozenset({"timing"})
"""Kinds that depend on the day: shown, but no drift unless options say so."""

ABSENT = "-"
"""Stands for a part that one side lacks."""

EVERY_EVENT = "every event"
"""Stands in a place for the name of any event."""

_NAMED_BY_VALUES = frozenset({"keys", "key order"})
_FIELD_KINDS = frozenset({"type", "length", "value", "identity"})
OLD_KINDS = {"picture": "image"}
_OLD_PLACES = {"answer": "response", "whole answer": "whole response"}
_MAX_FORMS = 3
_MAX_EXAMPLES = 5
_EVENT = re.compile(r"[a-z_]+_(?:started|finished)(?: \([^)]*\))?")


@dataclass(frozen=True, slots=True)
class Difference:
    """One place in which the responses to ``request`` differ: what ``a`` has there, and what ``b``.

    ``form`` is what differences of one cause have in common; both values if it is empty.
    """

    request: str
    kind: str
    place: str
    a: str
    b: str
    form: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """The differences of one cause: in how many requests (``count``), and in which, for example.

    ``forms`` counts the pairs of values; ``a`` and ``b`` are the first. ``places`` has all places
    if there are several; ``place`` is the one with the most requests.
    """

    kind: str
    place: str
    a: str
    b: str
    count: int
    examples: tuple[str, ...]
    forms: int = 1
    places: tuple[str, ...] = ()

    @property
    def identity(self) -> tuple[str, ...]:
        """What stays the same from one comparison to the next."""
        several = self.forms > 1 or self.kind in NOTES
        return (
            (self.kind, self.place)
            if several
            else (self.kind, _subject(self.kind, self.place), self.a, self.b)
        )

    @property
    def is_note(self) -> bool:
        return self.kind in NOTES


class RuleError(ValueError):
    """A rule that is not valid; the message says how to write it."""


@dataclass(frozen=True, slots=True)
class Ignored:
    """Differences to leave out: of a kind, at the places that match a glob."""

    kind: str
    place: str

    def matches(self, difference: Difference) -> bool:
        same_place = difference.place == self.place or fnmatchcase(difference.place, self.place)
        return same_place and self.kind in ("*", difference.kind)


def parse_ignored(text: str) -> Ignored:
    """The rule in ``text``: ``KIND``, ``KIND:PLACE`` or ``*:PLACE``, the place a glob. Raises
    ``RuleError``.
    """
    kind, colon, place = text.partition(":")
    kind, place = OLD_KINDS.get(kind, kind), _OLD_PLACES.get(place, place)
    if kind not in (*KINDS, "*"):
        close = closest(kind, KINDS)
        hint = f"did you mean {close!r}?" if close else f"write one of {', '.join(KINDS)}, or *"
        raise RuleError(f"{kind!r} is not a kind of difference; {hint}")
    if colon and not place:
        example = f"{kind}:body.data.*"
        raise RuleError(f"{text!r} names no place; write one after the colon, such as {example}")
    if kind == "*" and not place:
        raise RuleError("'*' alone would leave nothing to compare; write *:PLACE")
    return Ignored(kind, place.replace(EVERY_EVENT, "*") or "*")


def without(differences: Iterable[Difference], ignored: Sequence[Ignored]) -> list[Difference]:
    return [one for one in differences if not any(rule.matches(one) for rule in ignored)]


def grouped(differences: Iterable[Difference]) -> list[Group]:
    """``differences`` by their cause, the most important kinds and the most frequent ones first."""
    by_place: dict[tuple[str, str], list[Difference]] = {}
    for one in differences:
        by_place.setdefault((one.kind, one.place), []).append(one)
    groups = [group for same in by_place.values() for group in _by_values(same)]
    requests = {place: {one.request for one in same} for place, same in by_place.items()}
    groups = _by_cause(_by_event(groups), requests)
    return sorted(groups, key=lambda group: (KINDS.index(group.kind), -group.count, group.place))


def _by_values(same_place: list[Difference]) -> list[Group]:
    """One group for each pair of values at one place, or one for all of too many pairs."""
    forms: dict[str, list[Difference]] = {}
    for one in same_place:
        forms.setdefault(one.form or f"{one.a}\0{one.b}", []).append(one)
    few = len(forms) <= _MAX_FORMS
    groups = []
    for same in forms.values() if few else [same_place]:
        kind, place, a, b = same[0].kind, same[0].place, same[0].a, same[0].b
        requests = tuple(dict.fromkeys(one.request for one in same))
        examples = requests[:_MAX_EXAMPLES]
        groups.append(Group(kind, place, a, b, len(requests), examples, 1 if few else len(forms)))
    return groups


def _by_event(groups: list[Group]) -> list[Group]:
    """One group for what many events of a stream have in common."""
    alike: dict[tuple[str, ...], list[Group]] = {}
    for group in groups:
        event = _EVENT.match(group.place)
        rest = group.place[event.end() :] if event else group.place
        key = (rest, group.kind, group.a, group.b, str(group.forms), "" if event else group.place)
        alike.setdefault(key, []).append(group)
    found = []
    for (rest, *_), same in alike.items():
        most = max(same, key=lambda group: group.count)
        everywhere = [replace(most, place=f"{EVERY_EVENT}{rest}")]
        found += same if len(same) < _MAX_FORMS else everywhere
    return found


def _subject(kind: str, place: str) -> str:
    """What a difference at ``place`` is about, wherever else it is seen: the names of the keys, or
    the field's own.
    """
    if kind in _NAMED_BY_VALUES:
        return ""
    return place.rpartition(".")[2] if kind in _FIELD_KINDS else place


def _by_cause(groups: list[Group], requests: Mapping[tuple[str, str], set[str]]) -> list[Group]:
    """One group for a change in several places, such as a field of a file wherever it stands."""
    alike: dict[tuple[str, ...], list[Group]] = {}
    for group in groups:
        of_one_place = group.forms > 1 or group.kind in NOTES
        key = (group.kind, group.place, "") if of_one_place else group.identity
        alike.setdefault(key, []).append(group)
    return [_merged(same, requests) for same in alike.values()]


def _merged(same: list[Group], requests: Mapping[tuple[str, str], set[str]]) -> Group:
    most = max(same, key=lambda group: group.count)
    if len(same) == 1:
        return most
    names: set[str] = set()
    for group in same:
        names |= requests.get((group.kind, group.place), set(group.examples))
    examples = tuple(dict.fromkeys(name for group in same for name in group.examples))
    places = tuple(group.place for group in sorted(same, key=lambda group: -group.count))
    count = max(len(names), most.count)
    return replace(most, count=count, examples=examples[:_MAX_EXAMPLES], places=places)
