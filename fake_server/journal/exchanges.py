"""Every request with its response, noted in the journal, the counters and the log.

The journal holds the newest exchanges as they came, bounded in number and in bytes: nothing is
decoded or redacted until it is read. The server adds entries in its own thread; any other may read
or discard them, as tests do. The log gets a line for each request, without keys and signatures.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Sequence
from itertools import chain
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qsl

from starlette.types import Message, Receive, Scope, Send

from dify_wire.redaction.text import TextRedactor
from fake_server.clock import Clock

access_log = logging.getLogger("fake_server.access")

ENTRIES = 1_000
"""With more requests the oldest are discarded."""

BYTES = 16 << 20
"""What entries hold in all, roughly; beyond it the oldest are discarded."""

KEPT_BYTES = 1 << 16
"""So much of the body of a request and of a response is kept and matched; the rest is counted."""

CLIENT_LEFT = 499
"""nginx's own number for a client that left before it got a response."""

_DEEPEST_JSON = 500
"""JSON nested deeper is shown as text alone: readers of the journal might fail on it."""

_HEAD_BYTES = 2048
"""The size of an entry without its bodies and headers, roughly."""

_PIECE_BYTES = 128
"""The size of a piece of a body beside its bytes: a stream may come in many."""

_SMALL_BYTES = 4096
"""The journal counts what an entry keeps when it ends, and at once when it is more than this."""


class Entry:
    """What is known of one exchange so far; times are of ``time.perf_counter``."""

    operation: str | None = None
    """The operation of the spec that the request found."""
    scenarios: tuple[str, ...] = ()
    """The names of the scenarios that apply to the request."""
    notes: tuple[str, ...] = ()
    """What scenarios did otherwise than their author may expect, a sentence each."""
    body_bytes = 0
    request_complete = False
    """Whether the host has what it needs of the request: its whole body, or enough to respond."""
    status: int | None = None
    headers: Sequence[tuple[bytes, bytes]] = ()
    is_stream = False
    sent_bytes = 0
    first_byte: float | None = None
    response_complete = False
    ended: float | None = None
    client_left = False
    broken_off = False
    """Whether the server ended the response before its end."""
    discarded = False
    """Whether the journal no longer has the entry."""
    _hash: Any = None
    new_bytes = 0
    """What the journal has not yet counted."""

    def __init__(self, journal: Journal, number: int, received_at: float, scope: Scope) -> None:
        self._journal = journal
        self.number = number
        self.received_at = received_at
        self.scope = scope
        self.body: list[bytes] = []
        self.chunks: list[tuple[float, bytes]] = []
        self.size = _HEAD_BYTES + sum(map(len, chain.from_iterable(scope["headers"])))
        self.began = time.perf_counter()

    def request_chunk(self, message: Message) -> None:
        """Note what the client sent, or that it left."""
        if message["type"] != "http.request":
            self.client_left = self.client_left or not self.response_complete
            return
        data = message.get("body")
        if data:
            if self.body_bytes < KEPT_BYTES and not self.discarded:
                self.body.append(data[: KEPT_BYTES - self.body_bytes])
                self.new_bytes += len(self.body[-1]) + _PIECE_BYTES
                if self.new_bytes > _SMALL_BYTES:
                    self._journal.changed(self)
            self.body_bytes += len(data)
        if not message.get("more_body"):
            self.request_complete = True
            self._journal.changed(self)

    def response_head(self, message: Message) -> None:
        """Note the head of the response."""
        self.status = message["status"]
        self.headers = message["headers"]
        for name, value in self.headers:
            if name == b"Content-Type":
                self.is_stream = value.startswith(b"text/event-stream")
                if value.startswith(b"image/"):
                    self._hash = hashlib.sha256()
        self.request_complete = True
        self._journal.changed(self)

    def response_chunk(self, message: Message) -> None:
        """Note a part of the response's body."""
        self.response_complete = not message.get("more_body")
        data = message.get("body")
        if not data:
            return
        now = time.perf_counter()
        if self.first_byte is None:
            self.first_byte = now
        if self._hash is not None:
            self._hash.update(data)
        elif self.sent_bytes < KEPT_BYTES and not self.discarded:
            kept = data[: KEPT_BYTES - self.sent_bytes]
            self.chunks.append((now, kept))
            self.new_bytes += len(kept) + _PIECE_BYTES
            if self.new_bytes > _SMALL_BYTES:
                self._journal.changed(self)
        self.sent_bytes += len(data)

    def end(self, crashed: bool) -> None:
        """The exchange is over; ``crashed`` where the server failed."""
        self.ended = time.perf_counter()
        self.broken_off = self.broken_off or crashed
        self.scope.pop("extensions", None)  # they hold on to the connection
        self.request_complete = True
        self._journal.changed(self)

    @property
    def digest(self) -> str | None:
        """SHA-256 of an image's bytes so far; None where the response is not an image."""
        return None if self._hash is None else str(self._hash.hexdigest())

    @property
    def logged_status(self) -> int:
        """The status that was sent, or nginx's number for none."""
        return CLIENT_LEFT if self.status is None else self.status

    @property
    def state(self) -> str:
        """running, complete, client left or broken."""
        if self.ended is None:
            return "running"
        if self.broken_off or not (self.response_complete or self.client_left):
            return "broken"
        return "client left" if self.client_left else "complete"

    def header(self, name: bytes) -> bytes:
        """The first header of that name in the request, empty where there is none."""
        return next((value for key, value in self.scope["headers"] if key == name), b"")

    def json(self) -> Any:
        """The request's body as JSON; None where it is none, or not stored as a whole."""
        data = b"".join(self.body)
        deepest = max(data.count(b"["), data.count(b"{"))
        if not data or self.body_bytes > len(data) or deepest > _DEEPEST_JSON:
            return None
        try:
            return json.loads(data, parse_constant=str, parse_float=_finite)
        except ValueError:
            return None

    def json_field(self, name: str) -> Any:
        """A value of the request's JSON object; None where there is none."""
        body = self.json()
        return body.get(name) if isinstance(body, dict) else None

    def user(self) -> Any:
        """The user in the request's JSON or its query."""
        body = self.json()
        if isinstance(body, dict) and "user" in body:
            return body["user"]
        query = self.scope["query_string"].decode("latin-1")
        return dict(parse_qsl(query, keep_blank_values=True)).get("user")


