"""HTTP requests sent as they are: no decoding, no redirects, no retries, every chunk with its time.

One deadline holds for a request with its whole response, however slowly it drips. A response is
read up to ``BODY_LIMIT_BYTES`` if it is an image and ``TEXT_LIMIT_BYTES`` otherwise, counting what
it costs to keep its chunks; of a longer one the beginning is kept, which is evidence enough. After
``TOTAL_LIMIT_BYTES`` of all responses no more than that is read of any.
"""

from __future__ import annotations

import selectors
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from urllib.parse import quote, urlsplit

import h11

from contract.target import DEFAULT_TIMEOUT_S
from dify_wire.exchange import Chunk, Exchange, Request

BODY_LIMIT_BYTES = 32 << 20
TEXT_LIMIT_BYTES = 4 << 20
TOTAL_LIMIT_BYTES = 256 << 20
_HEAD_BYTES = 64 << 10
_READ_BYTES = 64 << 10
_MAX_HEAD_BYTES = 100 << 10
_CHUNK_COST_BYTES = 500
_CONNECT_S = 10.0
_MAX_IDLE = 16
_IDLE_S = 2.0
"""Less than any server's own limit, which could close a connection just as a request is sent."""

_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))


class ConnectError(OSError):
    """The host could not be reached."""


class _Connection:
    """``socket``, and the parser of what it receives."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self.parser = h11.Connection(h11.CLIENT, _MAX_HEAD_BYTES)
        self.idle_since = 0.0

    def expect_response(self, method: str) -> None:
        """Prepare the parser; a request that h11 would not send is nothing to it."""
        known = method if method in ("HEAD", "CONNECT") else "GET"
        self.parser.send(h11.Request(method=known, target="/", headers=[("Host", "host")]))
        self.parser.send(h11.EndOfMessage())

    def is_reusable(self) -> bool:
        if time.monotonic() - self.idle_since > _IDLE_S:
            return False
        with selectors.DefaultSelector() as selector:
            selector.register(self.socket, selectors.EVENT_READ)
            return not selector.select(0)  # readable: the server has closed it


class HttpTransport:
    """Sends requests to ``base_url``; ``timeout_s`` bounds a request with its whole response.

    A ``raw`` transport sends them byte for byte, each on a connection of its own.
    """

    def __init__(
        self, base_url: str, timeout_s: float = DEFAULT_TIMEOUT_S, raw: bool = False
    ) -> None:
        self.timeout_s = timeout_s
        self.raw = raw
        self._base = urlsplit(base_url.rstrip("/"))
        self._lock = threading.Lock()
        self._open: set[_Connection] = set()
        self._idle: list[_Connection] = []
        self._kept_bytes = 0

    def close(self) -> None:
        """Close all connections, those in use too."""
        with self._lock:
            for connection in self._open:
                with suppress(OSError):  # the thread that uses it closes it
                    connection.socket.shutdown(socket.SHUT_RDWR)
            for connection in self._idle:
                connection.socket.close()
            self._open.clear()
            self._idle.clear()

    def send(self, request: Request, on_chunk: Callable[[bytes], None] | None = None) -> Exchange:
        """``Exchange.failure`` says whatever goes wrong; nothing is raised."""
        exchange = _Sending(self, request, on_chunk).exchange()
        with self._lock:
            self._kept_bytes += sum(_cost_bytes(chunk.data) for chunk in exchange.chunks)
        return exchange

    def as_sent(self, request: Request) -> Request:
        """``request`` as it is sent: all headers, the path in ASCII without the base URL's own."""
        headers = tuple(
            (name, value.encode("utf-8", "surrogateescape").decode("latin-1"))
            for name, value in self._headers(request)
        )
        return Request(request.method, _quoted(request.target), headers, request.body)

    @property
    def host(self) -> str:
        """The value of a ``Host`` header."""
        return self._base.netloc.rpartition("@")[2]

    def prefixed(self, target: str) -> str:
        """``target`` beneath the path of the base URL."""
        return self._base.path + target if target.startswith("/") else target

    def connection(self, left_s: float) -> _Connection:
        """An idle connection, or a new one. Raises ``ConnectError``."""
        while not self.raw:
            with self._lock:
                if not self._idle:
                    break
                idle = self._idle.pop()
            if idle.is_reusable():
                return idle
            self.discard(idle)
        connection = _Connection(self._connected(left_s))
        with self._lock:
            self._open.add(connection)
        return connection

    def keep(self, connection: _Connection) -> None:
        """Take back a connection that has served its request."""
        connection.parser.start_next_cycle()
        connection.idle_since = time.monotonic()
        with self._lock:
            keep = connection in self._open and len(self._idle) < _MAX_IDLE
            if keep:
                self._idle.append(connection)
        if not keep:
            self.discard(connection)

    def discard(self, connection: _Connection) -> None:
        with self._lock:
            self._open.discard(connection)
        connection.socket.close()

    def limit_bytes(self, media_type: str) -> int:
        with self._lock:
            if self._kept_bytes >= TOTAL_LIMIT_BYTES:
                return _HEAD_BYTES
        return BODY_LIMIT_BYTES if media_type.startswith("image/") else TEXT_LIMIT_BYTES

    def bytes_of(self, request: Request) -> bytes:
        if self.raw:
            return request.raw()
        sent = self.as_sent(request)
        return replace(sent, target=_quoted(self._base.path) + sent.target).raw()

    def _headers(self, request: Request) -> list[tuple[str, str]]:
        """``identity``: a body is checked as it is sent, and no gzip bomb is unpacked."""
        headers = {
            "Host": self.host,
            "User-Agent": "contract",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
        }
        given = {name.lower() for name, _ in request.headers}
        has_body = request.body or request.method in ("POST", "PUT", "PATCH")
        if has_body and "transfer-encoding" not in given:
            headers["Content-Length"] = str(len(request.body))
        own = [(name, value) for name, value in headers.items() if name.lower() not in given]
        return [*own, *request.headers]

    def _connected(self, left_s: float) -> socket.socket:
        secure = self._base.scheme == "https"
        address = (self._base.hostname or "", self._base.port or (443 if secure else 80))
        try:
            plain = socket.create_connection(address, min(_CONNECT_S, left_s))
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if not secure:
                return plain
            context = ssl.create_default_context()
            return context.wrap_socket(plain, server_hostname=self._base.hostname)
        except TimeoutError:
            raise ConnectError(f"timed out after {min(_CONNECT_S, left_s):g} s") from None
        except (OSError, ValueError) as error:
            raise ConnectError(str(error)) from None


