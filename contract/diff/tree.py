"""Two JSON values, compared in structure: keys and their order, types, lengths, values that mean
something.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from contract.diff.difference import ABSENT
from contract.diff.volatile import COUNTED, Pairs, Told, number, told

Found = tuple[str, str, str, str]
"""A difference before it is known whose: kind, place, what a has, what b."""

SHOWN = 200
_MODEL_TEXT = re.compile(
    r"(?:body|workflow_finished|node_finished \((?:llm|end)\))\.data\.outputs\.[^.\[]+"
)
"""Where texts stand that an app's own model wrote: no two runs have them in common."""


_TYPES = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "text",
    list: "list",
    dict: "object",
}


@dataclass
class Both:
    """What is known of both answers: texts that only one of them has, each with the name that
    stands for it.

    ``models`` has what the models of each side wrote: it may also stand where the other side has
    the same text. ``ignored`` are names of fields that say nothing of a host, such as how far a
    stopped run had come.
    """

    a: Mapping[str, str] = field(default_factory=dict)
    b: Mapping[str, str] = field(default_factory=dict)
    pairs: Pairs = field(default_factory=Pairs)
    models: tuple[Mapping[str, str], Mapping[str, str]] = ({}, {})
    ignored: frozenset[str] = frozenset()


def differences(a: Any, b: Any, place: str, both: Both, name: str = "") -> Iterator[Found]:
    """Every difference between two JSON values; beneath a difference in type nothing more is
    said.
    """
    ours, theirs = type_of(a), type_of(b)
    if ours != theirs:
        yield "type", place, ours, theirs
    elif isinstance(a, dict):
        yield from _objects(a, b, place, both)
    elif isinstance(a, list):
        yield from _lists(a, b, place, both, name)
    elif isinstance(a, str):
        yield from texts(a, b, place, both)
    elif ours in ("integer", "number"):
        yield from _numbers(a, b, place, both, name)
    elif ours == "boolean" and a != b:
        yield "value", place, _json(a), _json(b)


def _numbers(a: float, b: float, place: str, both: Both, name: str) -> Iterator[Found]:
    if number(name, a) != number(name, b):
        yield "value", place, number(name, a), number(name, b)
    elif name in COUNTED:
        broken = both.pairs.broken(Told("", ((name, str(a)),)), Told("", ((name, str(b)),)), place)
        if broken:
            yield "identity", place, *broken


def _objects(a: dict[str, Any], b: dict[str, Any], place: str, both: Both) -> Iterator[Found]:
    gone, new = [key for key in a if key not in b], [key for key in b if key not in a]
    if gone or new:
        yield "keys", place, ", ".join(gone) or ABSENT, ", ".join(new) or ABSENT
    shared, order = [key for key in a if key in b], [key for key in b if key in a]
    if shared != order:
        yield "key order", place, cut(", ".join(shared)), cut(", ".join(order))
    for key in shared:
        if key in both.ignored:
            continue
        yield from differences(a[key], b[key], f"{place}.{key}", both, key)


def _lists(a: list[Any], b: list[Any], place: str, both: Both, name: str) -> Iterator[Found]:
    if len(a) != len(b):
        yield "length", place, str(len(a)), str(len(b))
    for ours, theirs in zip(a, b, strict=False):
        yield from differences(ours, theirs, f"{place}[]", both, name)


def texts(a: str, b: str, place: str, both: Both, kind: str = "value") -> Iterator[Found]:
    """The difference between two texts, volatile values apart."""
    ours, theirs = told(a, both.a), told(b, both.b)
    if ours.text != theirs.text and any(both.models):
        ours, theirs = told(a, {**both.a, **both.models[0]}), told(b, {**both.b, **both.models[1]})
    if ours.text != theirs.text:
        if not (a and b and _MODEL_TEXT.fullmatch(place)):
            yield kind, place, *_apart(ours.text, theirs.text)
        return
    broken = both.pairs.broken(ours, theirs, place)
    if broken:
        yield "identity", place, *broken


def _apart(a: str, b: str) -> tuple[str, str]:
    """Both texts from shortly before where they begin to differ."""
    if max(len(a), len(b)) <= SHOWN:
        return repr(a), repr(b)
    same = next(
        (at for at, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
    )
    start = max(0, same - SHOWN // 4)
    before = "…" if start else ""
    return cut(before + repr(a[start : start + SHOWN])), cut(
        before + repr(b[start : start + SHOWN])
    )


def type_of(value: Any) -> str:
    """The JSON type, whole numbers apart from those with a point."""
    return _TYPES[type(value)]


def _json(value: bool) -> str:
    return "true" if value else "false"


def cut(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
