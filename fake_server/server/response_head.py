"""Heads of responses as bytes: spelled and ordered as the host's proxy does it (FACTS 1.1, 1.2), or
as the app says.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from fake_server.http.error_pages import reason_phrase

RawHeaders = Sequence[tuple[bytes, bytes]]

_PLACES = {
    b"server": 0,
    b"date": 1,
    b"content-type": 2,
    b"content-length": 3,
    b"transfer-encoding": 3,
    b"connection": 4,
}
"""The headers that nginx itself writes, in its order; all others follow."""


def proxy_head(
    status: int, reason: bytes | None, headers: RawHeaders, connection: bytes, default: RawHeaders
) -> bytes:
    """The head as nginx writes it; ``default`` has what a response does not bring along itself,
    such as ``Date``.

    ``reason`` None is spelled as the app does it, in capitals.
    """
    first: list[bytes | None] = [None] * len(set(_PLACES.values()))
    rest: list[bytes] = []
    for name, value in (*default, *headers, (b"Connection", connection)):
        place = _PLACES.get(name.lower())
        if place is None:
            rest.append(b"%b: %b" % (name, value))
        else:
            first[place] = b"%b: %b" % (name, value)
    status_line = _status_line(status, reason, in_capitals=True)
    return _joined([status_line, *(line for line in first if line is not None), *rest])


def plain_head(status: int, reason: bytes | None, headers: RawHeaders, connection: bytes) -> bytes:
    """The head with ``headers`` as they are; that the connection closes is said after them, if they
    do not.
    """
    lines = [b"%b: %b" % pair for pair in headers]
    if connection == b"close" and not any(name.lower() == b"connection" for name, _ in headers):
        lines.append(b"Connection: close")
    return _joined([_status_line(status, reason, in_capitals=False), *lines])


@lru_cache(maxsize=256)
def _status_line(status: int, reason: bytes | None, in_capitals: bool) -> bytes:
    if reason is None:
        phrase = reason_phrase(status)
        reason = (phrase.upper() if in_capitals else phrase).encode()
    return b"HTTP/1.1 %d %b" % (status, reason)


def _joined(lines: list[bytes]) -> bytes:
    """Raises ``ValueError`` for a header that would break its line."""
    head = b"\r\n".join(lines)
    if head.count(b"\n") != len(lines) - 1 or head.count(b"\r") != len(lines) - 1:
        raise ValueError("a header with a line break cannot be sent")
    return head + b"\r\n\r\n"
