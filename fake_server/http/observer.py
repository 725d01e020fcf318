"""The one layer that sees every request: it feeds the log, the journal and the counters.

The log gets a line for each request with nothing in it that opens anything: no key, no signature.
"""

from __future__ import annotations

import logging

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dify_wire.redaction.text import TextRedactor
from fake_server.journal import Entry, Journal
from fake_server.journal.counters import Counters

access_log = logging.getLogger("fake_server.access")


class Observer:
    """Lets ``app`` answer, and notes what came in and what went out; ``redactor`` keeps secrets out
    of the log.
    """

    def __init__(
        self, app: ASGIApp, journal: Journal, counters: Counters, redactor: TextRedactor
    ) -> None:
        self._app = app
        self._redactor = redactor
        self._journal = journal
        self._counters = counters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        entry = self._journal.begin(scope)
        self._counters.begins()

        unread: list[Message] = []

        async def noting_receive() -> Message:
            if unread:
                return unread.pop()
            message = await receive()
            entry.received(message)
            return message

        async def noting_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                if not entry.heard and (at_hand := _body_at_hand(scope, receive)) is not None:
                    entry.received(at_hand)
                    unread.append(at_hand)
                entry.starts(message)
                self._counters.answers(entry)
            elif message["type"] == "http.response.body":
                entry.tells(message)
            await send(message)

        ended = False
        try:
            await self._app(scope, noting_receive, noting_send)
            ended = True
        finally:
            entry.ends(broken=not ended)
            self._counters.ends(entry)
            if access_log.isEnabledFor(logging.INFO):
                _write(entry, self._redactor)


def _body_at_hand(scope: Scope, receive: Receive) -> Message | None:
    """What has come of a body that nobody has read, without waiting for more.

    A wrong key is refused before the body is read; whoever looks for the mistake wants to see what
    was sent with it.
    """
    names = {name for name, _ in scope["headers"]}
    if b"expect" in names or names.isdisjoint((b"content-length", b"transfer-encoding")):
        return None
    reading = receive().__await__()
    try:
        next(reading)
    except StopIteration as read:
        message: Message = read.value
        return message
    reading.close()
    return None


def _write(entry: Entry, redactor: TextRedactor) -> None:
    """Write the line: the answer has been sent, or the client has left."""
    scope = entry.scope
    assert entry.ended is not None
    fields = {
        "client": (scope.get("client") or ("-",))[0],
        "method": scope["method"],
        "path": redactor.text(_target(scope)),
        "operation": entry.operation or "-",
        "status": entry.shown_status,
        "bytes": entry.sent_bytes,
        "ms": round((entry.ended - entry.began) * 1000, 1),
    }
    access_log.info(
        "%(method)s %(path)s %(status)s %(bytes)s B %(ms)s ms", fields, extra={"fields": fields}
    )


def _target(scope: Scope) -> str:
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    query = scope["query_string"]
    return (path + (b"?" + query if query else b"")).decode("latin-1")
