"""What makes two requests the same: small matchers with names, and what differs where one does not
fit.

A matcher reads one part of a request in a form that can be compared; what changes from run to run
(signatures, nonces, the caller's user, a form's boundary) is made the same first. Two requests are
the same where all parts are equal.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import parse_qsl, unquote

from dify_wire.exchange import Request
from dify_wire.printable import printable
from dify_wire.redaction.fields import parts
from dify_wire.redaction.pseudonyms import GONE, KEY, USER, is_a_name

VOLATILE = frozenset({"user"})
"""Fields of a body or a query whose text is another one for every caller."""

_SIGNATURE = frozenset({"timestamp", "nonce", "sign"})
_ANY = "*"
_SIGNED = re.compile(
    r"(?<![A-Za-z])(sign|nonce)(?:=|%(?:25){0,8}3[dD])(?:[A-Za-z0-9_\-+/=~.]|%(?!26)[0-9A-Fa-f]{2})+"
)
_USER_BYTES = re.compile(USER.pattern.encode())
_TIMESTAMP = re.compile(r"(timestamp=)\d+(?=&)")
_BOUNDARY = re.compile(r'boundary="?([^";,]+)', re.IGNORECASE)
_USER_FIELD = re.compile(rb'("user"\s*:\s*")(?:[^"\\]|\\.)+')
FORM_FIELDS = 1_000
"""A form with more fields than these is compared byte for byte."""

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
    """One part in which two requests differ: the matcher's name, where in the part, and both values
    as text.
    """

    matcher: str
    field: str
    recorded: str
    asked: str

    def __str__(self) -> str:
        where = f"{self.matcher} {self.field}".strip()
        return f"{where}: recorded {short(self.recorded)}, asked {short(self.asked)}"


class Part(Protocol):
    """Reads the part of a request that a matcher compares."""

    def __call__(self, key: RequestKey, /) -> Hashable: ...


@dataclass(frozen=True, slots=True)
class Matcher:
    """Compares one part of two requests."""

    name: str
    part: Part

    def differences(self, recorded: RequestKey, asked: RequestKey) -> list[Difference]:
        """Nothing where the parts are equal; of JSON bodies the fields that differ, at most
        five.
        """
        return self.differences_of(self.part(recorded), self.part(asked))

    def differences_of(self, ours: Hashable, theirs: Hashable) -> list[Difference]:
        """As ``differences``, for parts that have been read."""
        if ours == theirs:
            return []
        if isinstance(ours, _Json) and isinstance(theirs, _Json):
            found = list(
                _json_differences(self.name, json.loads(ours.text), json.loads(theirs.text))
            )
            return found[:_MOST_DIFFERENCES]
        return [Difference(self.name, "", _told(ours), _told(theirs))]

    def fits(self, recorded: RequestKey, asked: RequestKey) -> bool:
        """Whether the parts are equal, or would be with something in place of what redaction has
        taken out.
        """
        ours, theirs = self.part(recorded), self.part(asked)
        if isinstance(ours, _Json) and isinstance(theirs, _Json):
            return ours == theirs or _fits(json.loads(ours.text), json.loads(theirs.text))
        return _fits(ours, theirs)


# The parts
# ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Json:
    """A JSON value, written so that equal values are equal texts."""

    text: str


def _method(key: RequestKey) -> Hashable:
    return key.request.method


def _path(key: RequestKey) -> Hashable:
    return _without_pseudonyms(unquote(key.request.path))


def _query(key: RequestKey) -> Hashable:
    """Without what signs a URL, in any order."""
    pairs = parse_qsl(key.request.query, keep_blank_values=True)
    return tuple(
        sorted((name, _settled(name, value)) for name, value in pairs if name not in _SIGNATURE)
    )


def _target(key: RequestKey) -> Hashable:
    return key.request.target


def _app(key: RequestKey) -> Hashable:
    return key.app


def _content_type(key: RequestKey) -> Hashable:
    """Without a form's boundary, which every client makes up."""
    media_type, *parameters = key.request.header("content-type", "").split(";")
    kept = (
        part.strip().lower()
        for part in parameters
        if not part.strip().lower().startswith("boundary")
    )
    return "; ".join([media_type.strip().lower(), *kept])


def _body(key: RequestKey) -> Hashable:
    """JSON as a value, forms as fields, everything else byte for byte."""
    request = key.request
    media_type = request.header("content-type", "").partition(";")[0].strip().lower()
    if media_type == "application/x-www-form-urlencoded":
        return _form(request.body)
    if media_type == "multipart/form-data":
        return _multipart(request)
    said = _json(request.body, _settled)
    if isinstance(said, bytes):
        return _USER_BYTES.sub(_ANY.encode(), _USER_FIELD.sub(rb"\1" + _ANY.encode(), said))
    return said


def _exact_body(key: RequestKey) -> Hashable:
    """JSON as a value with everything that is in it, everything else byte for byte."""
    return _json(key.request.body, lambda _, value: value)


def _header(name: str) -> Part:
    return lambda key: key.request.header(name, "")


