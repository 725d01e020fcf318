"""Two answers to one request, compared part by part; where the status differs, nothing else is
looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from contract.diff import image, stream, style, timing, tree
from contract.diff.difference import ABSENT, Difference
from contract.diff.tree import Both, Found
from contract.diff.volatile import told
from dify_wire.exchange import Exchange, loads

_FREE = frozenset(
    {
        "date",
        "connection",
        "keep-alive",
        "server",
        "content-length",
        "transfer-encoding",
        "content-type",
    }
)
"""Headers of the server's own making; type and framing are compared apart."""

_IDENTITIES = frozenset({"etag", "last-modified", "expires", "age", "x-request-id", "x-trace-id"})
_SETS = frozenset({"allow", "access-control-allow-headers", "access-control-allow-methods", "vary"})
"""Headers whose words come in any order, on a real host in another from one process to the next."""

_NAMED = re.compile(r"(?<=/files/tools/)[^/]+|(?<=/files/)(?!tools/)[^/]+|(?<=/tasks/)[^/]+")
_COOKIE = re.compile(r"(?<==)[^;]*")
_USER_LEAST = 4
"""A shorter user is part of many words."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An exchange to be compared. ``whole`` is False where only the beginning of the body was
    kept.
    """

    exchange: Exchange
    user: str = ""
    whole: bool = True


def differences(
    name: str, a: Answer, b: Answer, factor: float = timing.DEFAULT_FACTOR
) -> list[Difference]:
    """Every difference between two answers to the request ``name``."""
    return [Difference(name, *found, form=_form(found)) for found in _found(a, b, factor)]


def _form(found: Found) -> str:
    """Times are other ones for every request: what they have in common is who is slower."""
    kind, _, ours, theirs = found
    return (
        ("slower" if float(theirs[:-2]) > float(ours[:-2]) else "faster")
        if kind == "timing"
        else ""
    )


def _found(a: Answer, b: Answer, factor: float) -> Iterator[Found]:
    ours, theirs = a.exchange, b.exchange
    if ours.status != theirs.status:
        yield "status", _place(ours), _status(ours), _status(theirs)
        return
    if (ours.failure is None) != (theirs.failure is None):
        yield "end", "answer", ours.failure or "whole", theirs.failure or "whole"
        return
    both = Both(_own(a), _own(b))
    yield from _headers(ours, theirs, both)
    yield from _framing(ours, theirs)
    yield from _bodies(a, b, both)
    yield from timing.differences(ours, theirs, factor)


def _place(exchange: Exchange) -> str:
    return f"{exchange.request.method} {_NAMED.sub('<id>', exchange.request.path)}"


def _status(exchange: Exchange) -> str:
    if exchange.status is None:
        return exchange.failure or "no answer"
    code = exchange.json_object().get("code")
    return f"{exchange.status} {code}" if isinstance(code, str) else str(exchange.status)


def _own(answer: Answer) -> dict[str, str]:
    """What only this answer has: its caller's user, and the address it was asked at."""
    host = next(
        (value for name, value in answer.exchange.request.headers if name.lower() == "host"), ""
    )
    known = {name: "<host>" for name in (host, host.partition(":")[0]) if name}
    return known | ({answer.user: "<user>"} if len(answer.user) >= _USER_LEAST else {})


# Head
# ---------------------------------------------------------------------------------------------------------------


def _headers(a: Exchange, b: Exchange, both: Both) -> Iterator[Found]:
    ours, theirs = _told_headers(a), _told_headers(b)
    names, others = [name for name, _ in ours], [name for name, _ in theirs]
    for name in dict.fromkeys([*names, *others]):
        values, other = _values(ours, name), _values(theirs, name)
        if not (values and other):
            yield "header", name, " | ".join(values) or ABSENT, " | ".join(other) or ABSENT
            continue
        one, two = _normal(name, values, both.a), _normal(name, other, both.b)
        if one != two and name not in _IDENTITIES:
            yield "header", name, tree.cut(one), tree.cut(two)
    shared = [name for name in dict.fromkeys(names) if name in others]
    order = [name for name in dict.fromkeys(others) if name in names]
    if shared != order:
        yield "header order", "headers", tree.cut(", ".join(shared)), tree.cut(", ".join(order))
    if a.header("content-type") != b.header("content-type"):
        yield (
            "header",
            "content-type",
            a.header("content-type") or ABSENT,
            b.header("content-type") or ABSENT,
        )


def _told_headers(exchange: Exchange) -> list[tuple[str, str]]:
    return [(name.lower(), value) for name, value in exchange.headers if name.lower() not in _FREE]


def _values(headers: Sequence[tuple[str, str]], wanted: str) -> list[str]:
    return [value for name, value in headers if name == wanted]


def _normal(name: str, values: Sequence[str], own: Any) -> str:
    if name in _SETS:
        values = [", ".join(sorted(word.strip() for word in value.split(","))) for value in values]
    if name == "set-cookie":
        values = [_COOKIE.sub("<value>", value, count=1) for value in values]
    return told(" | ".join(values), own).text


def _framing(a: Exchange, b: Exchange) -> Iterator[Found]:
    ours, theirs = _frame(a), _frame(b)
    if ours != theirs:
        yield "framing", _kind(a), ours, theirs


def _frame(exchange: Exchange) -> str:
    if exchange.header("transfer-encoding"):
        return str(exchange.header("transfer-encoding")).lower()
    return (
        "Content-Length"
        if exchange.header("content-length") is not None
        else "the end of the connection"
    )


def _kind(exchange: Exchange) -> str:
    return exchange.media_type or "no body"


# Body
# ---------------------------------------------------------------------------------------------------------------


def _bodies(a: Answer, b: Answer, both: Both) -> Iterator[Found]:
    ours, theirs = a.exchange.body, b.exchange.body
    if bool(ours) != bool(theirs) or a.exchange.media_type != b.exchange.media_type:
        if a.exchange.media_type == b.exchange.media_type:
            yield "length", "body", f"{len(ours)} bytes", f"{len(theirs)} bytes"
    elif a.exchange.media_type == stream.EVENT_STREAM:
        yield from stream.differences(ours, theirs, both)
    elif image.is_binary(ours, a.exchange.media_type):
        whole = a.whole and b.whole
        kinds = image.kind_of(ours, whole), image.kind_of(theirs, whole)
        if kinds[0] != kinds[1]:
            yield "picture", "body", *kinds
    elif a.whole and b.whole:
        yield from _readable(ours, theirs, both)


def _readable(a: bytes, b: bytes, both: Both) -> Iterator[Found]:
    one, other = a.decode("utf-8", "backslashreplace"), b.decode("utf-8", "backslashreplace")
    ours, theirs = _parsed(one), _parsed(other)
    if ours is None or theirs is None:
        yield from tree.texts(one, other, "body", both, "text")
        return
    yield from tree.differences(ours[0], theirs[0], "body", both)
    yield from style.differences(style.style(one, ours[0]), style.style(other, theirs[0]), "body")


def _parsed(text: str) -> tuple[Any] | None:
    """The JSON value in ``text``, apart from that there is none."""
    try:
        return (loads(text.removeprefix("\ufeff")),)
    except ValueError:
        return None