def _finite(text: str) -> float | str:
    """What JSON cannot write stays a string, as NaN does."""
    number = float(text)
    return number if math.isfinite(number) else text


class Journal:
    """A ring: the oldest entry is discarded. ``clock`` says when a request was received."""

    def __init__(self, clock: Clock, entries: int = ENTRIES, size: int = BYTES) -> None:
        self._clock = clock
        self._entries: deque[Entry] = deque()
        self._most_entries = entries
        self._most_bytes = size
        self._lock = threading.Lock()
        self._watchers: dict[object, Callable[[Entry | None], None]] = {}
        self.bytes = 0
        """What the entries hold, roughly."""
        self.last_number = 0
        """The number of the newest entry; numbers count from 1 and are never given twice."""
        self.forgotten = 0
        """How many entries were discarded for lack of room since the journal was last cleared."""
        self.closed = False
        """Whether the server is going down: there is nothing more to wait for."""

    def __len__(self) -> int:
        return len(self._entries)

    def begin(self, scope: Scope) -> Entry:
        """The entry of a request that has come."""
        with self._lock:
            self.last_number += 1
            entry = Entry(self, self.last_number, self._clock.now(), scope)
            self._entries.append(entry)
            self.bytes += entry.size
            if len(self._entries) > self._most_entries or self.bytes > self._most_bytes:
                self._discard_oldest()
        return entry

    def entries(self, since: int = 0) -> list[Entry]:
        """The entries with a number above ``since``, oldest first."""
        with self._lock:
            return [entry for entry in self._entries if entry.number > since]

    def clear(self) -> None:
        """Discard all entries; requests in progress do not come back."""
        with self._lock:
            for entry in self._entries:
                entry.discarded = True
            self._entries.clear()
            self.bytes = self.forgotten = 0

    def _discard_oldest(self) -> None:
        while self._entries and (
            len(self._entries) > self._most_entries or self.bytes > self._most_bytes
        ):
            oldest = self._entries.popleft()
            oldest.discarded = True
            self.bytes -= oldest.size
            self.forgotten += 1

    def watch(self, watcher: object, callback: Callable[[Entry | None], None]) -> None:
        """Call ``callback`` in the server's thread with each entry that changes, and with None when
        the journal closes, until ``unwatch(watcher)``.
        """
        self._watchers[watcher] = callback

    def unwatch(self, watcher: object) -> None:
        self._watchers.pop(watcher, None)

    def changed(self, entry: Entry) -> None:
        """Count what ``entry`` has got, and call the watchers."""
        if entry.new_bytes:
            with self._lock:
                if not entry.discarded:
                    entry.size += entry.new_bytes
                    self.bytes += entry.new_bytes
                if self.bytes > self._most_bytes:
                    self._discard_oldest()
            entry.new_bytes = 0
        if self._watchers:
            self._call_watchers(entry)

    def close(self) -> None:
        """Nothing more will come."""
        self.closed = True
        self._call_watchers(None)

    def _call_watchers(self, entry: Entry | None) -> None:
        for callback in list(self._watchers.values()):
            callback(entry)


class Counters:
    """Counts since the server began, which a reset does not turn back."""

    def __init__(self) -> None:
        self.requests: defaultdict[tuple[str, int], int] = defaultdict(int)
        """By operation ("" where none was found) and status."""
        self.seconds: defaultdict[str, float] = defaultdict(float)
        """Of real time, by operation."""
        self.scenarios: Counter[str] = Counter()
        """Requests that a scenario applied to, by its name."""
        self.log_lines_lost: Callable[[], int] = int
        """How many lines of the log were lost because nothing read it."""
        self.began = time.monotonic()
        self.running = 0
        self.streams_open = 0

    @property
    def uptime_s(self) -> float:
        """Real seconds since the server was made."""
        return time.monotonic() - self.began

    def count(self, entry: Entry) -> None:
        """Count an exchange that is over."""
        self.running -= 1
        self.streams_open -= entry.is_stream
        operation = entry.operation or ""
        self.requests[operation, entry.status or CLIENT_LEFT] += 1
        assert entry.ended is not None
        self.seconds[operation] += entry.ended - entry.began
        if entry.scenarios:
            self.scenarios.update(entry.scenarios)


