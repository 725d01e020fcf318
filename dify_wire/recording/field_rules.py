"""Where the fields that a rule names have their values: in JSON, in a stream's frames, in forms and queries.

JSON is not parsed for this but read in place, for bodies may be cut, broken, or JSON inside of a JSON string.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from dify_wire.recording.rules import Rule
from dify_wire.redact import any_form

_STRING = re.compile(rb'"((?:[^"\\]|\\.)*)"(\s*:)?', re.DOTALL)
_ESCAPED_STRING = re.compile(rb'\\{1,16}"(.*?)\\{1,16}"', re.DOTALL)
_LEAF = re.compile(rb'"((?:[^"\\]|\\.)*)"(\s*:)?|-?\d[\d.eE+-]*|[\[{]|[\]}]', re.DOTALL)
_NUMBER = re.compile(rb"-?\d[\d.eE+-]*")
_FRAME = re.compile(rb"^data: ?(.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Value:
    """A value from ``start`` to ``end``, without its quotes."""

    start: int
    end: int
    is_text: bool


def values(data: bytes, rule: Rule) -> Iterator[Value]:
    """The values in ``data`` of the fields that ``rule`` names, those inside of objects and lists too."""
    if not rule.pointer:
        yield from _named(data, rule.what)
        return
    wanted = {_written(value) for document in _documents(data) for value in _leaves(_at(document, rule.pointer))}
    for value in _named(data, rule.pointer[-1]) if wanted else ():
        if _read(data[value.start : value.end], value.is_text) in wanted:
            yield value


def _named(data: bytes, name: str) -> Iterator[Value]:
    read_to = 0
    for match in _patterns(name)[0].finditer(data):
        if match.start() >= read_to:  # else it was found inside of an object before
            found, read_to = _json_values(data, match.end())
            yield from found
    yield from parameters(data, name)


def parameters(data: bytes, name: str) -> Iterator[Value]:
    """The values in ``data`` of the parameter ``name``: in queries, forms and multipart forms."""
    _, in_query, in_form = _patterns(name)
    for match in in_query.finditer(data):
        yield Value(match.start(1), match.end(1), is_text=True)
    yield from _form_values(data, in_form)


@cache
def _patterns(name: str) -> tuple[re.Pattern[bytes], ...]:
    form = any_form(name).encode()
    return (
        re.compile(rb'\\{0,16}"' + form + rb'\\{0,16}"\s{0,99}:\s{0,99}'),
        re.compile(rb"(?:^|[?&])" + form + rb"=([^&#\s\"']+)"),
        re.compile(rb'name="' + form + rb'"[^\r\n]{0,999}\r\n(?:[^\r\n]{1,999}\r\n){0,9}\r\n'),
    )


def _form_values(data: bytes, pattern: re.Pattern[bytes]) -> Iterator[Value]:
    """Parts of multipart forms, each up to the next boundary."""
    at = 0
    while match := pattern.search(data, at):
        at = data.find(b"\r\n--", match.end())
        if at < 0:
            at = len(data)
        yield Value(match.end(), at, is_text=True)


def _json_values(data: bytes, at: int) -> tuple[list[Value], int]:
    """The values at ``at``, and up to where they were looked for."""
    opener = data[at : at + 1]
    if opener in (b"{", b"["):
        return _inside(data, at)
    pattern = {b'"': _STRING, b"\\": _ESCAPED_STRING}.get(opener)
    match = (pattern or _NUMBER).match(data, at)
    if match is None:
        return [], at
    group = 1 if pattern else 0
    return [Value(match.start(group), match.end(group), is_text=pattern is not None)], match.end(group)


def _inside(data: bytes, at: int) -> tuple[list[Value], int]:
    """The texts and numbers of the object or list that begins at ``at``; names of fields are none."""
    depth, found = 0, []
    for match in _LEAF.finditer(data, at):
        letter = match[0][:1]
        if letter in (b"{", b"["):
            depth += 1
        elif letter in (b"}", b"]"):
            depth -= 1
        elif letter == b'"' and match[2] is None:
            found.append(Value(match.start(1), match.end(1), is_text=True))
        elif letter != b'"':
            found.append(Value(match.start(), match.end(), is_text=False))
        if depth == 0:
            return found, match.end()
    return found, len(data)


def _documents(data: bytes) -> Iterator[Any]:
    for text in [data, *(match[1] for match in _FRAME.finditer(data))]:
        try:
            yield json.loads(text)
        except (ValueError, RecursionError):
            continue


def _at(document: Any, pointer: tuple[str, ...]) -> Any:
    for step in pointer:
        if isinstance(document, dict):
            document = document.get(step)
        elif isinstance(document, list) and step.isdecimal() and len(step) < 10 and int(step) < len(document):
            document = document[int(step)]
        else:
            return None
    return document


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from _leaves(one)
    elif value is not None and not isinstance(value, bool):
        yield value


def _read(data: bytes, is_text: bool) -> str | None:
    try:
        return _written(json.loads(b'"%b"' % data if is_text else data))
    except ValueError:
        return None


def _written(value: Any) -> str:
    return json.dumps(value)
