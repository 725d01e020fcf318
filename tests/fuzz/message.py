"""A request as the checker sees it: read back from the bytes that were sent, so that a finding
needs nothing else.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

Dialogue = tuple[bytes, ...]
"""The requests of one connection, in their order."""

_LINE = re.compile(rb"([A-Z_-]+) ([^\x00-\x20\x7f]+) HTTP/1\.([01])")


@dataclass(frozen=True, slots=True)
class Request:
    """One request. ``readable`` is whether its head is HTTP at all; if not, everything else is
    empty.
    """

    raw: bytes
    readable: bool
    method: str
    target: bytes
    minor: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    def all(self, name: bytes) -> list[bytes]:
        """The values of every header ``name`` (lower case), in their order."""
        return [value for key, value in self.headers if key == name]

    def header(self, name: bytes) -> bytes | None:
        """The value as the app gets it: gunicorn joins lines of one name with a comma; the last
        Content-Type counts.
        """
        values = self.all(name)
        if not values:
            return None
        return values[-1] if name == b"content-type" else b",".join(values)

    @property
    def path(self) -> bytes:
        """The path of the target, still encoded; of an absolute address what follows its host."""
        target = self.target.partition(b"#")[0].partition(b"?")[0]
        absolute = re.match(rb"[A-Za-z]+://[^/?#]*", target)
        return (target[absolute.end() :] or b"/") if absolute else target

    @property
    def query(self) -> bytes:
        return self.target.partition(b"#")[0].partition(b"?")[2]

    def json(self) -> Any:
        """The JSON of the body, or None."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


def parse(raw: bytes) -> Request:
    """Read ``raw``, one whole request."""
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    match = _LINE.fullmatch(first)
    pairs = [line.partition(b":") for line in lines]
    if match is None or not all(colon and name for name, colon, _ in pairs):
        return Request(raw, False, "", b"", 1, (), b"")
    headers = tuple((name.lower(), value.strip(b" \t")) for name, _, value in pairs)
    chunked = any(
        name == b"transfer-encoding" and value.lower() == b"chunked" for name, value in headers
    )
    return Request(
        raw,
        True,
        match[1].decode(),
        match[2],
        int(match[3]),
        headers,
        _dechunked(body) if chunked else body,
    )


def _dechunked(body: bytes) -> bytes:
    whole = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size.partition(b";")[0], 16)
        if length == 0:
            break
        whole += rest[:length]
        body = rest[length + 2 :]
    return whole


def render(
    method: bytes,
    target: bytes,
    headers: list[tuple[bytes, bytes]],
    body: bytes | None = None,
    *,
    version: bytes = b"HTTP/1.1",
    chunks: int = 0,
) -> bytes:
    """The bytes of a request; ``chunks`` sends the body in pieces of that size, 0 in one piece with
    its length.
    """
    lines = [
        b" ".join((method, target, version)),
        *(name + b": " + value for name, value in headers),
    ]
    if body is not None:
        lines.append(b"Transfer-Encoding: chunked" if chunks else b"Content-Length: %d" % len(body))
    head = b"\r\n".join(lines) + b"\r\n\r\n"
    return head + (_chunked(body or b"", chunks) if chunks else body or b"")


def _chunked(body: bytes, size: int) -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
