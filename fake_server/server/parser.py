"""Requests out of bytes, by the rules of nginx 1.22 (``ngx_http_parse.c`` and
``ngx_http_request.c``).

nginx accepts what stricter parsers refuse and refuses what they accept: several spaces between the
words of a request line, empty lines before it, lone line feeds, header lines without a colon, bytes
beyond ASCII. Lines are read as they arrive; one that is wrong or too long is refused at once,
whatever would have followed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from fake_server.http.error_pages import HEAD_TOO_LARGE
from fake_server.http.quick import LONGEST_KNOWN
from fake_server.http.responses import RawHeaders
from fake_server.server.heads import Head, KnownHeads, scope_of

_COMMON_LINE = re.compile(rb"([A-Z_-]+) +(/[^\x00-\x20\x7f]*) +HTTP/1\.([0-9]{1,3}) *\r?")
_METHOD = re.compile(rb"[A-Z_-]+")
_METHOD_SO_FAR = re.compile(rb"[A-Z_-]*(?: |\Z)")
_TARGET = re.compile(rb"(/[^\x00-\x20\x7f]*)")
_ABSOLUTE_TARGET = re.compile(
    rb"[A-Za-z][A-Za-z0-9+.-]*://(?:\[[\w.:~!$&'()*+,;=-]+\]|[A-Za-z0-9.-]+)(?::[0-9]*)?"
    rb"((?:[/?][^\x00-\x20\x7f]*)?)"
)
_HTTP_2 = re.compile(rb"HTTP/(?:[2-9]|1[0-9])")
_HTTP_1 = re.compile(rb"HTTP/1\.([0-9]{1,3})")
_HEADER = re.compile(rb"([A-Za-z0-9-]+): *([^\x00\r]*)\r*")
_OTHER_HEADER = re.compile(rb"([^\x00-\x20\x7f:]+)(?:: *[^\x00\r]*)?\r*")
_NAME = re.compile(rb"[A-Za-z0-9-]+")
_CHUNK_SIZE = re.compile(rb"(0*[0-9A-Fa-f]{1,16})(?:[; \t][^\r]*)?\r?")
_CHUNK_SIZE_SO_FAR = re.compile(rb"[0-9A-Fa-f]*(?:\r?\Z|[; \t])")
_SMALL_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,5})\r\n")
_LINE_BREAKS = re.compile(rb"[\r\n]*")
_FRAMING = frozenset({b"content-length", b"transfer-encoding", b"expect"})
_GREATEST_LENGTH = (1 << 63) - 1
"""The greatest Content-Length and chunk size that nginx can count to."""

_LENGTH_DIGITS = len(str(_GREATEST_LENGTH))


class RefusedRequestError(Exception):
    """A request that nginx refuses with ``status`` before any app sees it."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class HeadLimits(NamedTuple):
    """The most bytes of a request line, of a header line and of all header lines, line ends
    included; and of one chunk of a body.
    """

    request_line: int
    header_line: int
    headers: int
    body: int = _GREATEST_LENGTH