class BodyTooLargeError(Exception):
    """A body has grown beyond the proxy's limit while it was read."""


class AccessLog(NamedTuple):
    """Where exchanges are noted; ``redactor`` keeps secrets out of the log."""

    journal: Journal
    counters: Counters
    redactor: TextRedactor

    def noted(
        self,
        scope: Scope,
        body: bytes,
        *,
        operation: str,
        status: int,
        headers: Sequence[tuple[bytes, bytes]],
        sent: bytes,
        began: float,
    ) -> Entry:
        """Note an exchange that is over; ``began`` are the ``ticks`` at which it began."""
        entry = self.begin(scope)
        entry.began, entry.operation = began, operation
        entry.request_chunk({"type": "http.request", "body": body})
        entry.response_head({"status": status, "headers": headers})
        self.counters.streams_open += entry.is_stream
        entry.response_chunk({"body": sent})
        self.end(entry)
        return entry

    @staticmethod
    def ticks() -> float:
        """The time by which exchanges are measured."""
        return time.perf_counter()

    def begin(self, scope: Scope) -> Entry:
        """The entry of a request that has come."""
        self.counters.running += 1
        return self.journal.begin(scope)

    def end(self, entry: Entry, crashed: bool = False) -> None:
        """The exchange is over; ``crashed`` where the server failed."""
        entry.end(crashed)
        self.counters.count(entry)
        if access_log.isEnabledFor(logging.INFO):
            self.write(entry)

    def write(self, entry: Entry) -> None:
        """Write the line of an exchange that is over."""
        scope = entry.scope
        path: bytes = scope.get("raw_path") or scope["path"].encode()
        query = b"?" + scope["query_string"] if scope["query_string"] else b""
        assert entry.ended is not None
        fields = {
            "client": (scope.get("client") or ("-",))[0],
            "method": scope["method"],
            "path": self.redactor.text((path + query).decode("latin-1")),
            "operation": entry.operation or "-",
            "status": entry.logged_status,
            "bytes": entry.sent_bytes,
            "ms": round((entry.ended - entry.began) * 1000, 1),
        }
        access_log.info(
            "%(method)s %(path)s %(status)s %(bytes)s B %(ms)s ms", fields, extra={"fields": fields}
        )


class ObservedExchange:
    """A request and its response on their way. Enter it for as long as the app responds.

    ``receive`` raises ``BodyTooLargeError`` once more than ``body_limit`` bytes have come. An
    exchange that has begun before has an ``entry``, and is counted as running.
    """

    def __init__(
        self,
        log: AccessLog,
        scope: Scope,
        receive: Receive,
        send: Send,
        body_limit: float = float("inf"),
        *,
        entry: Entry | None = None,
    ) -> None:
        self.scope = scope
        self.entry = log.begin(scope) if entry is None else entry
        self._log = log
        self._receive = receive
        self._send = send
        self._body_bytes_left = body_limit
        self._unread: Message | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._log.end(self.entry, crashed=error is not None)

    async def receive(self) -> Message:
        """The ASGI receive."""
        if self._unread is not None:
            message, self._unread = self._unread, None
            return message
        message = await self._receive()
        self.entry.request_chunk(message)
        if message["type"] == "http.request":
            self._body_bytes_left -= len(message.get("body", b""))
            if self._body_bytes_left < 0:
                raise BodyTooLargeError
        return message

    async def send(self, message: Message) -> None:
        """The ASGI send."""
        if message["type"] == "http.response.body":
            self.entry.response_chunk(message)
        elif message["type"] == "http.response.start":
            if not self.entry.request_complete:
                self._note_unread_body()
            self.entry.response_head(message)
            self._log.counters.streams_open += self.entry.is_stream
        await self._send(message)

    def unread(self, body: bytes) -> None:
        """Let ``receive`` give ``body``, which has been read, once more."""
        self._unread = {"type": "http.request", "body": body, "more_body": False}

    def _note_unread_body(self) -> None:
        """Note what has come of a body that has not been read, without waiting for more.

        A wrong key is refused before the body is read; whoever looks for the mistake wants to see
        what was sent with it.
        """
        names = {name for name, _ in self.scope["headers"]}
        if b"expect" in names or names.isdisjoint((b"content-length", b"transfer-encoding")):
            return
        reading = self._receive().__await__()
        try:
            next(reading)
        except StopIteration as read:
            self._unread = read.value
            self.entry.request_chunk(read.value)
        else:
            reading.close()
