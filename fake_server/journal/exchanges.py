"""Every request with its response, noted in the journal, the counters and the log.

The journal holds the newest exchanges as they came, bounded in number and in bytes: nothing is
decoded or redacted until it is read. The server adds entries in its own thread; any other may read
or discard them, as tests do. The log gets a line for each request, without keys and signatures.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from functools import cache
from itertools import chain
from types import TracebackType
from typing import TYPE_CHECKING, Self

from starlette.types import Message, Receive, Scope, Send

from fake_server.bounded import BoundedDict
from fake_server.clock import Clock
from fake_server.journal.entry import CLIENT_LEFT, Entry, RawHeaders

if TYPE_CHECKING:
    from dify_wire.redaction.text import TextRedactor
    from fake_server.settings import Settings

access_log = logging.getLogger("fake_server.access")

ENTRIES = 1_000
"""With more requests the oldest are discarded."""

BYTES = 16 << 20
"""What entries hold in all, roughly; beyond it the oldest are discarded."""

_TARGETS = 256
_LONGEST_TARGET = 256
"""So many targets of requests are remembered as the log shows them, and none that is longer."""


class Journal:
    """A ring: the oldest entry is discarded. ``clock`` says when a request was received."""

    def __init__(self, clock: Clock, entries: int = ENTRIES, size: int = BYTES) -> None:
        self._clock = clock
        self._entries: deque[Entry] = deque()
        self._most_entries = entries
        self._most_bytes = size
        self._lock = threading.Lock()
        self._watchers: dict[object, Callable[[Entry | None], None]] = {}
        self._headers: object = None
        self._headers_bytes = 0
        self.bytes = 0
        """What the entries hold, roughly."""
        self.last_number = 0
        """The number of the newest entry; numbers count from 1 and are never given twice."""
        self.forgotten = 0
        """How many entries were discarded for lack of room since the journal was last cleared."""
        self.last_discarded = 0
        """The number of the newest entry that was discarded; all older ones are."""
        self.closed = False
        """Whether the server is going down: there is nothing more to wait for."""

    def __len__(self) -> int:
        return len(self._entries)

    def new_entry(self, scope: Scope) -> Entry:
        """An entry of a request that has come, which the journal does not have yet."""
        self.last_number = number = self.last_number + 1
        headers = scope["headers"]
        if headers is not self._headers:  # requests with the same ones have one list of them
            self._headers = headers
            self._headers_bytes = sum(map(len, chain.from_iterable(headers)))
        return Entry(self, number, self._clock.now(), scope, self._headers_bytes)

    def add(self, entry: Entry) -> None:
        """Have ``entry``, discarding the oldest for it if need be."""
        with self._lock:
            self._entries.append(entry)
            self.bytes += entry.size
            if len(self._entries) > self._most_entries or self.bytes > self._most_bytes:
                self._discard_oldest()
        if entry.request_complete:
            self.tell(entry)

    def begin(self, scope: Scope) -> Entry:
        """The entry of a request that has come."""
        entry = self.new_entry(scope)
        self.add(entry)
        return entry

    def entries(self, since: int = 0) -> list[Entry]:
        """The entries with a number above ``since``, oldest first."""
        with self._lock:
            return [entry for entry in self._entries if entry.number > since]

    def clear(self) -> None:
        """Discard all entries; requests in progress do not come back."""
        with self._lock:
            for entry in self._entries:
                entry.discard()
                self.last_discarded = entry.number
            self._entries.clear()
            self.bytes = self.forgotten = 0

    def _discard_oldest(self) -> None:
        entries = self._entries
        while entries and (len(entries) > self._most_entries or self.bytes > self._most_bytes):
            oldest = entries.popleft()
            oldest.discard()
            self.last_discarded = oldest.number
            self.bytes -= oldest.size
            self.forgotten += 1

    def watch(self, watcher: object, callback: Callable[[Entry | None], None]) -> None:
        """Call ``callback`` in the server's thread with each entry that changes, and with None when
        the journal closes, until ``unwatch(watcher)``.
        """
        self._watchers[watcher] = callback

    def unwatch(self, watcher: object) -> None:
        self._watchers.pop(watcher, None)

    def count(self, entry: Entry) -> None:
        """Count the ``new_bytes`` of ``entry``, discarding the oldest for it if need be."""
        with self._lock:
            if not entry.discarded:
                entry.size += entry.new_bytes
                self.bytes += entry.new_bytes
            if self.bytes > self._most_bytes:
                self._discard_oldest()
        entry.new_bytes = 0

    def tell(self, entry: Entry | None) -> None:
        """Tell the watchers of ``entry``, or that the journal closes."""
        if self._watchers:
            for callback in list(self._watchers.values()):
                callback(entry)

    def over(self, entry: Entry) -> None:
        """The exchange of ``entry`` is over."""

    def close(self) -> None:
        """Nothing more will come."""
        self.closed = True
        self.tell(None)


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


class BodyTooLargeError(Exception):
    """A body has grown beyond the proxy's limit while it was read."""


