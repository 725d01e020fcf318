"""Requests sent byte for byte, as they were recorded: an HTTP client would tidy them up first."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from contract.client import BODY_LIMIT_BYTES
from dify_wire.exchange import Chunk, Exchange, Request

_READ_BYTES = 1 << 16
_CONNECT_S = 10.0


class RawTransport:
    """Sends raw requests to ``base_url``, each on a connection of its own. ``timeout_s`` bounds the
    whole answer.
    """

    def __init__(self, base_url: str, timeout_s: float) -> None:
        self._base = urlsplit(base_url.rstrip("/"))
        self._timeout_s = timeout_s

    @property
    def host(self) -> str:
        """The value of a ``Host`` header."""
        return self._base.netloc

    def prefixed(self, target: str) -> str:
        """``target`` beneath the path of the address."""
        return self._base.path + target if target.startswith("/") else target

    def send(self, request: Request, on_chunk: Callable[[bytes], None] | None = None) -> Exchange:
        """Send ``request``; whatever goes wrong on the way is told by ``Exchange.failure``,
        never raised.
        """
        return _Sending(request, time.monotonic() + self._timeout_s, on_chunk).exchange(
            self._connected
        )

    def _connected(self, left_s: float) -> socket.socket:
        secure = self._base.scheme == "https"
        address = (self._base.hostname or "", self._base.port or (443 if secure else 80))
        plain = socket.create_connection(address, min(_CONNECT_S, left_s))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not secure:
            return plain
        return ssl.create_default_context().wrap_socket(plain, server_hostname=self._base.hostname)


class _Sending:
    """One request on its way."""

    def __init__(
        self, request: Request, deadline: float, on_chunk: Callable[[bytes], None] | None
    ) -> None:
        self._request = request
        self._deadline = deadline
        self._on_chunk = on_chunk
        self._chunks: list[Chunk] = []
        self._began = time.monotonic()
        self._response: http.client.HTTPResponse | None = None

    def exchange(self, connect: Callable[[float], socket.socket]) -> Exchange:
        sent_at, error, timed_out, connected = time.time(), None, False, False
        try:
            with connect(self._left_s()) as connection:
                connected = True
                self._began = time.monotonic()
                self._receive(connection)
        except TimeoutError:
            timed_out, error = True, "no whole answer in time"
        except (OSError, http.client.HTTPException, ValueError) as raised:
            error = f"{type(raised).__name__}: {raised}" if str(raised) else type(raised).__name__
        response = self._response
        return Exchange(
            request=self._request,
            status=response.status if response else None,
            headers=tuple(response.headers.raw_items()) if response else (),
            chunks=tuple(self._chunks),
            ended="client_left" if timed_out else "cut" if error else "complete",
            error=error,
            sent_at=sent_at,
            seconds=time.monotonic() - self._began,
            timed_out=timed_out,
            connected=connected,
            reason=response.reason if response else "",
        )

    def _receive(self, connection: socket.socket) -> None:
        connection.settimeout(self._left_s())
        connection.sendall(self._request.raw())
        response = http.client.HTTPResponse(connection, method=self._request.method)
        try:
            response.begin()
            self._response = response
            self._read(response, connection)
        finally:
            response.close()

    def _read(self, response: http.client.HTTPResponse, connection: socket.socket) -> None:
        size = 0
        while True:
            connection.settimeout(self._left_s())
            data = response.read1(_READ_BYTES)
            if not data:
                if response.length:
                    raise http.client.IncompleteRead(b"", response.length)
                return
            size += len(data)
            if size > BODY_LIMIT_BYTES:
                raise ValueError(
                    f"longer than {BODY_LIMIT_BYTES >> 10:,} KiB, not read any further"
                )
            self._chunks.append(Chunk(time.monotonic() - self._began, data))
            if self._on_chunk is not None:
                self._on_chunk(data)

    def _left_s(self) -> float:
        left_s = self._deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        return left_s
