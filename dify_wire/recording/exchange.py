"""What a recording holds: a request as it was sent, and the answer as it came, chunk by chunk with
its times.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

FORMAT = 1
"""The version of the format. A reader refuses a newer one."""

MAIN = "main"
"""The label of the default app."""

ENDS = ("complete", "cut", "client_left")
"""How an answer can end: whole, with a broken connection, or because nobody listened any more."""

STATUSES = (200, 599)
"""The lowest and the highest status of an answer; what is lower announces one, or ends HTTP on the
connection.
"""

_LONGEST_SLUG = 60
_MODE = re.compile(rb'"response_mode"\s*:\s*"(blocking|streaming)"')

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes of an answer's body that came together, ``at_s`` seconds after the request was sent."""

    at_s: float
    data: bytes


@dataclass(frozen=True, slots=True)
class Shortened:
    """A body of which only the beginning was kept: the whole had ``size`` bytes, with this digest
    where it is known.
    """

    size: int
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """A request; ``target`` is the path with its query, both as on the wire, ``body`` is free of
    transfer codings.

    ``chunk_sizes`` are those of a body that was sent with ``Transfer-Encoding: chunked``, where
    they are known.
    """

    method: str
    target: str
    headers: Headers
    body: bytes
    http_version: str = "1.1"
    chunk_sizes: tuple[int, ...] = ()
    shortened: Shortened | None = None

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]

    def header(self, name: str, default: str = "") -> str:
        """The first header of that name, in whatever case."""
        return _first(self.headers, name, default)

    def raw(self) -> bytes:
        """The request's bytes, ready for a socket."""
        lines = [f"{self.method} {self.target} HTTP/{self.http_version}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self._framed()

    def _framed(self) -> bytes:
        if "chunked" not in self.header("transfer-encoding").lower():
            return self.body
        chunks, start = [], 0
        for size in self.chunk_sizes or (len(self.body),):
            chunks.append(b"%x\r\n%b\r\n" % (size, self.body[start : start + size]))
            start += size
        return b"".join([*(chunks if self.body else ()), b"0\r\n\r\n"])


@dataclass(frozen=True, slots=True)
class Recording:
    """One exchange.

    ``app`` is a label: ``main`` for the default app, a KIND (chat, unpublished, disabled, deleted)
    or the stem of an app file; None without a valid key. ``recorded_at`` is the unix time of the
    request, ``seconds`` how long the whole exchange took, ``redacted`` names the rules that changed
    something. ``number`` is that of its file, 0 without one.
    """

    name: str
    app: str | None
    note: str
    recorded_at: float
    host: str
    host_version: str
    request: RecordedRequest
    status: int
    reason: str
    headers: Headers
    chunks: tuple[Chunk, ...]
    seconds: float
    ended: str = "complete"
    redacted: tuple[str, ...] = ()
    shortened: Shortened | None = None
    number: int = field(default=0, compare=False)

    @property
    def label(self) -> str:
        """The name as it is shown; one that only repeats the request line is followed by what tells
        runs apart.
        """
        if self.name != slug(f"{self.request.method} {self.request.path}"):
            return self.name
        number = f"{self.number:04}-" if self.number else ""
        mode = _MODE.search(self.request.body)
        details = [*([mode[1].decode()] if mode else []), str(self.status)]
        return f"{number}{self.name} ({', '.join(details)})"

    @property
    def body(self) -> bytes:
        """All that was kept of the answer's body."""
        return b"".join(chunk.data for chunk in self.chunks)

    def header(self, name: str, default: str = "") -> str:
        """The answer's first header of that name, in whatever case."""
        return _first(self.headers, name, default)


def slug(words: str) -> str:
    """``words`` as a part of a file's name."""
    return re.sub(r"[^A-Za-z0-9_]+", "-", words).strip("-")[:_LONGEST_SLUG] or "exchange"


def announced(headers: Headers, before: int, after: int) -> Headers:
    """``headers`` with a Content-Length of ``after``, where they truly announced ``before``."""
    if before == after:
        return headers
    return tuple(
        (
            name,
            str(after)
            if name.lower() == "content-length" and value.strip() == str(before)
            else value,
        )
        for name, value in headers
    )


def _first(headers: Headers, name: str, default: str) -> str:
    return next((value for key, value in headers if key.lower() == name.lower()), default)
