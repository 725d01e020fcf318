"""Where secrets are named: headers, and the fields of JSON, queries and forms.

No body is parsed whole: it may be cut, broken, or JSON inside of a JSON string.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote_plus

from dify_wire.content_disposition import parse_options
from dify_wire.exchange import Request, loads
from dify_wire.redaction.views import View, levels

# Headers

COOKIES = ("cookie", "set-cookie")
SECRET_HEADERS = frozenset(
    (
        *(*COOKIES, "authorization", "proxy-authorization", "api-key", "x-api-key"),
        *("x-access-token", "x-admin-token", "x-auth-token"),
    )
)
"""In lower case."""

_SCHEME = re.compile(r"\s*(?:Basic|Bearer|Token)\s+(?=\S)", re.IGNORECASE)
_ONLY_SCHEME = re.compile(r"\s*(?:Basic|Bearer|Token|)\s*", re.IGNORECASE)
_LEAST_COOKIE = 8  # a shorter part of a cookie, such as "dark" or "modern", is also a word
_LEAST_PART = 16  # a shorter part of a secret, such as "username", is also a word

_HOST_COOKIES = ("session", "remember_token", "access_token", "refresh_token", "csrf_token")

_DAY = r"[A-Z][a-z]{2}, [0-9]{2}[ -][A-Z][a-z]{2}[ -][0-9]{4}"
_ATTRIBUTE = re.compile(
    rf" *(?:Expires={_DAY} [0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}} GMT"
    r"|Max-Age=-?[0-9]{1,10}|Path=/|Secure|HttpOnly"
    r"|Partitioned|SameSite=(?:Strict|Lax|None))",
    re.IGNORECASE,
)
"""The attributes of a cookie that say nothing of anybody."""


def credentials(value: str) -> tuple[str, str]:
    """The scheme of a header such as ``Authorization``, with the spaces after it, and the
    secret.
    """
    if _ONLY_SCHEME.fullmatch(value):
        return "", ""
    scheme = _SCHEME.match(value)
    return (scheme[0], value[scheme.end() :].strip()) if scheme else ("", value.strip())


def credential_parts(value: str) -> Iterator[str]:
    """What a host may repeat of an ``Authorization`` or the like, besides its whole secret."""
    scheme, secret = credentials(value)
    if scheme.strip().lower() == "basic":
        with contextlib.suppress(ValueError):
            pair = base64.b64decode(secret + "==").decode("utf-8", "surrogateescape")
            yield from (pair, pair.partition(":")[2])
    yield secret.partition(" ")[2].strip()
    yield from (part for part in re.split(r"[\s,;=\"]+", secret) if len(part) >= _LEAST_PART)


def without_cookies(name: str, value: str, gone: str) -> str:
    """The header ``name`` with ``gone`` in place of its secrets: of Set-Cookie, Dify's own names
    and harmless attributes stay.
    """
    if not value.strip():
        return value
    if name == "cookie":
        return gone
    pair, *attributes = value.split(";")
    cookie, equals, secret = pair.partition("=")
    if cookie not in _HOST_COOKIES:
        pair = gone
    elif secret.strip():
        pair = f"{cookie}{equals}{gone}"
    harmless = [
        one if not one.strip() or _ATTRIBUTE.fullmatch(one) else f" {gone}" for one in attributes
    ]
    return ";".join([pair, *harmless])


def cookie_secrets(value: str) -> Iterator[str]:
    """All parts of a Cookie or Set-Cookie header that may be found elsewhere too."""
    for part in value.split(";"):
        if _ATTRIBUTE.fullmatch(part):
            continue
        for piece in (part, part.partition("=")[2], *re.split(r"[=,\s]+", part)):
            if len(piece.strip(' "')) >= _LEAST_COOKIE and piece.strip() not in _HOST_COOKIES:
                yield piece.strip(' "')


# Fields

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
_MOST_FIELDS = 1000
_FRAME = re.compile(rb"^data: ?(.*)$", re.MULTILINE)


class Value(NamedTuple):
    """The value of the field ``name``, from ``start`` to ``end``, without quotation marks."""

    name: str
    start: int
    end: int
    is_text: bool
    text: str


class FieldReader:
    """Finds the fields with these ``names``; those named in ``anywhere`` also as parameters after
    any character; of those named in ``deep`` all strings and numbers inside.
    """

    def __init__(
        self, names: Iterable[str], anywhere: Iterable[str] = (), deep: Iterable[str] = ()
    ) -> None:
        self._deep = frozenset(deep)
        known = [name.encode("utf-8", "surrogateescape") for name in {*names, *anywhere, *deep}]
        alternatives = b"|".join(map(re.escape, known))
        loose = b"|".join(map(re.escape, map(str.encode, anywhere)))
        starts = rb"(?<![A-Za-z])(?=(?:%b)=)|" % loose if loose else b""
        self._quoted = re.compile(rb"([\"'])(%b)\1\s{0,99}:\s{0,99}" % alternatives, re.IGNORECASE)
        self._parameter = re.compile(
            rb"(?:%b^|(?<=[?&;#]))(%b)=%b" % (starts, alternatives, _VALUE), re.IGNORECASE
        )

    def values(self, view: View) -> Iterator[Value]:
        """The values of the fields that no view before this one shows."""
        yield from self._json(view)
        for match in self._parameter.finditer(view.data):
            if view.is_new(max(0, match.start() - 1), match.start(2)):
                yield Value(_decoded(match[1]), *match.span(2), True, _from_url(match[2]))

    def _json(self, view: View) -> Iterator[Value]:
        data, read_to = view.data, 0
        for match in self._quoted.finditer(data):
            at = match.end()
            if match.start() < read_to or not view.is_new(match.start(), at + 1):
                continue  # it was found before
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


def form_fields(text: str) -> list[tuple[str, str]]:
    """The fields of a query or a form; none where there are more than any form has."""
    try:
        return parse_qsl(text, max_num_fields=_MOST_FIELDS)
    except ValueError:
        return []


def user_of(request: Request) -> str | None:
    """The user that ``request`` names, as a string like the host keeps it, if it names one."""
    user: object = None
    if request.media_type == "multipart/form-data":
        user = next((part.text for part in parts(request.body) if part.name == "user"), None)
    elif request.media_type == "application/x-www-form-urlencoded":
        user = dict(form_fields(request.body.decode("latin-1"))).get("user")
    else:
        with contextlib.suppress(ValueError):
            body = loads(request.body)
            user = body.get("user") if isinstance(body, dict) else None
    user = user or dict(form_fields(request.query)).get("user")
    return str(user) if user else None


def at_pointer(data: bytes, pointer: tuple[str, ...]) -> set[str]:
    """The strings and numbers, as JSON, at ``pointer`` of the documents in ``data``."""
    found = set()
    for document in documents(data):
        found |= {json.dumps(value) for value in _leaves(_at(document, pointer))}
    return found


def _inside(data: bytes, at: int, name: str) -> tuple[list[Value], int]:
    """The strings and numbers of the object or list that begins at ``at``, and its end."""
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
        elif isinstance(document, list) and step.isdecimal() and len(step) < 10:
            document = next(iter(document[int(step) :]), None)
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
