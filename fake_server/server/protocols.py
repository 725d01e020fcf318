"""HTTP/1 between the socket and an ASGI app, as nginx speaks it: what it accepts, what it refuses,
how it closes. ``Protocol`` in ``host_protocol`` adds what the fake's own host does.

uvicorn's own protocols write the head of a response in another way and read requests by other rules
than nginx; only uvicorn's server around the connections is used. The exchanges of a connection run
one after the other; what a client sends ahead waits, and its socket is not read meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from functools import lru_cache
from typing import Any

from starlette.types import ASGIApp, Message, Scope
from uvicorn.config import Config
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl
from uvicorn.server import ServerState

from fake_server.http import error_pages
from fake_server.http.responses import TRANSPORT, RawHeaders, Response
from fake_server.server.heads import Head, KnownHeads, ResponseHead
from fake_server.server.parser import HeadLimits, RefusedRequestError, RequestParser

LINGER_S = 30.0
"""So long is a connection that is closed early still read, so that its client gets the response."""

LINGER_IDLE_S = 5.0
"""A client that sends nothing for so long then is disconnected (as nginx)."""

LINGER_BYTES = 256 << 20
"""The most that is read of a body that is not used before the connection is closed."""

LINGER_REFUSED_BYTES = 32 << 20
"""The most that is read after an invalid request, such as a header line without an end."""

RECORDER_LIMITS = HeadLimits(request_line=1 << 16, header_line=1 << 16, headers=1 << 18)
"""Bytes of a head that the recorder passes on, for its upstream to refuse."""

_ASGI = {"version": "3.0", "spec_version": "2.3"}

_log = logging.getLogger("uvicorn.error")


class CommonProtocol(asyncio.Protocol):
    """A connection whose responses have the headers that the app gives them. ``known`` are the
    heads that other connections of its server have read under the same ``limits``.
    """

    __slots__ = (
        "_given_up",
        "_idle_since",
        "_keep_alive_s",
        "_linger_bytes",
        "_lingered",
        "_lingered_before",
        "_lingering_until",
        "_parser",
        "_read_paused",
        "_receiving",
        "_scope",
        "_timer",
        "app",
        "exchange",
        "known",
        "loop",
        "server_state",
        "transport",
        "writable",
    )

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        limits: HeadLimits = RECORDER_LIMITS,
        known: KnownHeads | None = None,
    ) -> None:
        if not config.loaded:
            config.load()
        self.app: ASGIApp = config.loaded_app
        self.loop = _loop or asyncio.get_running_loop()
        self.server_state = server_state
        self.exchange: Exchange | None = None
        """What is under way; None between two requests."""
        self._keep_alive_s = config.timeout_keep_alive
        self.known = known or KnownHeads()
        self._parser = RequestParser(limits, self.known)
        self._receiving = False
        self._read_paused = False
        self.writable: asyncio.Event | None = None
        """None while more can be written, else set when it can."""
        self._timer: asyncio.TimerHandle | None = None
        self._idle_since: float | None = None
        self._lingering_until: float | None = None
        self._lingered = self._lingered_before = 0
        self._linger_bytes = LINGER_BYTES
        self._given_up = False

    # The connection
    # ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.server_state.connections.add(self)  # type: ignore[arg-type]  # not uvicorn's own
        self.transport = transport
        self._scope: dict[str, Any] = {
            "type": "http",
            "asgi": _ASGI,
            "server": get_local_addr(transport),
            "client": get_remote_addr(transport),
            "scheme": "https" if is_ssl(transport) else "http",
            "root_path": "",
        }

    def connection_lost(self, exc: Exception | None) -> None:
        self.server_state.connections.discard(self)
        self._stop_timer()
        exchange, self.exchange = self.exchange, None
        if exchange is not None and not exchange.complete:
            exchange.client_left()
        self.resume_writing()

    def eof_received(self) -> None:
        """A client that ends its side has left, as for nginx; the transport closes."""

    def pause_writing(self) -> None:
        self.writable = self.writable or asyncio.Event()
        if self._given_up:
            self.transport.abort()

    def resume_writing(self) -> None:
        if self.writable is not None:
            self.writable.set()
            self.writable = None

    def pause_reading(self) -> None:
        if not self._read_paused:
            self._read_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        if self._read_paused:
            self._read_paused = False
            self.transport.resume_reading()

    def shutdown(self) -> None:
        """The server ends: close now, or with the end of the response that is under way."""
        if self.exchange is None or self.exchange.complete:
            self.transport.close()
        else:
            self.exchange.keep_alive = False

    def give_up(self, unread: bool = False) -> None:
        """The server has ended: do not wait for requests, nor (``unread``) for slow readers."""
        exchange = self.exchange
        waits = exchange is not None and exchange.more_body and not exchange.started
        self._given_up = unread
        lingers = self._lingering_until is not None
        if waits or (unread and (lingers or self.transport.get_write_buffer_size())):
            self.transport.abort()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # Requests
    # ------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._lingering_until is not None:
            self._lingered += len(data)
            if self._lingered > self._linger_bytes:
                self.transport.close()
            return
        self._idle_since = None
        self._parser.buffer += data
        self._read()

    def _read(self) -> None:
        """Read what has arrived, as far as the exchange that is under way allows."""
        parser = self._parser
        try:
            while self._receiving or self.exchange is None:
                event = parser.next_event()
                if event is None:
                    return
                self._receiving = parser.in_body
                if isinstance(event, Head):
                    self._begin(event)
                    continue
                assert self.exchange is not None
                if event:
                    self.exchange.received(event, self._receiving)
                if not self._receiving:
                    if self.exchange.complete:
                        self._next()
                    else:
                        self.exchange.body_ended()
        except RefusedRequestError as refused:
            self._refuse(refused.status)
            return
        if self._parser.buffer:
            self.pause_reading()

    def _begin(self, head: Head) -> None:
        scope = self._scope | head.scope
        scope["extensions"] = {TRANSPORT: self.transport}
        self.complete_scope(scope, head)
        self.exchange = Exchange(self, scope, head)
        self.exchange.begin(self.app)

    def complete_scope(self, scope: Scope, head: Head) -> None:
        """Add to ``scope`` what else the app needs of ``head``."""

    def _refuse(self, status: int) -> None:
        """Send a page instead of a response, or break off the one that has begun."""
        exchange, self._receiving = self.exchange, True
        self._linger_bytes = LINGER_REFUSED_BYTES
        if exchange is not None:
            exchange.client_left()
        if exchange is None or not exchange.started:
            page = self.refusal(status)
            head = self.head(page.status, page.reason, page.headers, b"close")
            self.transport.write(head + page.body)
        self._close()

    def refusal(self, status: int) -> Response:
        """The response to an invalid request; ``status`` is nginx's."""
        raise NotImplementedError

    # Responses
    # ------------------------------------------------------------------------------------------

    def head(
        self, status: int, reason: bytes | None, headers: RawHeaders, connection: bytes
    ) -> bytes:
        """The head of a response: the app's headers in their order."""
        lines = [b"%b: %b" % pair for pair in headers]
        if connection == b"close" and not any(name.lower() == b"connection" for name, _ in headers):
            lines.append(b"Connection: close")
        return joined([status_line(status, reason, in_capitals=False), *lines])

    def response_ended(self) -> None:
        """The response is complete: close, or go on with the next request."""
        assert self.exchange is not None
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if not self.exchange.keep_alive:
            self._close()
        elif self._receiving:
            self.resume_reading()  # of a body that is not used
        else:
            self._next()

    def _next(self) -> None:
        """Wait for the next request, or go on with one that is here."""
        self.exchange = None
        self.resume_reading()
        if self._parser.buffer:
            self._read()
        if self.exchange is None and not self.transport.is_closing():
            self._idle()

    def _idle(self) -> None:
        """Nothing is under way: wait for a request, but not for ever."""
        self._idle_since = self.loop.time()
        if self._timer is None:
            self._timer = self.loop.call_later(self._keep_alive_s, self._close_if_idle)

    def _close_if_idle(self) -> None:
        """Close what had no request for too long: one timer for all requests of a connection."""
        self._timer = None
        if self._idle_since is not None:
            left_s = self._idle_since + self._keep_alive_s - self.loop.time()
            if left_s > 0:
                self._timer = self.loop.call_later(left_s, self._close_if_idle)
            else:
                self.transport.close()

    def _close(self) -> None:
        """Close, after reading what the client still sends: a connection that is closed on unread
        bytes is reset, and the response is lost with it (RFC 9112, 9.6).
        """
        if self._given_up and self.transport.get_write_buffer_size():
            self.transport.abort()
            return
        if self._given_up or (not self._receiving and not self._parser.buffer):
            self.transport.close()
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._lingering_until = self.loop.time() + LINGER_S
        self._stop_timer()
        self.resume_reading()
        self._linger()

    def _linger(self) -> None:
        assert self._lingering_until is not None
        if self._timer is not None and (
            self._lingered == self._lingered_before or self.loop.time() >= self._lingering_until
        ):
            self.transport.close()
            return
        self._lingered_before = self._lingered
        self._timer = self.loop.call_later(LINGER_IDLE_S, self._linger)


