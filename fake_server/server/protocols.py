"""HTTP/1 between the socket and an ASGI app, as nginx speaks it: what it accepts, what it refuses,
how it closes.

uvicorn's own protocols write the head of a response in another way and read requests by other rules
than nginx; only uvicorn's server around the connections is used. The exchanges of a connection run
one after the other; what a client sends ahead waits, and its socket is not read meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_to_bytes

from starlette.types import ASGIApp, Message, Scope
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl
from uvicorn.server import ServerState

from fake_server.http import error_pages
from fake_server.http.responses import TRANSPORT, RawHeaders, Response, proxy_page
from fake_server.server.parser import Head, HeadLimits, RefusedRequestError, RequestParser

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

_PLACES = {b"server": 0, b"date": 1, b"content-type": 2, b"content-length": 3}
_PLACES |= {b"transfer-encoding": 3, b"connection": 4}
"""The headers that nginx itself writes, in its order; all others follow."""

_log = logging.getLogger("uvicorn.error")


class CommonProtocol(asyncio.Protocol):
    """A connection whose responses have the headers that the app gives them."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        limits: HeadLimits = RECORDER_LIMITS,
    ) -> None:
        if not config.loaded:
            config.load()
        self.app: ASGIApp = config.loaded_app
        self.loop = _loop or asyncio.get_running_loop()
        self.server_state = server_state
        self.exchange: Exchange | None = None
        """What is under way; None between two requests."""
        self._keep_alive_s = config.timeout_keep_alive
        self._parser = RequestParser(limits)
        self._receiving = False
        self._timer: asyncio.TimerHandle | None = None
        self._lingering_until: float | None = None
        self._lingered = self._lingered_before = 0
        self._linger_bytes = LINGER_BYTES
        self._given_up = False

    # The connection
    # ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.server_state.connections.add(self)  # type: ignore[arg-type]  # not uvicorn's own
        self.transport = transport
        self.flow = FlowControl(transport)
        self._scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "server": get_local_addr(transport),
            "client": get_remote_addr(transport),
            "scheme": "https" if is_ssl(transport) else "http",
            "root_path": "",
            "extensions": {TRANSPORT: transport},
        }

    def connection_lost(self, exc: Exception | None) -> None:
        self.server_state.connections.discard(self)
        self._stop_timer()
        if self.exchange is not None and not self.exchange.complete:
            self.exchange.client_left()
        self.flow.resume_writing()

    def eof_received(self) -> None:
        """A client that ends its side has left, as for nginx; the transport closes."""

    def pause_writing(self) -> None:
        self.flow.pause_writing()
        if self._given_up:
            self.transport.abort()

    def resume_writing(self) -> None:
        self.flow.resume_writing()

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
        self._stop_timer()
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
                    self.exchange.received(event)
                if not self._receiving:
                    self.exchange.more_body = False
                    if self.exchange.complete:
                        self._next()
                    else:
                        self.exchange.arrived.set()
        except RefusedRequestError as refused:
            self._refuse(refused.status)
            return
        if self._parser.buffer:
            self.flow.pause_reading()

    def _begin(self, head: Head) -> None:
        path, _, query = head.target.partition(b"#")[0].partition(b"?")
        scope = {
            **self._scope,
            "http_version": head.version,
            "method": head.method.decode("ascii"),
            "path": (unquote_to_bytes(path) if b"%" in path else path).decode("utf-8", "replace"),
            "raw_path": path,
            "query_string": query,
            "headers": head.headers,
        }
        self.complete_scope(scope, head)
        self.exchange = Exchange(self, scope, head)
        task = self.loop.create_task(self.exchange.run(self.app))
        self.server_state.tasks.add(task)
        task.add_done_callback(self.server_state.tasks.discard)

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
        return _joined([_status_line(status, reason, in_capitals=False), *lines])

    def response_ended(self) -> None:
        """The response is complete: close, or go on with the next request."""
        assert self.exchange is not None
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if not self.exchange.keep_alive:
            self._close()
        elif self._receiving:
            self.flow.resume_reading()  # of a body that is not used
        else:
            self._next()

    def _next(self) -> None:
        """Wait for the next request, or go on with one that is here."""
        self.exchange = None
        self.flow.resume_reading()
        if self._parser.buffer:
            self._read()
        if self.exchange is None and not self.transport.is_closing():
            self._stop_timer()
            self._timer = self.loop.call_later(self._keep_alive_s, self.transport.close)

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
        self.flow.resume_reading()
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

    def __init__(self, protocol: CommonProtocol, scope: Scope, head: Head) -> None:
        self._protocol = protocol
        self._transport = protocol.transport
        self._scope = scope
        self._waits_for_100 = head.waits_for_100
        self.arrived = asyncio.Event()
        self._body = bytearray()
        self._left_early = False
        self._head_bytes = b""
        self._flushing: asyncio.Handle
        self._chunked = False
        self._left: int | None = None
        self.keep_alive = head.keep_alive
        self.more_body = head.with_body
        self.started = False
        self.complete = False
        if not head.with_body:
            self.arrived.set()

    # What the protocol calls
    # ------------------------------------------------------------------------------------------

    def received(self, data: bytes) -> None:
        """A part of the body has come; the next is read once the app has taken this one."""
        flow = self._protocol.flow
        flow.pause_reading()
        if self.complete:
            self._protocol.loop.call_soon(flow.resume_reading)
            return
        self._body += data
        self.arrived.set()

    def client_left(self) -> None:
        """Nobody is there any more to get the response."""
        self._left_early = not self.complete
        self.arrived.set()

    # What the app calls
    # ------------------------------------------------------------------------------------------

    async def run(self, app: ASGIApp) -> None:
        """Let ``app`` respond; where it fails after the head was sent, the connection is closed."""
        try:
            await app(self._scope, self.receive, self.send)
        except asyncio.CancelledError:
            self._transport.abort()  # the server waits no longer
            return
        except Exception as error:
            _log.error("Exception in the app", exc_info=error)
        if self.complete or self._left_early:
            return
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
            self._protocol.flow.resume_reading()
            await self.arrived.wait()
            self.arrived.clear()
        if self._left_early or self.complete:
            return {"type": "http.disconnect"}
        body, self._body = bytes(self._body), bytearray()
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    async def send(self, message: Message) -> None:
        """Send the head or a part of the body; returns when the client reads fast enough."""
        flow = self._protocol.flow
        if flow.write_paused and not self._left_early:
            await flow.drain()
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
        status, headers = message["status"], message["headers"]
        length: bytes | None = None
        for name, value in headers:
            lower = name.lower()
            if lower == b"content-length":
                length = value
            elif lower == b"connection" and b"close" in value.lower():
                self.keep_alive = False
        framed: list[tuple[bytes, bytes]] = []
        if self._scope["method"] == "HEAD" or status in (204, 304):
            self._left = 0
        elif length is not None:
            self._left = int(length)
        elif self._scope["http_version"] == "1.1":
            self._chunked = True
            framed = [(b"Transfer-Encoding", b"chunked")]
        else:
            self.keep_alive = False
        if self._scope["http_version"] == "0.9":
            self.keep_alive = False
            return
        connection = b"keep-alive" if self.keep_alive else b"close"
        head = self._protocol.head(status, message.get("reason"), [*headers, *framed], connection)
        if self._waits_for_100 and self.keep_alive:
            # nginx reads a body before any app sees its request
            head = b"HTTP/1.1 100 Continue\r\n\r\n" + head
        self._waits_for_100 = False
        self._head_bytes = head
        self._flushing = self._protocol.loop.call_soon(self._flush)

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
            self._flushing.cancel()
            data, self._head_bytes = self._head_bytes + data, b""
        if data:
            self._transport.write(data)
        if not more:
            self.complete = True
            self.arrived.set()
            self._protocol.response_ended()


