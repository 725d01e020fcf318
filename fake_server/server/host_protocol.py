"""A connection of the fake: the heads and pages of its host's proxy, and quick responses.

A request whose body is there may be one that the app responds to at once (``http/quick.py``),
soonest where its head has come before. Then no task is made, and nothing waits. Whatever else may
happen on a connection takes the ordinary path.
"""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.types import Scope

from fake_server.clock import EARLY_S, loop_time
from fake_server.http import error_pages
from fake_server.http.quick import LONGEST_KNOWN, PlayedResponse, QuickResponder, QuickResponse
from fake_server.http.responses import TRANSPORT, RawHeaders, Response, proxy_page
from fake_server.server.heads import FindResponder, Head, ResponseHead
from fake_server.server.protocols import CommonProtocol, Exchange, joined, status_line

_PLACES = {b"server": 0, b"date": 1, b"content-type": 2, b"content-length": 3}
_PLACES |= {b"transfer-encoding": 3, b"connection": 4}
"""The headers that nginx itself writes, in its order; all others follow."""

_HOLD_S = 0.005
"""So long does a head wait for its body, which many clients send apart, before a task is made."""

FIRST_REQUESTS = 10
"""So many requests take the ordinary path before any does not: what responds at once takes longer
to make than they do, and most hosts in tests get no more."""

_QUICK_BODY_BYTES = 1 << 16


class Protocol(CommonProtocol):
    """A connection whose limits and heads of responses are those of the host's proxy."""

    __slots__ = ("_find", "_held", "_hold_ends")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._held = b""
        """A known head whose body has not come whole, and what has come of it."""
        self._hold_ends: asyncio.TimerHandle | None = None
        self._find: FindResponder | None = getattr(self.app, "quick_responder", None)

    # Quick responses
    # ------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._held:
            data, self._held = self._held + data, b""
        responded = self.exchange is None and self._responded(data)
        if not self._held:
            self._stop_hold()
        if not responded:
            super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._release()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        self._release()
        super().shutdown()

    def _responded(self, data: bytes) -> bool:
        """Whether ``data`` is a request that has got its response, or is held back until it is."""
        parser, find = self._parser, self._find
        few = self.known.begun < FIRST_REQUESTS
        if find is None or few or parser.buffer or parser.request_line:
            return False
        end = data.find(b"\r\n\r\n", 0, LONGEST_KNOWN) + 4
        found = self.known.responder(data[:end], self._scope, find)
        if found is None:
            return False
        head, responder = found
        missing = head.length + end - len(data)
        closes = self._lingering_until is not None or self.transport.is_closing()
        if responder is None or missing < 0 or closes or self.writable:
            return False
        if missing:
            return self._holds(data, head)
        return self._responds(responder, head, data[end:])

    def _begin(self, head: Head) -> None:
        """As a known head, but for what is known of it."""
        responder = None
        plain = len(self._parser.buffer) == head.length > 0 and head.is_plain and not self.writable
        if plain and self._find is not None and self.known.begun >= FIRST_REQUESTS:
            responder = self._find(self._scope | head.scope)
        if responder is None:
            self.known.begun += 1
            super()._begin(head)
            return
        body = self._parser.next_event()
        assert isinstance(body, bytes)
        self._receiving = False
        if not self._responds(responder, head, body):
            super()._begin(head)
            assert self.exchange is not None
            self.exchange.received(body, more=False)
            self.exchange.body_ended()

    def _responds(self, responder: QuickResponder, head: Head, body: bytes) -> bool:
        """Whether ``responder`` responds, which it does at once or begins to."""
        scope = self._scope | head.scope
        response = responder.respond(scope, body)
        if response is None:
            return False
        if isinstance(response, (QuickResponse, Response)):
            self._respond(head, response)
        else:
            self._idle_since = None
            added = self.server_state.default_headers
            form = self.known.quick_response(response, head.keep_alive, self.head, added)
            self.exchange = Play(self, scope, head, response, form)
            self.exchange.play()
        return True

    def _respond(self, head: Head, response: QuickResponse | Response) -> None:
        body, added = response.body, self.server_state.default_headers
        if isinstance(response, QuickResponse):
            form = self.known.quick_response(response, head.keep_alive, self.head, added)
            length = b"%d" % len(body)
        else:
            message = {"status": response.status, "headers": response.headers}
            form, length = self.known.response(head, head.keep_alive, message, self.head, added)
        if form.chunked:
            raw = b"%b%x\r\n%b\r\n0\r\n\r\n" % (form.before, len(body), body)
        else:
            raw = b"%b%b%b%b" % (form.before, length, form.after or b"", body)
        self.transport.write(raw)
        self.server_state.total_requests += 1
        if form.keep_alive:
            self._idle()
        else:
            self._close()

    def _holds(self, data: bytes, head: Head) -> bool:
        """Whether ``data``, the beginning of a request, is kept until the rest comes."""
        if head.length > _QUICK_BODY_BYTES:
            return False
        self._held = data
        self._idle_since = None
        if self._hold_ends is None:
            self._hold_ends = self.loop.call_later(_HOLD_S, self._release)
        return True

    def _stop_hold(self) -> None:
        if self._hold_ends is not None:
            self._hold_ends.cancel()
            self._hold_ends = None

    def _release(self) -> None:
        """Let what is held take the ordinary path."""
        self._stop_hold()
        data, self._held = self._held, b""
        if data:
            super().data_received(data)

    # As the host's proxy
    # ------------------------------------------------------------------------------------------

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
        return joined([status_line(status, reason, in_capitals=True), *filter(None, first), *rest])


class Play(Exchange):
    """A response that is played by the clock: a timer calls, and no task waits.

    Whatever this does not know is left to the ordinary path: the rest is sent by an app.
    """

    __slots__ = ("_form", "_played", "_timer")

    def __init__(
        self,
        protocol: Protocol,
        scope: Scope,
        head: Head,
        played: PlayedResponse,
        form: ResponseHead,
    ) -> None:
        super().__init__(protocol, scope, head)
        self.more_body = False
        self._played: PlayedResponse | None = played
        self._form = form
        self._timer: asyncio.TimerHandle | None = None

    def play(self) -> None:
        """Begin."""
        assert self._played is not None
        self._played.begin(self._protocol.loop.call_soon_threadsafe, self._hand_over)
        if not self._waits(self._played):
            self._go_on()

    def client_left(self) -> None:
        played = self._ended()
        if played is None:
            super().client_left()
        else:
            self._left_early = True
            played.left()

    def _waits(self, played: PlayedResponse) -> bool:
        """Whether a timer calls for the next part, since it is not due."""
        delay_s = played.delay_s()
        if delay_s > EARLY_S:
            self._timer = self._protocol.loop.call_at(loop_time(delay_s), self._go_on)
        return delay_s > EARLY_S

    def _go_on(self) -> None:
        """Send the next part, and whatever else is due."""
        while (played := self._played) is not None:
            if self._protocol.writable is not None:
                played.take_over()
                return
            data = played.part()
            if not self.started:
                self.started = True
                self._announce(self._form, b"%d" % len(data))
            if played.over:
                self._ended()
            self._send_body(data, more=not played.over)
            if played.over or self._waits(played):
                return

    def _ended(self) -> PlayedResponse | None:
        """What was played until now, which nothing here holds any longer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        played, self._played = self._played, None
        return played

    def _hand_over(self) -> None:
        played = self._ended()
        if played is not None:
            self._scope["extensions"] = {TRANSPORT: self._transport}
            self.begin(played.rest)
