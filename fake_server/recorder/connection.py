"""A connection to the upstream: HTTP/1.1 as h11 reads and writes it, one exchange at a time.

Whatever has arrived is handed on together, chunk by chunk as it came, without a task or a wait in
between; what is not taken yet is bounded.
"""

from __future__ import annotations

import asyncio
import os
import selectors
import socket
import ssl
from asyncio import staggered
from collections.abc import AsyncIterable, AsyncIterator
from functools import partial
from typing import Any

import h11

_LONGEST_HEAD = 100 << 10
_READ_AHEAD_BYTES = 64 << 10
"""More than this is not read before what has arrived is taken."""

_NEXT_ADDRESS_S = 0.25
"""How long one address of a host may take before the next is tried too (RFC 8305)."""


async def connect(host: str, port: int, context: ssl.SSLContext | None) -> Connection:
    """A new connection. Raises ``OSError``."""
    loop = asyncio.get_running_loop()
    sock = await _connected(loop, host, port)
    try:
        _, connection = await loop.create_connection(
            Connection, sock=sock, ssl=context, server_hostname=host if context else None
        )
    except BaseException:
        sock.close()
        raise
    return connection


async def _connected(loop: asyncio.AbstractEventLoop, host: str, port: int) -> socket.socket:
    """A socket that is connected to the first address of ``host`` that accepts."""
    addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    attempts = [partial(_attempt, loop, family, address) for family, *_, address in addresses]
    sock: socket.socket | None
    sock, _, errors = await staggered.staggered_race(attempts, _NEXT_ADDRESS_S, loop=loop)
    if sock is not None:
        return sock
    if len(errors) == 1 and errors[0]:
        raise errors[0]
    raise OSError("All connection attempts failed")


async def _attempt(loop: asyncio.AbstractEventLoop, family: int, address: Any) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await loop.sock_connect(sock, address)
    except BaseException as error:
        sock.close()
        if isinstance(error, OSError) and error.errno:  # its text names the address
            raise OSError(error.errno, os.strerror(error.errno)) from None
        raise
    return sock


class Connection(asyncio.Protocol):
    """A connection to one host. ``idle_since`` is the loop's time at which it was last used.

    All that waits raises ``OSError`` and ``h11.ProtocolError``.
    """

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.idle_since = 0.0
        self._http = h11.Connection(h11.CLIENT, _LONGEST_HEAD)
        self._arrived: list[bytes] = []
        self._arrived_bytes = 0
        self._is_over = False
        self._error: Exception | None = None
        self._news: asyncio.Future[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    # What the transport calls
    # ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._arrived.append(data)
        self._arrived_bytes += len(data)
        if self._arrived_bytes > _READ_AHEAD_BYTES:
            self.transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        """The host sends no more; it may still read (not with TLS, which closes)."""
        self._is_over = True
        self._wake()
        return self.transport.get_extra_info("ssl_object") is None

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_over, self._error = True, exc
        self._writable.set()
        self._wake()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    # An exchange
    # ------------------------------------------------------------------------------------------

    async def send(self, request: h11.Request, body: AsyncIterable[bytes]) -> bool:
        """Send a request; whether the host has taken all of it: it may have responded already."""
        head = self._http.send(request)
        async for data in body:
            if self.transport.is_closing():
                return False
            await self._write(head + self._http.send(h11.Data(data)))
            head = b""  # which goes with the first part of the body
        await self._write(head + self._http.send(h11.EndOfMessage()))
        return True

    async def response(self) -> h11.Response:
        """The head of the response."""
        while True:
            event = self._http.next_event()
            if isinstance(event, h11.Response):
                return event
            if event is h11.NEED_DATA:
                await self._read()

    async def body(self) -> AsyncIterator[list[bytes]]:
        """The chunks of the response, each time those that have come."""
        is_whole, error = False, None
        while not is_whole:
            chunks: list[bytes] = []
            try:
                while isinstance(event := self._http.next_event(), h11.Data):
                    chunks.append(bytes(event.data))
                is_whole = isinstance(event, h11.EndOfMessage)
            except h11.RemoteProtocolError as broken:
                error = broken
            if chunks:
                yield chunks
            if error is not None:
                raise error
            if not is_whole:
                await self._read()

    async def _write(self, data: bytes) -> None:
        if data:
            self.transport.write(data)
            if not self._writable.is_set():
                await self._writable.wait()

    async def _read(self) -> None:
        """Parse what has arrived; wait for it where nothing has."""
        if not self._arrived and not self._is_over:
            self._news = asyncio.get_running_loop().create_future()
            await self._news
        if self._arrived:
            data = b"".join(self._arrived)
            self._arrived.clear()
            if self._arrived_bytes > _READ_AHEAD_BYTES:
                self.transport.resume_reading()
            self._arrived_bytes = 0
            self._http.receive_data(data)
        elif self._error is not None:
            raise self._error
        elif self._http.their_state is h11.SEND_RESPONSE:
            raise h11.RemoteProtocolError("Server disconnected without sending a response.")
        else:
            self._http.receive_data(b"")

    # Between two exchanges
    # ------------------------------------------------------------------------------------------

    def end_exchange(self) -> bool:
        """Whether another exchange can follow; otherwise it is closed."""
        http = self._http
        if not (http.our_state is http.their_state is h11.DONE) or http.trailing_data[0]:
            self.close()
            return False
        http.start_next_cycle()
        self.idle_since = asyncio.get_running_loop().time()
        return True

    def is_usable(self) -> bool:
        """Whether the host has sent nothing since the last exchange, nor closed the connection."""
        if self._arrived or self._is_over:
            return False
        with selectors.DefaultSelector() as selector:
            selector.register(self.transport.get_extra_info("socket"), selectors.EVENT_READ)
            return not selector.select(0)

    def close(self) -> None:
        """Close it at once, whatever is under way."""
        self.transport.abort()