def _form(body: bytes) -> Hashable:
    """The fields; a form of too many is compared byte for byte."""
    try:
        pairs = parse_qsl(
            body.decode("latin-1"), keep_blank_values=True, max_num_fields=FORM_FIELDS
        )
    except ValueError:
        return _USER_PAIR.sub(rb"\1" + _ANY.encode(), b"&" + body)
    return tuple(sorted((name, _settled(name, value)) for name, value in pairs))


def _multipart(request: Request) -> Hashable:
    body = request.body
    for part in reversed(list(parts(body))):
        if part.name in VOLATILE and is_a_name(part.text):
            body = body[: part.start] + _ANY.encode() + body[part.end :]
    body = _USER_BYTES.sub(_ANY.encode(), body)
    boundary = _BOUNDARY.search(request.header("content-type", ""))
    return body.replace(b"--" + boundary[1].encode("latin-1"), b"--boundary") if boundary else body


def _json(body: bytes, settled: Callable[[str, str], str]) -> Hashable:
    try:
        value = json.loads(body, object_pairs_hook=_without_twins)
        return _Json(
            json.dumps(_with_settled(value, "", settled), sort_keys=True, ensure_ascii=False)
        )
    except (ValueError, RecursionError):
        return body


def _without_twins(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object that says a name twice is not the same as one that says it once."""
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a name is there twice")
    return dict(pairs)


def _with_settled(value: object, name: str, settled: Callable[[str, str], str]) -> object:
    if isinstance(value, dict):
        return {key: _with_settled(one, key, settled) for key, one in value.items()}
    if isinstance(value, list):
        return [_with_settled(one, name, settled) for one in value]
    return settled(name, value) if isinstance(value, str) else value


def _settled(name: str, value: str) -> str:
    """A field's text without what changes from run to run."""
    if name in VOLATILE and is_a_name(value):
        return _ANY
    value = _SIGNED.sub(rf"\g<1>={_ANY}", _TIMESTAMP.sub(rf"\g<1>{_ANY}", value))
    return _without_pseudonyms(value)


def _without_pseudonyms(text: str) -> str:
    """``text`` with a star for what every recorder writes otherwise: users wherever they stand, and
    unknown keys.
    """
    text = KEY.sub(lambda match: match[0] if not match[1].startswith("unknown-") else _ANY, text)
    return USER.sub(_ANY, text)


MATCHERS = tuple(
    Matcher(name, part)
    for name, part in (
        ("method", _method),
        ("path", _path),
        ("query", _query),
        ("app", _app),
        ("content type", _content_type),
        ("body", _body),
    )
)
"""For a replay: what a host's answer depends on once key, origin and signature have been judged."""

_JUDGED_HEADERS = (
    "authorization",
    "content-type",
    "origin",
    "access-control-request-method",
    "access-control-request-headers",
)
EXACT_MATCHERS = (
    Matcher("method", _method),
    Matcher("target", _target),
    *(Matcher(name, _header(name)) for name in _JUDGED_HEADERS),
    Matcher("body", _exact_body),
)
"""For judging a recording: the same request as it was sent, key and signature included."""


# What differs
# -------------------------------------------------------------------------------------------------------


def _json_differences(
    matcher: str, recorded: object, asked: object, place: str = ""
) -> Iterator[Difference]:
    if isinstance(recorded, dict) and isinstance(asked, dict):
        for name in dict.fromkeys([*recorded, *asked]):
            yield from _json_differences(
                matcher, recorded.get(name, _GONE), asked.get(name, _GONE), f"{place}/{name}"
            )
    elif isinstance(recorded, list) and isinstance(asked, list) and len(recorded) == len(asked):
        for index, (one, other) in enumerate(zip(recorded, asked, strict=True)):
            yield from _json_differences(matcher, one, other, f"{place}/{index}")
    elif _told(recorded) != _told(asked):
        yield Difference(matcher, place, _told(recorded), _told(asked))


def _fits(recorded: object, asked: object) -> bool:
    if type(recorded) is not type(asked):
        return False
    if isinstance(recorded, dict) and isinstance(asked, dict):
        return recorded.keys() == asked.keys() and all(
            _fits(value, asked[name]) for name, value in recorded.items()
        )
    if isinstance(recorded, list | tuple) and isinstance(asked, list | tuple):
        return len(recorded) == len(asked) and all(map(_fits, recorded, asked))
    if recorded == asked or not (isinstance(recorded, str) and isinstance(asked, str)):
        return recorded == asked
    first, *others = recorded.split(GONE)
    at = len(first)
    for piece in others:
        at = asked.find(piece, at)
        if at < 0:
            return False
        at += len(piece)
    return bool(others) and asked.startswith(first) and asked.endswith(others[-1])


_GONE = object()


def _told(value: object) -> str:
    if value is _GONE:
        return "nothing"
    if isinstance(value, _Json):
        return value.text
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace") or "nothing"
    if isinstance(value, tuple):
        return "&".join("=".join(map(str, pair)) for pair in value) or "nothing"
    return json.dumps(value, ensure_ascii=False)


def short(text: str) -> str:
    """``text`` as far as a message shows it, on one line."""
    return printable(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
