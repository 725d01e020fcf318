"""Requests out of bytes, by the rules of nginx 1.22 (``ngx_http_parse.c`` and
``ngx_http_request.c``).

nginx takes what stricter parsers refuse and refuses what they take, so the fake has to read as it
does: several blanks between the words of a request line, empty lines before it, lone line feeds,
header lines without a colon, bytes beyond ASCII. Lines are read as they arrive; one that is refused
or too long is refused then, whatever would have followed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from fake_server.http.error_pages import HEAD_TOO_LARGE

_COMMON_LINE = re.compile(rb"([A-Z_-]+) +(/[^\x00-\x20\x7f]*) +HTTP/1\.([0-9]{1,3}) *\r?")
_METHOD = re.compile(rb"[A-Z_-]+")
_METHOD_SO_FAR = re.compile(rb"[A-Z_-]*(?: |\Z)")
_TARGET = re.compile(rb"(/[^\x00-\x20\x7f]*)")
_ABSOLUTE_TARGET = re.compile(
    rb"[A-Za-z][A-Za-z0-9+.-]*://(?:\[[\w.:~!$&'()*+,;=-]+\]|[A-Za-z0-9.-]+)(?::[0-9]*)?((?:[/?][^\x00-\x20\x7f]*)?)"
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
    """A request that nginx refuses with ``status`` before any app sees it, and closes."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass(frozen=True, slots=True)
class HeadLimits:
    """The most bytes of a request line, of a header line and of all header lines, line ends
    included.

    A chunk that announces more bytes than ``body`` is refused before they come.
    """

    request_line: int
    header_line: int
    headers: int
    body: int = field(default=_GREATEST_LENGTH, repr=False)


class Head:
    """What precedes a body. ``headers`` have their names in lower case; ``names`` has them as they
    came.

    ``target`` is the path with its query. ``version`` is "0.9", "1.0" or "1.1": nginx takes all of
    1.x for that.
    """

    __slots__ = (
        "headers",
        "keep_alive",
        "method",
        "names",
        "target",
        "version",
        "waits_for_100",
        "with_body",
    )

    def __init__(self, method: bytes, target: bytes, version: str) -> None:
        self.method = method
        self.target = target
        self.version = version
        self.headers: list[tuple[bytes, bytes]] = []
        self.names: list[bytes] = []
        self.keep_alive = version == "1.1"
        self.with_body = False
        self.waits_for_100 = False


class End:
    """The request is whole; comes after a body only."""


END: Final = End()

Event = Head | bytes | End