class Protocol(CommonProtocol):
    """A connection of the fake: limits and heads of responses are those of its host's proxy."""

    def refusal(self, status: int) -> Response:
        """The proxy's page."""
        server = self.app.spec.proxy_server  # type: ignore[attr-defined]  # it is a ServedApp
        if status == error_pages.HEAD_TOO_LARGE:
            return proxy_page(400, error_pages.head_too_large(server))
        return proxy_page(status, error_pages.nginx(status, server))

    def head(
        self, status: int, reason: bytes | None, headers: RawHeaders, connection: bytes
    ) -> bytes:
        """As the host's proxy writes it (FACTS 1.1, 1.2); the app's reason is in capitals."""
        first = [b""] * 5
        rest: list[bytes] = []
        default = self.server_state.default_headers
        for name, value in (*default, *headers, (b"Connection", connection)):
            place = _PLACES.get(name.lower())
            if place is None:
                rest.append(b"%b: %b" % (name, value))
            else:
                first[place] = b"%b: %b" % (name, value)
        return _joined(
            [_status_line(status, reason, in_capitals=True), *filter(None, first), *rest]
        )


@lru_cache(maxsize=256)
def _status_line(status: int, reason: bytes | None, in_capitals: bool) -> bytes:
    if reason is None:
        phrase = error_pages.reason_phrase(status)
        reason = (phrase.upper() if in_capitals else phrase).encode()
    return b"HTTP/1.1 %d %b" % (status, reason)


def _joined(lines: list[bytes]) -> bytes:
    """Raises ``ValueError`` for a header that would break its line."""
    head = b"\r\n".join(lines)
    if head.count(b"\n") != len(lines) - 1 or head.count(b"\r") != len(lines) - 1:
        raise ValueError("a header with a line break cannot be sent")
    return head + b"\r\n\r\n"