class RequestParser:
    """Turns bytes into heads and parts of bodies, for one request after the other. ``known`` are
    the heads that were read before under the same limits.
    """

    __slots__ = (
        "_at",
        "_headers",
        "_known",
        "_left",
        "_limits",
        "_line_bytes",
        "_names",
        "_read",
        "_scanned",
        "buffer",
        "in_body",
        "request_line",
    )

    def __init__(self, limits: HeadLimits, known: KnownHeads | None = None) -> None:
        self._limits = limits
        self._known = known or KnownHeads()
        self.buffer = bytearray()
        """What has come and has not been read; whoever receives bytes appends them."""
        self._at = 0
        self._scanned = 0
        self.request_line: tuple[bytes, bytes, str] | None = None
        """That of a head that has not come whole; its headers so far are below."""
        self._headers: RawHeaders = []
        self._names: list[bytes] = []
        self._line_bytes = 0
        self._left = 0
        self._read: Callable[[RequestParser], Head | bytes | None] = RequestParser._read_head
        """Reads what comes next. A function and no method: that would hold the parser in a cycle,
        and with it the memory of a connection that is over."""
        self.in_body = False
        """Whether more of a body is to come."""

    def next_event(self) -> Head | bytes | None:
        """What comes next; None where more bytes are needed. Raises ``RefusedRequestError``.

        A part of a body may be empty where only its end was still to come.
        """
        event = self._read(self)
        del self.buffer[: self._at]
        self._scanned = max(0, self._scanned - self._at)
        self._at = 0
        self.in_body = self._read is not RequestParser._read_head
        return event

    def _line(self, most: int, refusal: int) -> bytes | None:
        """The next line without its line feed, None until it has come; at most ``most`` bytes."""
        end = self.buffer.find(b"\n", max(self._scanned, self._at))
        arrived = (len(self.buffer) if end < 0 else end + 1) - self._at
        if arrived > most or (end < 0 and arrived == most):
            raise RefusedRequestError(refusal)
        if end < 0:
            self._scanned = len(self.buffer)
            return None
        line = bytes(self.buffer[self._at : end])
        self._at = end + 1
        return line

    # The head
    # ------------------------------------------------------------------------------------------

    def _read_head(self) -> Head | None:
        head, raw = None, b""
        if self.request_line is None and not self._scanned:
            end = self.buffer.find(b"\r\n\r\n", 0, LONGEST_KNOWN) + len(b"\r\n\r\n")
            raw = bytes(self.buffer[:end])
            head = self._known.request(raw)
        if head is not None:
            self._at = end
        else:
            head = self._parsed_head()
            if head is None:
                return None
            if self._at == len(raw):
                self._known.remember(raw, head)
        if head.chunked:
            self._read = RequestParser._read_chunk_size
        elif head.length:
            self._left = head.length
            self._read = RequestParser._read_by_length
        return head

    def _parsed_head(self) -> Head | None:
        if self.request_line is None:
            self.request_line = self._request_line()
            if self.request_line is None:
                return None
            self._headers, self._names, self._line_bytes = [], [], 0
        if self.request_line[2] != "0.9" and not self._header_lines():
            return None  # HTTP/0.9 has none
        head = _head(*self.request_line, self._headers, self._names)
        self.request_line = None
        return head

    def _request_line(self) -> tuple[bytes, bytes, str] | None:
        breaks = _LINE_BREAKS.match(self.buffer, self._at)
        assert breaks is not None
        self._at = breaks.end()
        line = self._line(self._limits.request_line, 414)
        if line is None:
            if not _METHOD_SO_FAR.match(self.buffer, self._at):
                raise RefusedRequestError(400)
            return None
        match = _COMMON_LINE.fullmatch(line)
        if match is None:
            return _other_request_line(line)
        return match[1], match[2], "1.1" if int(match[3]) else "1.0"

    def _header_lines(self) -> bool:
        """Read header lines; whether the empty line after them has come."""
        headers, names, limits = self._headers, self._names, self._limits
        while True:
            line = self._line(
                min(limits.header_line, limits.headers - self._line_bytes), HEAD_TOO_LARGE
            )
            if line is None:
                return False
            if line in (b"\r", b""):
                return True
            self._line_bytes += len(line) + 1
            match = _HEADER.fullmatch(line)
            if match is None:
                name, value = _other_header(line)
                if not name:
                    continue
            else:
                name, value = match[1], match[2].rstrip(b" ")
            names.append(name)
            headers.append((name.lower(), value))

    # The body
    # ------------------------------------------------------------------------------------------

    def _read_by_length(self) -> bytes | None:
        data = bytes(self.buffer[self._at : self._at + self._left])
        self._at += len(data)
        self._left -= len(data)
        if not self._left:
            self._read = RequestParser._read_head
        return data or None

    def _small_chunks(self) -> bytes:
        """The data of all chunks that have arrived whole: one by one they take too long."""
        buffer, at = self.buffer, self._at
        parts: list[bytearray] = []
        while (match := _SMALL_CHUNK_SIZE.match(buffer, at)) is not None:
            start = match.end()
            end = start + int(match[1], 16)
            if start == end or buffer[end : end + 2] != b"\r\n":
                break
            parts.append(buffer[start:end])
            at = end + 2
        self._at = at
        return b"".join(parts)

    def _read_chunk_size(self) -> Head | bytes | None:
        data = self._small_chunks()
        if data:
            return data
        line = self._line(self._limits.headers, 400)
        if line is None:
            if not _CHUNK_SIZE_SO_FAR.match(bytes(self.buffer[self._at : self._at + 18])):
                raise RefusedRequestError(400)
            return None
        match = _CHUNK_SIZE.fullmatch(line)
        if match is None:
            raise RefusedRequestError(400)
        self._left = int(match[1], 16)
        if self._left > _GREATEST_LENGTH:
            raise RefusedRequestError(400)
        if self._left > self._limits.body:
            raise RefusedRequestError(413)
        self._line_bytes = 0
        self._read = RequestParser._read_chunk if self._left else RequestParser._read_trailer
        return self._read(self)

    def _read_chunk(self) -> Head | bytes | None:
        if self._left:
            data = bytes(self.buffer[self._at : self._at + self._left])
            self._at += len(data)
            self._left -= len(data)
            return data or None
        end = bytes(self.buffer[self._at : self._at + 2])
        if end in (b"", b"\r"):
            return None
        if end != b"\r\n" and not end.startswith(b"\n"):
            raise RefusedRequestError(400)
        self._at += 1 if end.startswith(b"\n") else 2
        self._read = RequestParser._read_chunk_size
        return self._read(self)

    def _read_trailer(self) -> bytes | None:
        """Trailers are ignored, as by nginx."""
        while (line := self._line(self._limits.headers - self._line_bytes, 400)) is not None:
            if line in (b"\r", b""):
                self._read = RequestParser._read_head
                return b""
            if b"\r" in line[:-1]:
                raise RefusedRequestError(400)
            self._line_bytes += len(line) + 1
        return None