class RequestParser:
    """Bytes in by ``feed``; heads, parts of bodies and ends out by ``next_event``, for one request
    after the other.
    """

    def __init__(self, limits: HeadLimits) -> None:
        self._limits = limits
        self._buffer = bytearray()
        self._at = 0
        self._scanned = 0
        self._head: Head | None = None
        self._line_bytes = 0
        self._left = 0
        self._read: Callable[[], Event | None] = self._read_head

    @property
    def pending(self) -> int:
        """How many bytes have been fed and not yet been read."""
        return len(self._buffer) - self._at

    def feed(self, data: bytes) -> None:
        """Take what has arrived."""
        if self._at:
            del self._buffer[: self._at]
            self._scanned -= self._at
            self._at = 0
        self._buffer += data

    def next_event(self) -> Event | None:
        """What comes next; None where more bytes are needed for that. Raises
        ``RefusedRequestError``.
        """
        return self._read()

    def _line(self, most: int, refusal: int) -> bytes | None:
        """The next line without its line feed; None where it has not come. Longer than ``most`` it
        is refused.
        """
        end = self._buffer.find(b"\n", max(self._scanned, self._at))
        arrived = (len(self._buffer) if end < 0 else end + 1) - self._at
        if arrived > most or (end < 0 and arrived == most):
            raise RefusedRequestError(refusal)
        if end < 0:
            self._scanned = len(self._buffer)
            return None
        line = bytes(self._buffer[self._at : end])
        self._at = end + 1
        return line

    # The head
    # --------------------------------------------------------------------------------------------------------

    def _read_head(self) -> Head | None:
        head = self._head
        if head is None:
            head = self._request_line()
            if head is None:
                return None
            if head.version == "0.9":
                return head  # it has no headers
            self._head = head
            self._line_bytes = 0
        headers, names, limits = head.headers, head.names, self._limits
        while True:
            line = self._line(
                min(limits.header_line, limits.headers - self._line_bytes), HEAD_TOO_LARGE
            )
            if line is None:
                return None
            if line in (b"\r", b""):
                self._head = None
                self._finish(head)
                return head
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

    def _request_line(self) -> Head | None:
        self._at = _LINE_BREAKS.match(self._buffer, self._at).end()  # type: ignore[union-attr]  # it always matches
        line = self._line(self._limits.request_line, 414)
        if line is None:
            if not _METHOD_SO_FAR.match(self._buffer, self._at):
                raise RefusedRequestError(400)
            return None
        match = _COMMON_LINE.fullmatch(line)
        if match is None:
            return _other_request_line(line)
        return Head(match[1], match[2], "1.1" if int(match[3]) else "1.0")

    def _finish(self, head: Head) -> None:
        """Find out how the body is framed, and whether the connection is kept."""
        framing: dict[bytes, bytes] = {}
        for name, value in head.headers:
            if name in _FRAMING:
                if name in framing:
                    raise RefusedRequestError(400)
                framing[name] = value
            elif name == b"connection":
                options = value.lower()
                head.keep_alive = b"close" not in options and (
                    head.keep_alive or b"keep-alive" in options
                )
        if framing:
            self._frame(head, framing.get(b"content-length"), framing.get(b"transfer-encoding"))
            expected = framing.get(b"expect", b"").lower() == b"100-continue"
            head.waits_for_100 = expected and head.with_body and head.version == "1.1"

    def _frame(self, head: Head, length: bytes | None, coding: bytes | None) -> None:
        if length is not None:
            if not length.isdigit() or len(length.lstrip(b"0")) > _LENGTH_DIGITS:
                raise RefusedRequestError(400)
            self._left = int(length[-_LENGTH_DIGITS:])
            if self._left > _GREATEST_LENGTH:
                raise RefusedRequestError(400)
            head.with_body = self._left > 0
            self._read = self._read_by_length if head.with_body else self._read_head
        if coding is not None:
            chunked = coding.lower() == b"chunked"
            if head.version == "1.0" or (chunked and length is not None):
                raise RefusedRequestError(400)
            if not chunked:
                raise RefusedRequestError(501)
            self._read = self._read_chunk_size
            head.with_body = True

    # The body
    # --------------------------------------------------------------------------------------------------------

    def _end(self) -> End:
        self._read = self._read_head
        return END

    def _read_by_length(self) -> Event | None:
        return self._data() if self._left else self._end()

    def _data(self) -> bytes | None:
        data = bytes(self._buffer[self._at : self._at + self._left])
        self._at += len(data)
        self._left -= len(data)
        return data or None

    def _small_chunks(self) -> bytes:
        """The data of the chunks that have arrived whole: one after the other they would take too
        long.
        """
        buffer, at = self._buffer, self._at
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

    def _read_chunk_size(self) -> Event | None:
        data = self._small_chunks()
        if data:
            return data
        line = self._line(self._limits.headers, 400)
        if line is None:
            if not _CHUNK_SIZE_SO_FAR.match(bytes(self._buffer[self._at : self._at + 18])):
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
        self._read = self._read_chunk if self._left else self._read_trailer
        return self._read()

    def _read_chunk(self) -> Event | None:
        if self._left:
            return self._data()
        end = bytes(self._buffer[self._at : self._at + 2])
        if end in (b"", b"\r"):
            return None
        if end != b"\r\n" and not end.startswith(b"\n"):
            raise RefusedRequestError(400)
        self._at += 1 if end.startswith(b"\n") else 2
        self._read = self._read_chunk_size
        return self._read()

    def _read_trailer(self) -> End | None:
        """Trailers are passed over, as nginx does it."""
        while (line := self._line(self._limits.headers - self._line_bytes, 400)) is not None:
            if line in (b"\r", b""):
                return self._end()
            if b"\r" in line[:-1]:
                raise RefusedRequestError(400)
            self._line_bytes += len(line) + 1
        return None


def _other_request_line(line: bytes) -> Head:
    """A request line that is not of the usual form. Raises ``RefusedRequestError`` where it is of
    none.
    """
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
    return Head(method, origin_form, ("1.1" if int(known[1]) else "1.0") if known else "0.9")


def _other_header(line: bytes) -> tuple[bytes, bytes]:
    """A header line without a colon, which has an empty value; no name where nginx passes over the
    line.

    Raises ``RefusedRequestError`` for blanks and controls in a name, and for what a value cannot
    have.
    """
    match = _OTHER_HEADER.fullmatch(line)
    if match is None:
        raise RefusedRequestError(400)
    return (match[1], b"") if _NAME.fullmatch(match[1]) else (b"", b"")
