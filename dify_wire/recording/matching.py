"""What makes two requests the same: matchers with names, and what differs if one does not fit.

A matcher reads one part of a request in a form that can be compared. What changes from run to run
(signatures, nonces, the caller's user, a form's boundary) is made the same first.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

from dify_wire.exchange import Request
from dify_wire.redaction.fields import parts
from dify_wire.redaction.replacement import GONE, KEY, USER, is_a_name
from dify_wire.text_file import printable

VOLATILE = frozenset({"user"})
"""Fields of a body or a query whose text differs for every caller."""

FORM_FIELDS = 1_000
"""A form with more fields than these is compared byte for byte."""

_SIGNATURE = frozenset({"timestamp", "nonce", "sign"})
_ANY = "*"
_SIGNED = re.compile(
    r"(?<![A-Za-z])(sign|nonce)(?:=|%(?:25){0,8}3[dD])(?:[A-Za-z0-9_\-+/=~.]++|%(?!26)[0-9A-Fa-f]{2})++"
)
_USER_BYTES = re.compile(USER.pattern.encode())
_TIMESTAMP = re.compile(r"(timestamp=)\d+(?=&)")
_BOUNDARY = re.compile(r'boundary="?([^";,]+)', re.IGNORECASE)
_USER_FIELD = re.compile(rb'("user"\s*:\s*")(?:[^"\\]++|\\.)++')
_USER_PAIR = re.compile(rb"(&user=)[^&]+")
_MOST_DIFFERENCES = 5
_SHOWN = 80


@dataclass(frozen=True, slots=True)
class RequestKey:
    """A request, and the label of the app whose key it carries."""

    request: Request
    app: str | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """Where two requests differ: the matcher's name, the place in the part, and both values."""

    matcher: str
    field: str
    recorded: str
    actual: str

    def __str__(self) -> str:
        where = f"{self.matcher} {self.field}".strip()
        return f"{where}: recorded {short(self.recorded)}, asked {short(self.actual)}"


@dataclass(frozen=True, slots=True)
class Matcher:
    """Compares the ``part`` of two requests that it reads."""

    name: str
    part: Callable[[RequestKey], Hashable]

    def differences(self, recorded: Hashable, actual: Hashable) -> list[Difference]:
        """What differs between two parts that were read; of JSON bodies at most five fields."""
        if recorded == actual:
            return []
        if isinstance(recorded, _Json) and isinstance(actual, _Json):
            found = _json_differences(self.name, recorded.value(), actual.value())
            return list(found)[:_MOST_DIFFERENCES]
        return [Difference(self.name, "", _as_text(recorded), _as_text(actual))]

    def fits(self, recorded: RequestKey, actual: RequestKey) -> bool:
        """Whether the parts are equal if anything may replace what redaction has taken out."""
        ours, theirs = self.part(recorded), self.part(actual)
        if isinstance(ours, _Json) and isinstance(theirs, _Json):
            return ours == theirs or _fits(ours.value(), theirs.value())
        return _fits(ours, theirs)


# The parts


@dataclass(frozen=True, slots=True)
class _Json:
    """A JSON value, written so that equal values are equal texts."""

    text: str

    def value(self) -> object:
        return json.loads(self.text)


def _query(key: RequestKey) -> Hashable:
    """Without what signs a URL, in any order."""
    pairs = parse_qsl(key.request.query, keep_blank_values=True)
    return _fields((name, value) for name, value in pairs if name not in _SIGNATURE)


def _fields(pairs: Iterator[tuple[str, str]]) -> Hashable:
    return tuple(sorted((name, _stable(name, value)) for name, value in pairs))


def _content_type(key: RequestKey) -> Hashable:
    """Without a form's boundary, which every client makes up."""
    values = [part.strip().lower() for part in key.request.header("content-type", "").split(";")]
    return "; ".join([values[0], *(one for one in values[1:] if not one.startswith("boundary"))])


def _body(key: RequestKey) -> Hashable:
    """JSON as a value, forms as fields, everything else byte for byte."""
    request = key.request
    if request.media_type == "application/x-www-form-urlencoded":
        return _form(request.body)
    if request.media_type == "multipart/form-data":
        return _multipart(request)
    body = _json(request.body, _stable)
    if isinstance(body, bytes):
        return _USER_BYTES.sub(_ANY.encode(), _USER_FIELD.sub(rb"\1" + _ANY.encode(), body))
    return body


def _exact_body(key: RequestKey) -> Hashable:
    """JSON as a value with everything that is in it, everything else byte for byte."""
    return _json(key.request.body, lambda _, value: value)


def _header(name: str) -> Callable[[RequestKey], Hashable]:
    return lambda key: key.request.header(name, "")


def _form(body: bytes) -> Hashable:
    try:
        text = body.decode("latin-1")
        return _fields(iter(parse_qsl(text, keep_blank_values=True, max_num_fields=FORM_FIELDS)))
    except ValueError:
        return _USER_PAIR.sub(rb"\1" + _ANY.encode(), b"&" + body)