class Exchange:
    """A request and its response: what the app receives and sends."""

    __slots__ = (
        "_chunked",
        "_flushing",
        "_head",
        "_head_bytes",
        "_is_news",
        "_left",
        "_left_early",
        "_parts",
        "_protocol",
        "_scope",
        "_transport",
        "_waiters",
        "_waits_for_100",
        "complete",
        "keep_alive",
        "more_body",
        "started",
        "task",
    )
    task: asyncio.Task[None]

    def __init__(self, protocol: CommonProtocol, scope: Scope, head: Head) -> None:
        self._protocol = protocol
        self._transport = protocol.transport
        self._scope = scope
        self._head = head
        self._waits_for_100 = head.waits_for_100
        self._is_news = not head.with_body
        """Whether there is something that the app has not received."""
        self._waiters: list[asyncio.Future[None]] | None = None
        self._parts: list[bytes] | None = None
        """What has come of the body, and the app has not received."""
        self._left_early = False
        self._head_bytes = b""
        self._flushing: asyncio.Handle | None = None
        self._chunked = False
        self._left: int | None = None
        self.keep_alive = head.keep_alive
        self.more_body = head.with_body
        self.started = False
        self.complete = False

    # What the protocol calls
    # ------------------------------------------------------------------------------------------

    def received(self, data: bytes, more: bool) -> None:
        """A part of the body has come; where there is ``more`` of it, that is read once the app has
        taken this one.
        """
        protocol = self._protocol
        if more:
            protocol.pause_reading()
        if self.complete:
            protocol.loop.call_soon(protocol.resume_reading)
            return
        if self._parts is None:
            self._parts = []
        self._parts.append(data)
        if more:
            self._tell()

    def body_ended(self) -> None:
        """The body has come whole."""
        self.more_body = False
        self._tell()

    def client_left(self) -> None:
        """Nobody is there any more to get the response."""
        self._left_early = not self.complete
        self._tell()

    def _tell(self) -> None:
        """Let the app receive what is new."""
        self._is_news = True
        for waiter in self._waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    def begin(self, app: ASGIApp) -> None:
        """Let ``app`` respond, in a task of its own."""
        self.task = self._protocol.loop.create_task(self.run(app))
        self._protocol.server_state.tasks.add(self.task)

    # What the app calls
    # ------------------------------------------------------------------------------------------

    async def run(self, app: ASGIApp) -> None:
        """Let ``app`` respond; where it fails after the head was sent, the connection is closed."""
        try:
            try:
                await app(self._scope, self.receive, self.send)
            except Exception as error:
                _log.error("Exception in the app", exc_info=error)
            if not self.complete and not self._left_early:
                await self._crashed()
        except asyncio.CancelledError:
            self._transport.abort()  # the server waits no longer
        finally:
            self._protocol.server_state.tasks.discard(self.task)
            del self.task  # which holds on to this exchange

    async def _crashed(self) -> None:
        if self.started:
            self._transport.close()
            return
        framing = [(b"Content-Length", b"21"), (b"Connection", b"close")]
        headers = [(b"Content-Type", b"text/plain"), *framing]
        crashed = Response(500, headers, b"Internal Server Error")
        await crashed(self._scope, self.receive, self.send)

    async def receive(self) -> Message:
        """The next part of the body; a disconnect once the response is complete."""
        if self._waits_for_100 and not self._transport.is_closing():
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._waits_for_100 = False
        if not self._left_early and not self.complete:
            self._protocol.resume_reading()
            if not self._is_news:
                waiter = self._protocol.loop.create_future()
                waiters = self._waiters = self._waiters or []
                waiters.append(waiter)
                try:
                    await waiter
                finally:
                    waiters.remove(waiter)
            self._is_news = False
        if self._left_early or self.complete:
            return {"type": "http.disconnect"}
        body, self._parts = b"".join(self._parts or ()), None
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    async def send(self, message: Message) -> None:
        """Send the head or a part of the body; returns when the client reads fast enough."""
        writable = self._protocol.writable
        if writable is not None and not self._left_early:
            await writable.wait()
        if self._left_early:
            return
        if message["type"] == "http.response.start":
            self._start(message)
        else:
            self._send_body(message.get("body", b""), message.get("more_body", False))

    def _start(self, message: Message) -> None:
        if self.started:
            raise RuntimeError("the response has begun before")
        self.started = True
        protocol = self._protocol
        added = protocol.server_state.default_headers
        head = protocol.known.response(self._head, self.keep_alive, message, protocol.head, added)
        self._flushing = protocol.loop.call_soon(self._flush)
        self._announce(*head)

    def _announce(self, form: ResponseHead, length: bytes) -> None:
        """Have a head ready to be sent, and know how the body is framed."""
        self.keep_alive, self._chunked = form.keep_alive, form.chunked
        self._left = int(length) if form.has_length else form.length
        head = form.before if form.after is None else b"%b%b%b" % (form.before, length, form.after)
        if self._waits_for_100 and self.keep_alive:
            # nginx reads a body before any app sees its request
            head = b"HTTP/1.1 100 Continue\r\n\r\n" + head
        self._waits_for_100 = False
        self._head_bytes = head

    def _flush(self) -> None:
        """Send a head that no body has followed at once; otherwise they go together."""
        if self._head_bytes and not self._left_early:
            self._transport.write(self._head_bytes)
            self._head_bytes = b""

    def _send_body(self, data: bytes, more: bool) -> None:
        if not self.started or self.complete:
            raise RuntimeError("a body is sent before its head, or after its end")
        if self._left is not None:
            if self._scope["method"] == "HEAD":
                data = b""
            self._left -= len(data)
            if self._left < 0 or (self._left and not more):
                raise RuntimeError("the body does not have the length that its head says")
        elif self._chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
            if not more:
                data += b"0\r\n\r\n"
        if self._head_bytes:
            if self._flushing is not None:
                self._flushing.cancel()
                self._flushing = None
            data, self._head_bytes = self._head_bytes + data, b""
        if data:
            self._transport.write(data)
        if not more:
            self.complete = True
            self._tell()
            self._protocol.response_ended()


@lru_cache(maxsize=256)
def status_line(status: int, reason: bytes | None, in_capitals: bool) -> bytes:
    if reason is None:
        phrase = error_pages.reason_phrase(status)
        reason = (phrase.upper() if in_capitals else phrase).encode()
    return b"HTTP/1.1 %d %b" % (status, reason)


def joined(lines: list[bytes]) -> bytes:
    """Raises ``ValueError`` for a header that would break its line."""
    head = b"\r\n".join(lines)
    if head.count(b"\n") != len(lines) - 1 or head.count(b"\r") != len(lines) - 1:
        raise ValueError("a header with a line break cannot be sent")
    return head + b"\r\n\r\n"