class _Sending:
    """One request on its way."""

    def __init__(
        self, transport: HttpTransport, request: Request, on_chunk: Callable[[bytes], None] | None
    ) -> None:
        self._transport = transport
        self._request = request
        self._on_chunk = on_chunk
        self._status: int | None = None
        self._headers: tuple[tuple[str, str], ...] = ()
        self._reason = ""
        self._chunks: list[Chunk] = []
        self._size = 0
        self._limit = 0
        self._began = time.monotonic()

    def exchange(self) -> Exchange:
        sent_at = time.time()
        error: str | None = None
        timed_out, connected, too_long = False, True, False
        try:
            too_long = not self._send()
            if too_long:
                error = f"longer than {self._limit >> 10:,} KiB, not read any further"
        except TimeoutError:
            timed_out = True
            what = "no response" if self._status is None else "not ended"
            error = f"{what} after {self._transport.timeout_s:g} s, not waited for any longer"
        except Exception as raised:  # h11, ssl and codecs too: a host must not cause an exception
            connected = not isinstance(raised, ConnectError)
            error = f"{type(raised).__name__}: {raised}" if str(raised) else type(raised).__name__
        stopped_reading = timed_out or too_long
        return Exchange(
            request=self._request,
            status=self._status,
            headers=self._headers,
            chunks=tuple(self._chunks),
            ended="client_left" if stopped_reading else "cut" if error else "complete",
            error=error,
            sent_at=sent_at,
            seconds=time.monotonic() - self._began,
            timed_out=timed_out,
            connected=connected,
            reason=self._reason,
        )

    def _send(self) -> bool:
        """Whether the whole response was read."""
        data = self._transport.bytes_of(self._request)
        connection = self._transport.connection(self._left_s())
        reusable = False
        try:
            connection.expect_response(self._request.method)
            self._write(connection, data)
            whole = self._read(connection)
            parser = connection.parser
            reusable = (
                not self._transport.raw and parser.our_state is parser.their_state is h11.DONE
            )
            return whole
        finally:
            if reusable:
                self._transport.keep(connection)
            else:
                self._transport.discard(connection)

    def _write(self, connection: _Connection, data: bytes) -> None:
        # The host may have responded before it had read everything.
        with suppress(BrokenPipeError, ConnectionResetError):
            for start in range(0, len(data), 1 << 20):
                connection.socket.settimeout(self._left_s())
                connection.socket.sendall(data[start : start + (1 << 20)])

    def _read(self, connection: _Connection) -> bool:
        parser = connection.parser
        while True:
            event = parser.next_event()
            if event is h11.NEED_DATA:
                connection.socket.settimeout(self._left_s())
                data = connection.socket.recv(_READ_BYTES)
                if not data and parser.their_state is h11.SEND_RESPONSE:
                    message = "Server disconnected without sending a response."
                    raise h11.RemoteProtocolError(message)
                parser.receive_data(data)
            elif isinstance(event, h11.Response):
                self._begin(event)
            elif isinstance(event, h11.Data):
                if not self._add(bytes(event.data)):
                    return False
            elif not isinstance(event, h11.InformationalResponse):
                return True

    def _begin(self, response: h11.Response) -> None:
        self._status = response.status_code
        self._reason = response.reason.decode("latin-1")
        self._headers = tuple(
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in response.headers.raw_items()
        )
        media_type = Exchange(self._request, self._status, self._headers).media_type
        self._limit = self._transport.limit_bytes(media_type)

    def _add(self, data: bytes) -> bool:
        """Keep a chunk; of a response that is too long only the beginning."""
        self._chunks.append(Chunk(time.monotonic() - self._began, data))
        self._size += _cost_bytes(data)
        if self._on_chunk is not None:
            self._on_chunk(data)
        if self._size <= self._limit:
            return True
        kept = 0
        for number, chunk in enumerate(self._chunks):
            kept += _cost_bytes(chunk.data)
            if kept > _HEAD_BYTES:
                room = max(_HEAD_BYTES - (kept - len(chunk.data)), 0)
                self._chunks[number:] = [Chunk(chunk.at_s, chunk.data[:room])]
                break
        return False

    def _left_s(self) -> float:
        left_s = self._transport.timeout_s - (time.monotonic() - self._began)
        if left_s <= 0:
            raise TimeoutError
        return left_s


def _quoted(path: str) -> str:
    return quote(path, safe=_PRINTABLE)


def _cost_bytes(data: bytes) -> int:
    """What it takes to keep ``data``: many small chunks cost more than their bytes."""
    return len(data) + _CHUNK_COST_BYTES
