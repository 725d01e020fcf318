"""Text and JSON compared in structure: keys and their order, types, lengths, values, and style.

Values that no two runs have in common (ids, times, nonces, signatures) are compared by the part
they play: where one response has the same id twice, so must the other. They are paired at their
first place, and a place that breaks the pairing is a difference.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from contract.diff.difference import ABSENT

Found = tuple[str, str, str, str]
"""A difference whose request is not known yet: kind, place, what a has, what b has."""

SHOWN = 200
_VOLATILE = re.compile(
    r"(?P<uuid>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"
    r"|(?<=timestamp=)(?P<time>\d{10})"
    r"|(?<=nonce=)(?P<nonce>[0-9a-f]{32})"
    r"|(?<=sign=)(?P<signature>[A-Za-z0-9_-]{43}(?:=|%3D))"
    r"|\b(?P<name>[0-9a-f]{32})(?=\.\w)"
    r"|(?<=dify-file-ref:)(?P<reference>[A-Za-z0-9+/]+=*)"
    r"|(?<=input_value=)(?P<input>\{.*)(?=, input_type=dict\])"
    r"|\b0x(?P<address>[0-9a-f]{6,16})\b"
    r"|(?P<date>[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} (?!1970)\d{4} \d\d:\d\d:\d\d GMT)"
)
"""``name`` is that of a file that a tool made. ``input`` is what a text of pydantic shows of a
body, cut to a length: each side has another user in it.
"""

_UNPAIRED = ("time", "address", "date", "input")
_SECONDS = frozenset({"elapsed_time", "latency", "time_to_first_token", "time_to_generate"})
_MADE_FILE_SIZE = re.compile(r".*\.files\[\]\.size")
"""The bytes of an image that a run made: no two runs make the same."""

_PER_RUN = frozenset({"sequence_number"})
"""Numbers that name a run: another one each time, and the same one all through a run."""

_UNIX_S = range(10**9, 10**10)
_UNIX_MS = range(10**12, 10**13)
_MODEL_TEXT = re.compile(
    r"(?:body|workflow_finished|node_finished \((?:llm|end)\))\.data\.outputs\.[^.\[]+"
)
"""Where texts of an app's own model stand: no two runs have them in common."""

_TYPES = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "text",
    list: "list",
    dict: "object",
}
_SEPARATORS: Mapping[str, tuple[str, str]] = {
    "a space after comma and colon": (", ", ": "),
    "no spaces": (",", ":"),
}
_INDENTS = (1, 2, 4)


@dataclass(frozen=True, slots=True)
class Volatile:
    """A text with placeholders for its volatile values, and these values with their kinds."""

    text: str
    values: tuple[tuple[str, str], ...]


def volatile(text: str, own: Mapping[str, str]) -> Volatile:
    """``own`` are texts that only this response has, with their placeholders."""
    for value, name in own.items():
        text = text.replace(value, name)
    values: list[tuple[str, str]] = []

    def placeholder(match: re.Match[str]) -> str:
        kind = str(match.lastgroup)
        values.append((kind, match[kind]))
        return f"<{kind}>"

    return Volatile(_VOLATILE.sub(placeholder, text), tuple(values))


@dataclass
class PairedIds:
    """Which id of one response stands for which id of the other."""

    _there: dict[str, tuple[str, str]] = field(default_factory=dict)
    _back: dict[str, tuple[str, str]] = field(default_factory=dict)
    _broken: set[tuple[str, str]] = field(default_factory=set)

    def conflict(self, a: Volatile, b: Volatile, place: str) -> tuple[str, str] | None:
        """What breaks the pairing at ``place``, for each side; each pair is reported once."""
        for (kind, ours), (_, theirs) in zip(a.values, b.values, strict=True):
            if kind in _UNPAIRED or (ours, theirs) in self._broken:
                continue
            there = self._there.setdefault(ours, (theirs, place))
            back = self._back.setdefault(theirs, (ours, place))
            if there[0] != theirs or back[0] != ours:
                self._broken.add((ours, theirs))
            if there[0] != theirs:
                return f"the {kind} of {there[1]}", f"another {kind}"
            if back[0] != ours:
                return f"another {kind}", f"the {kind} of {back[1]}"
        return None


@dataclass
class DiffContext:
    """What is known of both responses: texts that only one of them has, with placeholders.

    ``models`` are texts that each side's models wrote: they may also stand where the other side has
    the same text. ``ignored`` are names of fields that say nothing about a host.
    """

    a: Mapping[str, str] = field(default_factory=dict)
    b: Mapping[str, str] = field(default_factory=dict)
    ids: PairedIds = field(default_factory=PairedIds)
    models: tuple[Mapping[str, str], Mapping[str, str]] = ({}, {})
    ignored: frozenset[str] = frozenset()


