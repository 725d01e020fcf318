"""One HTTP exchange: the request as it was sent and the response as it arrived, chunk by chunk."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, overload

EVENT_STREAM = "text/event-stream"
"""The media type of streams."""

ENDS = ("complete", "cut", "client_left")
"""How a response can end: whole, with a broken connection, or left by the client."""

_FAILURES = {
    "cut": "the connection broke off",
    "client_left": "the client did not wait for the end",
}
_LONGEST_SLUG = 60
_MODE = re.compile(rb'"response_mode"\s*:\s*"(blocking|streaming)"')

Headers = tuple[tuple[str, str], ...]

UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
"""A pattern of the ids of runs, tasks and files as the host writes them."""


def loads(text: bytes | str) -> Any:
    """``text`` as JSON. Raises ``ValueError`` where it is not, absurd nesting included."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply to be read as JSON") from None


def header_of(headers: Headers, name: str) -> str | None:
    """The first header of that name, in whatever case."""
    return next((value for key, value in headers if key.lower() == name.lower()), None)


def announced(headers: Headers, before: int, after: int) -> Headers:
    """``headers`` with a Content-Length of ``after`` where it is ``before``."""
    if before == after:
        return headers
    return tuple(
        (name, str(after))
        if name.lower() == "content-length" and value.strip() == str(before)
        else (name, value)
        for name, value in headers
    )


class _WithHeaders:
    __slots__ = ()
    headers: Headers

    @overload
    def header(self, name: str) -> str | None: ...

    @overload
    def header(self, name: str, default: str) -> str: ...

    def header(self, name: str, default: str | None = None) -> str | None:
        """The first header of that name, in whatever case."""
        value = header_of(self.headers, name)
        return default if value is None else value

    @property
    def media_type(self) -> str:
        return self.header("content-type", "").partition(";")[0].strip().lower()


class Chunk(NamedTuple):
    """Bytes of a response's body that arrived together, ``at_s`` seconds after the request."""

    at_s: float
    data: bytes


class Shortened(NamedTuple):
    """A body of which only the beginning is there: the whole has ``size`` bytes."""

    size: int
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Request(_WithHeaders):
    """A request. ``target`` is the path with its query, ``body`` is free of transfer codings.

    ``chunk_sizes`` are those of a body sent with ``Transfer-Encoding: chunked``, where known.
    """

    method: str
    target: str
    headers: Headers = ()
    body: bytes = b""
    http_version: str = "1.1"
    chunk_sizes: tuple[int, ...] = ()
    shortened: Shortened | None = None

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]

    def raw(self) -> bytes:
        """The request's bytes, ready for a socket."""
        lines = [f"{self.method} {self.target} HTTP/{self.http_version}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        if "chunked" not in self.header("transfer-encoding", "").lower():
            return head + self.body
        chunks, start = [head], 0
        for size in self.chunk_sizes or (len(self.body),) if self.body else ():
            chunks.append(b"%x\r\n%b\r\n" % (size, self.body[start : start + size]))
            start += size
        return b"".join([*chunks, b"0\r\n\r\n"])


@dataclass(frozen=True, slots=True)
class Exchange(_WithHeaders):
    """A request and its response. ``status`` is None without a response; ``reason`` is its phrase.

    ``sent_at`` is in unix seconds, ``seconds`` is the duration of the whole exchange. ``ended`` is
    one of ``ENDS``; ``error`` says in words why it is not complete. ``timed_out`` and ``connected``
    distinguish a slow host from one that breaks off, and from one that is not there.
    """

    request: Request
    status: int | None
    headers: Headers = ()
    chunks: tuple[Chunk, ...] = ()
    ended: str = "complete"
    error: str | None = None
    sent_at: float = 0.0
    seconds: float = 0.0
    timed_out: bool = False
    connected: bool = True
    reason: str = ""
    shortened: Shortened | None = None
    _cache: dict[str, bytes] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def failure(self) -> str | None:
        """Why the response is not whole; None where it is."""
        return None if self.ended == "complete" else self.error or _FAILURES[self.ended]

    @property
    def body(self) -> bytes:
        if "body" not in self._cache:
            self._cache["body"] = b"".join(chunk.data for chunk in self.chunks)
        return self._cache["body"]

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON. Raises ``ValueError`` where it is not."""
        return loads(self.body)

    def json_object(self) -> Mapping[str, Any]:
        """The body as a JSON object; an empty one where it is something else."""
        try:
            value = self.json()
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording(Exchange):
    """An exchange as it is recorded.

    ``app`` is a label: ``main`` for the default app, a KIND (chat, unpublished, disabled, deleted)
    or the stem of an app file; None without a valid key. ``redacted`` names the rules that changed
    something, ``number`` is that of the file, 0 without one.
    """

    status: int
    name: str
    host: str
    app: str | None = None
    note: str = ""
    host_version: str = ""
    redacted: tuple[str, ...] = ()
    number: int = field(default=0, compare=False)

    @property
    def label(self) -> str:
        """The name as it is shown; one that repeats the request line is made distinct."""
        if self.name != slug(f"{self.request.method} {self.request.path}"):
            return self.name
        number = f"{self.number:04}-" if self.number else ""
        mode = _MODE.search(self.request.body)
        details = [*([mode[1].decode()] if mode else []), str(self.status)]
        return f"{number}{self.name} ({', '.join(details)})"


def slug(words: str) -> str:
    """``words`` as a part of a file's name."""
    return re.sub(r"[^A-Za-z0-9_]+", "-", words).strip("-")[:_LONGEST_SLUG] or "exchange"