def _head(
    method: bytes, target: bytes, version: str, headers: RawHeaders, names: list[bytes]
) -> Head:
    """A head that has come whole. Raises ``RefusedRequestError`` where its body is framed in a way
    that nginx does not accept.
    """
    keep_alive = version == "1.1"
    framing: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in _FRAMING:
            if name in framing:
                raise RefusedRequestError(400)
            framing[name] = value
        elif name == b"connection":
            options = value.lower()
            keep_alive = b"close" not in options and (keep_alive or b"keep-alive" in options)
    length, chunked = _body(
        version, framing.get(b"content-length"), framing.get(b"transfer-encoding")
    )
    expects = framing.get(b"expect", b"").lower() == b"100-continue"
    waits_for_100 = expects and version == "1.1" and (chunked or length > 0)
    scope = scope_of(method, target, version, headers)
    return Head(
        method, target, version, keep_alive, headers, names, length, chunked, waits_for_100, scope
    )


def _body(version: str, length: bytes | None, coding: bytes | None) -> tuple[int, bool]:
    """The length of a body, 0 where none is announced, and whether it comes in chunks."""
    announced = 0
    if length is not None:
        if not length.isdigit() or len(length.lstrip(b"0")) > _LENGTH_DIGITS:
            raise RefusedRequestError(400)
        announced = int(length[-_LENGTH_DIGITS:])
        if announced > _GREATEST_LENGTH:
            raise RefusedRequestError(400)
    if coding is not None:
        chunked = coding.lower() == b"chunked"
        if version == "1.0" or (chunked and length is not None):
            raise RefusedRequestError(400)
        if not chunked:
            raise RefusedRequestError(501)
    return announced, coding is not None


def _other_request_line(line: bytes) -> tuple[bytes, bytes, str]:
    """An unusual request line. Raises ``RefusedRequestError`` where it is invalid."""
    method, _, rest = line.removesuffix(b"\r").partition(b" ")
    target, _, version = rest.lstrip(b" ").partition(b" ")
    path = _TARGET.fullmatch(target) or _ABSOLUTE_TARGET.fullmatch(target)
    version = version.strip(b" ")
    if not _METHOD.fullmatch(method) or not path:
        raise RefusedRequestError(400)
    if _HTTP_2.match(version):
        raise RefusedRequestError(505)
    known = _HTTP_1.fullmatch(version)
    if (version and not known) or (not version and method != b"GET"):
        raise RefusedRequestError(400)
    origin_form = path[1] if path[1].startswith(b"/") else b"/" + path[1]
    number = ("1.1" if int(known[1]) else "1.0") if known else "0.9"
    return method, origin_form, number


def _other_header(line: bytes) -> tuple[bytes, bytes]:
    """A header line without a colon, whose value is empty; no name where nginx ignores the line.

    Raises ``RefusedRequestError`` for spaces and controls in a name, and for an invalid value.
    """
    match = _OTHER_HEADER.fullmatch(line)
    if match is None:
        raise RefusedRequestError(400)
    return (match[1], b"") if _NAME.fullmatch(match[1]) else (b"", b"")
