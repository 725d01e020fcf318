"""Differences between two hosts, and groups of them that one change of a host explains."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from dify_wire.strict import closest

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
    forms: dict[tuple[str, str], dict[str, list[Difference]]] = {}
    for one in differences:
        by_form = forms.setdefault((one.kind, one.place), {})
        by_form.setdefault(one.form or f"{one.a}\0{one.b}", []).append(one)
    by_place = [group for by_form in forms.values() for group in _groups(list(by_form.values()))]
    requests: dict[tuple[str, str], set[str]] = {}
    for place, by_form in forms.items():
        requests[place] = {one.request for alike in by_form.values() for one in alike}
    groups = _by_cause(_everywhere(by_place), requests)
    return sorted(groups, key=lambda group: (KINDS.index(group.kind), -group.count, group.place))


def _everywhere(groups: list[Group]) -> list[Group]:
    """One group for what many events of a stream have in common."""
    alike: dict[tuple[str, ...], list[Group]] = {}
    for group in groups:
        event = _EVENT.match(group.place)
        rest = group.place[event.end() :] if event else group.place
        key = (group.kind, rest, group.a, group.b, str(group.forms), "" if event else group.place)
        alike.setdefault(key, []).append(group)
    return [one for key, same in alike.items() for one in _merged(key[1], same)]


def _subject(kind: str, place: str) -> str:
    """What a difference at ``place`` is about, wherever else it is seen: the names of the keys, or
    the field's own.
    """
    if kind in _NAMED_BY_VALUES:
        return ""
    return place.rpartition(".")[2] if kind in _FIELD_KINDS else place


def _by_cause(groups: list[Group], requests: Mapping[tuple[str, str], set[str]]) -> list[Group]:
    """One group for a change that is seen in several places, such as a field that a file has
    wherever it stands.
    """
    alike: dict[tuple[str, ...], list[Group]] = {}
    for group in groups:
        key = (
            group.identity
            if group.forms == 1 and group.kind not in NOTES
            else (group.kind, group.place, "", "", "")
        )
        alike.setdefault(key, []).append(group)
    return [_of_many_places(same, requests) for same in alike.values()]


def _of_many_places(same: list[Group], requests: Mapping[tuple[str, str], set[str]]) -> Group:
    most = max(same, key=lambda group: group.count)
    if len(same) == 1:
        return most
    every = {
        name
        for group in same
        for name in requests.get((group.kind, group.place), set(group.examples))
    }
    examples = tuple(dict.fromkeys(name for group in same for name in group.examples))
    places = tuple(group.place for group in sorted(same, key=lambda group: -group.count))
    return replace(
        most, count=max(len(every), most.count), examples=examples[:_MAX_EXAMPLES], places=places
    )


def _merged(rest: str, same: list[Group]) -> list[Group]:
    if len(same) < _MAX_FORMS:
        return same
    most = max(same, key=lambda group: group.count)
    return [replace(most, place=f"{EVERY_EVENT}{rest}")]


def _groups(forms: list[list[Difference]]) -> list[Group]:
    if len(forms) > _MAX_FORMS:
        return [_group([one for form in forms for one in form], len(forms))]
    return [_group(form) for form in forms]


def _group(differences: list[Difference], forms: int = 1) -> Group:
    first = differences[0]
    requests = tuple(dict.fromkeys(one.request for one in differences))
    return Group(
        first.kind, first.place, first.a, first.b, len(requests), requests[:_MAX_EXAMPLES], forms
    )