def differences(
    a: Any, b: Any, place: str, context: DiffContext, name: str = ""
) -> Iterator[Found]:
    """Every difference between two JSON values; beneath different types nothing is compared."""
    ours, theirs = _TYPES[type(a)], _TYPES[type(b)]
    if ours != theirs:
        yield "type", place, ours, theirs
    elif isinstance(a, dict):
        yield from _objects(a, b, place, context)
    elif isinstance(a, list):
        if len(a) != len(b):
            yield "length", place, str(len(a)), str(len(b))
        for one, other in zip(a, b, strict=False):
            yield from differences(one, other, f"{place}[]", context, name)
    elif isinstance(a, str):
        yield from text_differences(a, b, place, context)
    elif ours in ("integer", "number"):
        yield from _numbers(a, b, place, context, name)
    elif ours == "boolean" and a != b:
        yield "value", place, json.dumps(a), json.dumps(b)


def _numbers(a: float, b: float, place: str, context: DiffContext, name: str) -> Iterator[Found]:
    if _MADE_FILE_SIZE.fullmatch(place) and min(a, b) > 0:
        return
    if _number(name, a) != _number(name, b):
        yield "value", place, _number(name, a), _number(name, b)
    elif name in _PER_RUN:
        ours, theirs = Volatile("", ((name, str(a)),)), Volatile("", ((name, str(b)),))
        if conflict := context.ids.conflict(ours, theirs, place):
            yield "identity", place, *conflict


def _number(name: str, value: float) -> str:
    """A number as it is compared: of one that is measured or counted only the kind and sign."""
    if name.endswith("_at") and isinstance(value, int):
        if value in _UNIX_S:
            return "unix seconds"
        if value in _UNIX_MS:
            return "unix milliseconds"
    sign = "above 0" if value > 0 else "of 0" if value == 0 else "below 0"
    if name in _SECONDS:
        return f"a number of seconds {sign}"
    if name in _PER_RUN or name.endswith("_tokens"):
        return f"a count {sign}"
    return repr(value)


def _objects(
    a: dict[str, Any], b: dict[str, Any], place: str, context: DiffContext
) -> Iterator[Found]:
    removed, added = [key for key in a if key not in b], [key for key in b if key not in a]
    if removed or added:
        yield "keys", place, ", ".join(removed) or ABSENT, ", ".join(added) or ABSENT
    shared, order = [key for key in a if key in b], [key for key in b if key in a]
    if shared != order:
        yield "key order", place, cut(", ".join(shared)), cut(", ".join(order))
    for key in shared:
        if key not in context.ignored:
            yield from differences(a[key], b[key], f"{place}.{key}", context, key)


def text_differences(
    a: str, b: str, place: str, context: DiffContext, kind: str = "value"
) -> Iterator[Found]:
    ours, theirs = volatile(a, context.a), volatile(b, context.b)
    if ours.text != theirs.text and any(context.models):
        ours = volatile(a, {**context.a, **context.models[0]})
        theirs = volatile(b, {**context.b, **context.models[1]})
    if ours.text == theirs.text:
        if conflict := context.ids.conflict(ours, theirs, place):
            yield "identity", place, *conflict
    elif not (a and b and _MODEL_TEXT.fullmatch(place)):
        yield kind, place, *_from_first_difference(ours.text, theirs.text)


def _from_first_difference(a: str, b: str) -> tuple[str, str]:
    if max(len(a), len(b)) <= SHOWN:
        return repr(a), repr(b)
    pairs = enumerate(zip(a, b, strict=False))
    same = next((at for at, (one, other) in pairs if one != other), min(len(a), len(b)))
    start = max(0, same - SHOWN // 4)
    before = "…" if start else ""
    ours, theirs = (cut(before + repr(one[start : start + SHOWN])) for one in (a, b))
    return ours, theirs


def cut(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


# Style: spaces, escapes, and what stands around the JSON


def style_differences(a: str, b: str, values: tuple[Any, Any], place: str) -> Iterator[Found]:
    """How differently two texts write their JSON ``values``."""
    one, other = _style(a, values[0]), _style(b, values[1])
    pairs = [(ours, theirs) for ours, theirs in zip(one, other, strict=True) if ours != theirs]
    ours, theirs = ", ".join(pair[0] for pair in pairs), ", ".join(pair[1] for pair in pairs)
    if ours != theirs:
        yield "style", place, ours or ABSENT, theirs or ABSENT


def _style(text: str, value: Any) -> tuple[str, ...]:
    bare = text.strip("\ufeff \t\r\n")
    before, _, after = text.partition(bare) if bare else (text, "", "")
    around = (f"begins with {before!r}", f"ends with {after!r}")
    for words, written in _styles(value):
        if written == bare:
            return (*words, *around)
    return ("a style of its own", "", *around)


def _styles(value: Any) -> Iterator[tuple[tuple[str, str], str]]:
    plain = json.dumps(value, ensure_ascii=False).isascii()
    for ascii_only in (True, False):
        escapes = "" if plain else "escapes" if ascii_only else "no escapes"
        for words, separators in _SEPARATORS.items():
            text = json.dumps(value, ensure_ascii=ascii_only, separators=separators)
            yield (words, escapes), text
        for indent in _INDENTS:
            text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
            yield (f"many lines, {indent} deep", escapes), text