WriteLine = Callable[[float, Entry, str], None]
"""Writes a line for an exchange that is over: the unix time, and the request's target as it may be
shown.
"""


def _log_record(at: float, entry: Entry, target: str) -> None:
    fields = {
        "client": entry.client or "-",
        "method": entry.scope["method"],
        "path": target,
        "operation": entry.operation or "-",
        "status": entry.logged_status,
        "bytes": entry.sent_bytes,
        "ms": entry.tenths_of_ms / 10,
    }
    form = "%(method)s %(path)s %(status)s %(bytes)s B %(ms)s ms"
    if entry.hint:
        fields["hint"] = entry.hint
        form += "; %(hint)s"
    access_log.info(form, fields, extra={"fields": fields})


class AccessLog:
    """Where exchanges are noted; what ``redactor`` gives keeps secrets out of the log, and is not
    needed before the first line. ``key_hint`` says which key a refused request lacks.

    The process of a server sets ``write_line``. In any other program the logger
    ``fake_server.access`` gets a record for each line.
    """

    def __init__(
        self,
        journal: Journal,
        counters: Counters,
        redactor: Callable[[], TextRedactor],
        key_hint: Callable[[Scope], str] = lambda _: "",
    ) -> None:
        self.journal = journal
        self.counters = counters
        self.write_line: WriteLine = _log_record
        self._redactor = cache(redactor)
        self._key_hint = key_hint
        self._shown: BoundedDict[bytes, str] = BoundedDict(_TARGETS)

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
        self.counters.running -= 1
        self.counters.streams_open -= entry.is_stream
        self._count(entry)

    def noted(
        self,
        scope: Scope,
        body: bytes,
        *,
        operation: str,
        status: int,
        headers: RawHeaders,
        sent: bytes,
        is_stream: bool,
        began: float,
    ) -> Entry:
        """Note an exchange that is over, in which each body came in one piece; ``began`` are the
        ``ticks`` at which it began.
        """
        entry = self.journal.new_entry(scope)
        entry.exchange(body, status, headers, sent, began)
        entry.operation, entry.is_stream = operation, is_stream
        self.journal.add(entry)
        self._count(entry)
        return entry

    def _count(self, entry: Entry) -> None:
        counters, operation = self.counters, entry.operation or ""
        assert entry.ended is not None
        counters.requests[operation, entry.status or CLIENT_LEFT] += 1
        counters.seconds[operation] += entry.ended - entry.began
        self.journal.over(entry)
        if entry.scenarios:
            counters.scenarios.update(entry.scenarios)
        if self.write_line is not _log_record or access_log.isEnabledFor(logging.INFO):
            if entry.status == 401 and not entry.scenarios:
                entry.hint = self._key_hint(entry.scope)
            self.write_line(time.time(), entry, self._shown_target(entry.scope))

    def _shown_target(self, scope: Scope) -> str:
        """Path and query as the log shows them."""
        target: bytes = scope.get("raw_path") or scope["path"].encode()
        if scope["query_string"]:
            target = b"%b?%b" % (target, scope["query_string"])
        shown = self._shown.get(target)
        if shown is None:
            shown = self._redactor().text(target.decode("latin-1"))
            if len(target) <= _LONGEST_TARGET:
                self._shown[target] = shown
        return shown


def redactor_of(settings: Settings) -> TextRedactor:
    """Keeps the secrets of ``settings`` out of log and journal."""
    from dify_wire.redaction.text import TextRedactor  # a server that starts does not need it

    keys = [*settings.api_keys, *(key for key, _ in settings.apps)]
    return TextRedactor([*keys, settings.secret_key, settings.admin_token or ""])


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
