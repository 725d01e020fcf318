"""Requests that an app responds to at once: to a client they are like all others."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

from fake_server.app import create_app
from fake_server.http.quick import QuickResponse
from fake_server.http.responses import RawHeaders, Response
from fake_server.server.heads import KnownHeads
from fake_server.server.host_protocol import FIRST_REQUESTS
from fake_server.server.server import Server
from fake_server.settings import Settings

_FAKE = create_app(Settings(clock="2026-11-27T12:00:00Z"))
_OWN: RawHeaders = [(b"Content-Type", b"text/plain"), (b"X-Version", b"0.6.4")]
_TURNS = 30
"""So many turns of an event loop are enough for all requests that are sent here together."""

_LENGTH = b"Content-Length: %d\r\n\r\n%b"


def _whole(scope: Scope, body: bytes) -> Response:
    status = 400 if scope["path"] == "/refused" else 200
    return Response(status, [*_OWN, (b"Content-Length", b"%d" % len(body))], body)


class OrdinaryApp:
    """Sends back the body of a request; ``stream`` in its path asks for chunks."""

    def __init__(self) -> None:
        self.clock, self.spec = _FAKE.clock, _FAKE.spec
        self.received: list[bytes] = []
        """The bodies that have come whole."""
        self.begun = asyncio.Semaphore(0)
        self.left = 0
        """How many clients left before."""

    async def begin(self) -> None: ...

    async def leave(self) -> None: ...

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.begun.release()
        body = b""
        while True:
            message = await receive()
            if message["type"] != "http.request":
                self.left += 1
                return
            body += message["body"]
            if not message["more_body"]:
                break
        self.received.append(body)
        if scope["path"] in {"/stream", "/played"}:
            each = [body] if scope["path"] == "/stream" else [b"%c" % byte for byte in body]
            await send({"type": "http.response.start", "status": 200, "headers": _OWN})
            for part in each:
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        else:
            await _whole(scope, body)(scope, receive, send)

    def end_runs(self) -> None:
        pass

    def close(self) -> None:
        pass


class QuickApp(OrdinaryApp):
    """The same, and at once; but not where ``odd`` is in a head or a body."""

    def __init__(self) -> None:
        super().__init__()
        self.quick: list[bytes] = []
        """The bodies of requests that were responded to at once."""
        self.sought = 0
        self.played: Played

    def quick_responder(self, scope: Scope) -> _Responder | None:
        self.sought += 1
        return None if b"odd" in scope["query_string"] else _Responder(self)


class _Responder:
    def __init__(self, app: QuickApp) -> None:
        self._app = app

    def respond(self, scope: Scope, body: bytes) -> QuickResponse | Response | Played | None:
        if b"odd" in body or not body:
            return None
        if scope["path"].startswith("/played"):
            self._app.played = Played(body, scope["path"] == "/played")
            return self._app.played
        self._app.received.append(body)
        self._app.quick.append(body)
        if scope["path"] == "/refused":
            return _whole(scope, body)
        return QuickResponse(_OWN, body, scope["path"] == "/stream")


class Played:
    """Each byte of ``body`` as a part, or all in one; as soon as the test lets it be due."""

    headers = _OWN

    def __init__(self, body: bytes, chunked: bool) -> None:
        self.chunked = chunked
        self.over = False
        self.has_left = False
        self.due = 0
        """How many parts are due."""
        self.sent = 0
        self._parts = [body[at : at + 1] for at in range(len(body))] if chunked else [body]
        self._sent = asyncio.Semaphore(0)
        self._handed_over = False

    def begin(
        self, call: Callable[[Callable[[], None]], object], hand_over: Callable[[], None]
    ) -> None:
        self.call, self._hand_over = call, hand_over

    def take_over(self) -> None:
        if not self._handed_over and not self.has_left:
            self._handed_over = True
            self._hand_over()

    def delay_s(self) -> float:
        return 0.0 if self.due > self.sent else 0.001

    def part(self) -> bytes:
        self.sent += 1
        self.over = self.sent == len(self._parts)
        self._sent.release()
        return self._parts[self.sent - 1]

    def left(self) -> None:
        self.has_left = True

    async def rest(self, scope: Scope, receive: Receive, send: Send) -> None:
        length = [] if self.chunked else [(b"Content-Length", b"%d" % len(self._parts[0]))]
        if not self.sent:
            start = {"type": "http.response.start", "status": 200}
            await send(start | {"headers": [*_OWN, *length]})
        for part in self._parts[self.sent :]:
            self.sent += 1
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        self.over = True

    async def play(self, parts: int) -> None:
        """Let so many parts be due, and sent."""
        self.due += parts
        for _ in range(parts):
            await self._sent.acquire()


class _Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self._closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self._closing = True

    abort = close

    def can_write_eof(self) -> bool:
        return False

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0


class Connected:
    """A connection to ``app``, without a socket; ``written`` is what it has written, in pieces."""

    def __init__(self, app: OrdinaryApp) -> None:
        server = Server(app, Settings(), lambda: None)
        server.config.load()
        server.server_state.default_headers = [(b"Server", b"nginx"), (b"Date", b"today")]
        config: Any = server.config
        self._make = config.http_protocol_class
        self._known: KnownHeads = self._make.keywords["known"]
        self._known.begun = FIRST_REQUESTS - 1
        self._server = server
        self.connect()

    def connect(self) -> None:
        """Connect once more, to the same server."""
        self._transport = _Transport()
        self.written = self._transport.written
        self._protocol = self._make(
            config=self._server.config,
            server_state=self._server.server_state,
            app_state={},
            _loop=asyncio.get_running_loop(),
        )
        self._protocol.connection_made(self._transport)

    @property
    def closed(self) -> bool:
        return self._transport.is_closing()

    async def send(self, *pieces: bytes) -> None:
        """Send pieces, and let happen what they make happen; but wait for nothing."""
        for piece in pieces or (b"",):
            if piece and not self.closed:
                self._protocol.data_received(piece)
            for _ in range(_TURNS):
                await asyncio.sleep(0)

    def forget_requests(self) -> None:
        """Be a server that has just begun."""
        self._known.begun = 0

    def watched(self) -> weakref.ref[_Transport]:
        """What tells whether the connection is still held by something."""
        return weakref.ref(self._transport)

    def stop_reading(self) -> None:
        self._protocol.pause_writing()

    def read_on(self) -> None:
        self._protocol.resume_writing()

    async def leave(self) -> None:
        self._transport.close()
        self._protocol.connection_lost(None)
        for _ in range(_TURNS):
            await asyncio.sleep(0)


def _run(test: Callable[[QuickApp, Connected], Awaitable[None]]) -> None:
    async def run() -> None:
        app = QuickApp()
        await test(app, Connected(app))

    asyncio.run(run())


def _request(
    body: bytes, path: bytes = b"/", headers: bytes = b"", version: bytes = b"1.1"
) -> bytes:
    head = b"POST %b HTTP/%b\r\nHost: h\r\n%b" % (path, version, headers)
    return head + _LENGTH % (len(body), body)


def test_a_head_that_came_before_gets_its_response_at_once_and_in_one_piece() -> None:
    async def test(app: QuickApp, client: Connected) -> None:
        for path in (b"/", b"/stream", b"/refused"):
            await client.send(_request(b"first", path), _request(b"again", path))
            assert app.quick.pop() == b"again"
            first = b"".join(client.written[:-1])
            assert client.written[-1] == first.replace(b"first", b"again")
            client.written.clear()

    _run(test)


def test_heads_are_known_to_all_connections() -> None:
    async def test(app: QuickApp, client: Connected) -> None:
        await client.send(_request(b"first"))
        client.connect()
        await client.send(_request(b"again"))
        assert app.quick == [b"again"]

    _run(test)


def test_a_body_may_come_apart_from_its_head() -> None:
    async def test(app: QuickApp, client: Connected) -> None:
        request = _request(b"again")
        await client.send(request)
        for cut in (request.index(b"again"), len(request) - 2):
            await client.send(request[:cut])
            assert not app.quick
            await client.send(request[cut:])
            assert app.quick.pop() == b"again"

    _run(test)


def test_a_head_does_not_wait_for_a_slow_body() -> None:
    """The app gets the request, as if it knew nothing of it."""

    async def test(app: QuickApp, client: Connected) -> None:
        request = _request(b"again")
        await client.send(request, request[:-1])
        for _ in range(2):
            await app.begun.acquire()
        await client.send(request[-1:])
        assert app.received == [b"again", b"again"]
        assert not app.quick

    _run(test)


def test_a_client_that_leaves_before_its_body_has_left_a_request() -> None:
    async def test(app: QuickApp, client: Connected) -> None:
        request = _request(b"again")
        await client.send(request, request[:-1])
        await client.leave()
        assert app.left == 1

    _run(test)


def test_a_connection_is_closed_as_its_request_says() -> None:
    async def test(app: QuickApp, client: Connected) -> None:
        request = _request(b"again", headers=b"Connection: close\r\n")
        await client.send(request)
        client.connect()
        await client.send(request)
        assert app.quick == [b"again"]
        assert b"Connection: close\r\n" in client.written[0]
        assert client.closed

    _run(test)


def test_a_head_need_not_have_come_before() -> None:
    async def test(app: QuickApp, client: Connected) -> None:
        await client.send(_request(b"first"))
        for number in range(3):
            await client.send(_request(b"new", headers=b"X-Id: %d\r\n" % number))
        assert app.quick == [b"new"] * 3
        await client.send(_request(b"odd", headers=b"X-Id: 3\r\n"))
        assert app.received[-1] == b"odd"

    _run(test)


def test_the_first_requests_of_a_server_take_the_ordinary_path() -> None:
    """Whether they are over or not."""

    async def test(app: QuickApp, client: Connected) -> None:
        client.forget_requests()
        for number in range(FIRST_REQUESTS):
            client.connect()
            await client.send(_request(b"same")[: -1 if number % 2 else None])
        assert not app.quick
        client.connect()
        await client.send(_request(b"same"))
        assert app.quick == [b"same"]

    _run(test)


def test_no_responder_is_sought_for_another_kind_of_request() -> None:
    async def test(app: QuickApp, client: Connected) -> None:
        await client.send(_request(b"first"))
        expecting = _request(b"a", headers=b"Expect: 100-continue\r\n")
        old = _request(b"a", version=b"1.0", headers=b"Connection: keep-alive\r\n")
        await client.send(expecting, expecting, old, old, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert app.sought == 0
        assert not client.closed

    _run(test)


# Responses that are played
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [b"/played", b"/played/whole"])
@pytest.mark.parametrize("then", ["", "handed over", "handed over by another thread"])
@pytest.mark.parametrize("sent", range(4))
def test_a_response_is_played_by_the_clock(path: bytes, then: str, sent: int) -> None:
    """Whether it is played to its end or an app takes over, the client gets the same; what it sends
    meanwhile waits.
    """

    async def test(app: QuickApp, client: Connected) -> None:
        request, following = _request(b"abcd", path), _request(b"odd, and so not quick")
        expected = Connected(OrdinaryApp())
        await expected.send(request, request, following)
        await client.send(request, request, following)
        played, parts = app.played, 4 if path == b"/played" else 1
        await played.play(min(sent, parts))
        if then and not played.over:
            if "thread" in then:
                await asyncio.to_thread(played.call, played.take_over)
            else:
                played.take_over()
            played.due = parts
        elif not played.over:
            await played.play(parts - sent)
        for _ in range(2):
            await app.begun.acquire()
        await client.send()
        assert played.over
        assert not played.has_left
        assert b"".join(client.written) == b"".join(expected.written)
        assert not client.closed

    _run(test)


def test_a_client_that_leaves_ends_what_is_played() -> None:
    async def test(app: QuickApp, client: Connected) -> None:
        request = _request(b"abcd", b"/played")
        await client.send(request, request)
        await app.played.play(2)
        await client.leave()
        assert app.played.has_left
        app.played.take_over()
        await client.send()
        assert app.played.sent == 2

    _run(test)


def test_a_client_that_does_not_read_is_left_to_an_app() -> None:
    async def test(app: QuickApp, client: Connected) -> None:
        request = _request(b"abcd", b"/played")
        await client.send(request, request)
        await app.played.play(1)
        client.stop_reading()
        sent = len(client.written)
        app.played.due = 4
        await asyncio.sleep(0.01)
        assert len(client.written) == sent
        client.read_on()
        while not app.played.over:
            await client.send()
        assert client.written[-1].endswith(b"0\r\n\r\n")

    _run(test)


@pytest.mark.parametrize(
    "request_",
    [
        _request(b"abcd"),
        _request(b"abcd", headers=b"Connection: close\r\n"),
        _request(b"abcd", b"/played"),
        _request(b"abcd")[:-1],
        _request(b"abcd", b"/?odd")[:-1],
    ],
)
def test_a_connection_that_is_over_is_freed_without_the_garbage_collector(request_: bytes) -> None:
    """Which a server calls but rarely."""

    async def test(app: QuickApp, client: Connected) -> None:
        gc.collect()
        gc.disable()
        for _ in range(3):
            await client.send(request_)
            if b"played" in request_ and app.sought:
                await app.played.play(4)
                await client.send()
                del app.played
            await client.leave()
            old = client.watched()
            client.connect()
            await client.send()
            assert old() is None

    try:
        _run(test)
    finally:
        gc.enable()


# Whatever comes, and however
# --------------------------------------------------------------------------------------------------

_CLOSE = b"Connection: close\r\n"
_REQUESTS = st.lists(
    st.sampled_from(
        [
            _request(b"body"),
            _request(b"other body", b"/stream"),
            _request(b"body", b"/refused"),
            _request(b"other body", b"/refused"),
            _request(b"odd"),
            _request(b"body", b"/?odd"),
            _request(b""),
            _request(b"body", headers=b"Expect: 100-continue\r\n"),
            _request(b"body", headers=_CLOSE),
            _request(b"body", version=b"1.0"),
            _request(b"body", b"/stream", b"Connection: keep-alive\r\n", version=b"1.0"),
            b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
            b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nnot all",
        ]
    ),
    max_size=6,
)


def _cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    ends = sorted({place % (len(data) + 1) for place in places} | {len(data)})
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False) if end > start]


async def _outcome(app: OrdinaryApp, connections: Sequence[Sequence[bytes]]) -> list[object]:
    found: list[object] = []
    client = Connected(app)
    for pieces in connections:
        client.connect()
        await client.send(*pieces)
        was_closed = client.closed
        await client.leave()
        found += [b"".join(client.written), was_closed, list(app.received), app.left]
    return found


@given(
    connections=st.lists(
        st.tuples(_REQUESTS, st.lists(st.integers(0, 1000), max_size=8)), min_size=1, max_size=3
    )
)
@settings(deadline=None)
def test_quick_responses_make_no_difference(
    connections: list[tuple[list[bytes], list[int]]],
) -> None:
    cut = [_cut(b"".join(requests), places) for requests, places in connections]
    whole = [requests for requests, _ in connections]
    for sent in ([*cut, *cut], [*whole, *whole]):
        quick = asyncio.run(_outcome(QuickApp(), sent))
        assert quick == asyncio.run(_outcome(OrdinaryApp(), sent))