def _multipart(request: Request) -> Hashable:
    body = request.body
    for part in reversed(list(parts(body))):
        if part.name in VOLATILE and is_a_name(part.text):
            body = body[: part.start] + _ANY.encode() + body[part.end :]
    body = _USER_BYTES.sub(_ANY.encode(), body)
    boundary = _BOUNDARY.search(request.header("content-type", ""))
    return body.replace(b"--" + boundary[1].encode("latin-1"), b"--boundary") if boundary else body


def _json(body: bytes, stable: Callable[[str, str], str]) -> Hashable:
    def settle(value: object, name: str) -> object:
        if isinstance(value, dict):
            return {key: settle(one, key) for key, one in value.items()}
        if isinstance(value, list):
            return [settle(one, name) for one in value]
        return stable(name, value) if isinstance(value, str) else value

    try:
        value = settle(json.loads(body, object_pairs_hook=_with_unique_names), "")
        return _Json(json.dumps(value, sort_keys=True, ensure_ascii=False))
    except (ValueError, RecursionError):
        return body


def _with_unique_names(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object with a name twice is not the same as one that has it once."""
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a name is there twice")
    return dict(pairs)


def _stable(name: str, value: str) -> str:
    """A field's text without what changes from run to run."""
    if name in VOLATILE and is_a_name(value):
        return _ANY
    value = _SIGNED.sub(rf"\g<1>={_ANY}", _TIMESTAMP.sub(rf"\g<1>{_ANY}", value))
    return _without_pseudonyms(value)


def _without_pseudonyms(text: str) -> str:
    """``text`` without what every recorder names differently: users and unknown keys."""
    text = KEY.sub(lambda match: match[0] if not match[1].startswith("unknown-") else _ANY, text)
    return USER.sub(_ANY, text)


MATCHERS = (
    Matcher("method", lambda key: key.request.method),
    Matcher("path", lambda key: _without_pseudonyms(unquote(key.request.path))),
    Matcher("query", _query),
    Matcher("app", lambda key: key.app),
    Matcher("content type", _content_type),
    Matcher("body", _body),
)
"""For a replay: what a response depends on once key, origin and signature have been checked."""

EXACT_MATCHERS = (
    Matcher("method", lambda key: key.request.method),
    Matcher("target", lambda key: key.request.target),
    Matcher("authorization", _header("authorization")),
    Matcher("content-type", _header("content-type")),
    Matcher("origin", _header("origin")),
    Matcher("access-control-request-method", _header("access-control-request-method")),
    Matcher("access-control-request-headers", _header("access-control-request-headers")),
    Matcher("body", _exact_body),
)
"""For checks on a recording: the same request as it was sent, key and signature included."""


# What differs


def _json_differences(
    matcher: str, recorded: object, actual: object, place: str = ""
) -> Iterator[Difference]:
    if isinstance(recorded, dict) and isinstance(actual, dict):
        for name in dict.fromkeys([*recorded, *actual]):
            ours, theirs = recorded.get(name, _ABSENT), actual.get(name, _ABSENT)
            yield from _json_differences(matcher, ours, theirs, f"{place}/{name}")
    elif isinstance(recorded, list) and isinstance(actual, list) and len(recorded) == len(actual):
        for index, (ours, theirs) in enumerate(zip(recorded, actual, strict=True)):
            yield from _json_differences(matcher, ours, theirs, f"{place}/{index}")
    elif _as_text(recorded) != _as_text(actual):
        yield Difference(matcher, place, _as_text(recorded), _as_text(actual))


def _fits(recorded: object, actual: object) -> bool:
    if type(recorded) is not type(actual):
        return False
    if isinstance(recorded, dict) and isinstance(actual, dict):
        return recorded.keys() == actual.keys() and all(
            _fits(value, actual[name]) for name, value in recorded.items()
        )
    if isinstance(recorded, list | tuple) and isinstance(actual, list | tuple):
        return len(recorded) == len(actual) and all(map(_fits, recorded, actual))
    if recorded == actual or not (isinstance(recorded, str) and isinstance(actual, str)):
        return recorded == actual
    first, *others = recorded.split(GONE)
    at = len(first)
    for piece in others:
        at = actual.find(piece, at)
        if at < 0:
            return False
        at += len(piece)
    return bool(others) and actual.startswith(first) and actual.endswith(others[-1])


_ABSENT = object()


def _as_text(value: object) -> str:
    if value is _ABSENT:
        return "nothing"
    if isinstance(value, _Json):
        return value.text
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace") or "nothing"
    if isinstance(value, tuple):
        return "&".join("=".join(map(str, pair)) for pair in value) or "nothing"
    return json.dumps(value, ensure_ascii=False)


def short(text: str) -> str:
    """``text`` in a message: shortened, and on one line."""
    return printable(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
