"""Where a text names fields and what stands in them: JSON and what is like it, queries, forms,
multipart forms.

Nothing is parsed whole: a body may be cut, broken, or JSON inside of a JSON string.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any
from urllib.parse import unquote_plus

from dify_wire.content_disposition import parse_options
from dify_wire.redaction.views import View, levels

_STRINGS = {
    b'"': re.compile(rb'"((?:[^"\\]|\\.)*+)', re.DOTALL),
    b"'": re.compile(rb"'((?:[^'\\]|\\.)*+)", re.DOTALL),
}
_LEAF = re.compile(rb'"((?:[^"\\]|\\.)*+)"(\s*:)?|-?\d[\d.eE+-]*|[\[{]|[\]}]', re.DOTALL)
_NUMBER = re.compile(rb"-?\d[\d.eE+-]*")
_VALUE = rb"((?:[^&#\s\"'<>\\]|\\+(?:/|(?:u00|x)(?!26)[0-9A-Fa-f]{2}))*)"
"""Of a parameter, up to the next one or the end of the URL."""

_DISPOSITION = re.compile(
    rb"^[ \t]*content-disposition[ \t]*:([^\r\n]*(?:(?:\r\n|\n|\r)[ \t]+[^\r\n]*)*)",
    re.IGNORECASE | re.MULTILINE,
)
_BLANK_LINE = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_BOUNDARY = re.compile(rb"(?:\r\n|\n|\r)--")
_LONGEST_PART_HEAD = 4096
_FRAME = re.compile(rb"^data: ?(.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Value:
    """The value of the field ``name``, from ``start`` to ``end``, without quotation marks."""

    name: str
    start: int
    end: int
    is_text: bool
    text: str


class FieldReader:
    """Finds the fields with these ``names``.

    Parameters of a URL that are called as ``anywhere`` says are found after any sign, and all texts
    and numbers within the fields that are called as ``deep`` says.
    """

    def __init__(
        self, names: Iterable[str], anywhere: Iterable[str] = (), deep: Iterable[str] = ()
    ) -> None:
        self._deep = frozenset(deep)
        known = {*names, *anywhere, *self._deep}
        alternatives = b"|".join(
            re.escape(name.encode("utf-8", "surrogateescape")) for name in known
        )
        loose = b"|".join(map(re.escape, map(str.encode, anywhere)))
        starts = rb"(?<![A-Za-z])(?=(?:%b)=)|" % loose if loose else b""
        self._quoted = re.compile(rb"([\"'])(%b)\1\s{0,99}:\s{0,99}" % alternatives, re.IGNORECASE)
        self._parameter = re.compile(
            rb"(?:%b^|(?<=[?&;#]))(%b)=%b" % (starts, alternatives, _VALUE), re.IGNORECASE
        )

    def values(self, view: View) -> Iterator[Value]:
        """What stands in the fields that no view before this one shows."""
        yield from self._json(view)
        for match in self._parameter.finditer(view.data):
            if view.is_new(max(0, match.start() - 1), match.start(2)):
                yield Value(_decoded(match[1]), *match.span(2), True, _from_url(match[2]))

    def _json(self, view: View) -> Iterator[Value]:
        data, read_to = view.data, 0
        for match in self._quoted.finditer(data):
            at = match.end()
            if match.start() < read_to or not view.is_new(match.start(), at + 1):
                continue  # else it was found inside of an object before
            string = _STRINGS.get(data[at : at + 1])
            if string is not None:
                found = string.match(data, at)
                assert found is not None
                read_to = found.end()
                yield Value(_decoded(match[2]), *found.span(1), True, _from_json(found[1]))
            elif data[at : at + 1] in (b"{", b"["):
                if (name := _decoded(match[2])) in self._deep:
                    values, read_to = _inside(data, at, name)
                    yield from values
            elif number := _NUMBER.match(data, at):
                yield Value(_decoded(match[2]), *number.span(), False, number[0].decode())


def parts(data: bytes) -> Iterator[Value]:
    """The parts of a multipart form that are no files, by their names as Werkzeug reads them."""
    at = 0
    while match := _DISPOSITION.search(data, at):
        at = match.end()
        blank = _BLANK_LINE.search(data, at, at + _LONGEST_PART_HEAD)
        header = match[1].decode("utf-8", "replace")
        _, options = parse_options(re.sub(r"[\r\n]+[ \t]+", " ", header).strip(" \t"))
        if blank is None or "name" not in options:
            continue
        ends = _BOUNDARY.search(data, blank.end())
        at = ends.start() if ends else len(data)
        if "filename" not in options:
            yield Value(options["name"], blank.end(), at, True, _decoded(data[blank.end() : at]))


def at_pointer(data: bytes, pointer: tuple[str, ...]) -> set[str]:
    """The texts and numbers, as JSON, at ``pointer`` of the documents in ``data``: all of it, or a
    stream's frames.
    """
    found = set()
    for document in documents(data):
        found |= {json.dumps(value) for value in _leaves(_at(document, pointer))}
    return found


def _inside(data: bytes, at: int, name: str) -> tuple[list[Value], int]:
    """The texts and numbers of the object or list that begins at ``at``, and its end; names of
    fields are none.
    """
    found, depth = [], 0
    for match in _LEAF.finditer(data, at):
        letter = match[0][:1]
        if letter in (b"{", b"["):
            depth += 1
        elif letter in (b"}", b"]"):
            depth -= 1
        elif letter == b'"' and match[2] is None:
            found.append(Value(name, *match.span(1), True, _from_json(match[1])))
        elif letter != b'"':
            found.append(Value(name, *match.span(), False, match[0].decode()))
        if depth == 0:
            return found, match.end()
    return found, len(data)


def documents(data: bytes) -> Iterator[Any]:
    """The JSON in ``data``: all of it, or that of a stream's frames."""
    for text in [data, *(match[1] for match in _FRAME.finditer(data))]:
        try:
            yield json.loads(text)
        except (ValueError, RecursionError):
            continue


def _at(document: Any, pointer: tuple[str, ...]) -> Any:
    for step in pointer:
        if isinstance(document, dict):
            document = document.get(step)
        elif (
            isinstance(document, list)
            and step.isdecimal()
            and len(step) < 10
            and int(step) < len(document)
        ):
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


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _from_url(data: bytes) -> str:
    plain = next(islice(levels(data), 1, None), data) if b"\\" in data else data
    return unquote_plus(_decoded(plain), errors="surrogateescape")


def _from_json(data: bytes) -> str:
    if b"\\" not in data:
        return _decoded(data)
    try:
        return str(json.loads(f'"{_decoded(data)}"', strict=False))
    except ValueError:  # escaped as another language does it
        return _decoded(next(islice(levels(data), 1, None), data))
