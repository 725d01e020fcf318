"""Every request with its response, noted in the journal, the counters and the log.

The log gets a line for each request, without keys and signatures.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from starlette.types import Message, Receive, Scope, Send

from dify_wire.redaction.text import TextRedactor
from fake_server.journal.exchanges import Counters, Entry, Journal

access_log = logging.getLogger("fake_server.access")


class BodyTooLargeError(Exception):
    """A body has grown beyond the proxy's limit while it was read."""


@dataclass(frozen=True, slots=True)
class AccessLog:
    """Where exchanges are noted; ``redactor`` keeps secrets out of the log."""

    journal: Journal
    counters: Counters
    redactor: TextRedactor

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

    ``receive`` raises ``BodyTooLargeError`` once more than ``body_limit`` bytes have come.
    """

    def __init__(
        self,
        log: AccessLog,
        scope: Scope,
        receive: Receive,
        send: Send,
        body_limit: float = float("inf"),
    ) -> None:
        self.scope = scope
        self.entry = log.journal.begin(scope)
        self._log = log
        self._receive = receive
        self._send = send
        self._body_bytes_left = body_limit
        self._unread: Message | None = None

    def __enter__(self) -> Self:
        self._log.counters.running += 1
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.entry.end(crashed=error is not None)
        self._log.counters.count(self.entry)
        if access_log.isEnabledFor(logging.INFO):
            self._log.write(self.entry)

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
        """Note what has come of a body that nobody has read, without waiting for more.

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
