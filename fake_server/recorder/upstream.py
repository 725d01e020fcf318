"""The connections to the upstream; no redirect is followed, no proxy used.

Headers are passed on in their order and with their duplicates. Three are changed (RFC 9110, 7.6):
those of the client's connection, ``Host``, which names the upstream, and ``Accept-Encoding``, which
is ``identity``: a recording is there to be read.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from dataclasses import dataclass

import certifi
import h11

from fake_server.recorder.connection import Connection, connect
from fake_server.recorder.settings import split_upstream

RawHeaders = list[tuple[bytes, bytes]]

_CONNECT_S = 10.0
_HIGHEST_STATUS = 599
_MOST_IDLE = 16
_IDLE_S = 2.0
"""Kept connections are let go before any server's own limit, which could cut a request that has
just been sent.
"""

_HOP_BY_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"proxy-authorization", b"te", b"upgrade"}
)
_NO_RESPONSE = (OSError, h11.RemoteProtocolError)


class UpstreamError(Exception):
    """No response, and why. ``status`` is for the client: 502, 504, or 400 for a bad request."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class UpstreamBrokeError(Exception):
    """The connection broke after the head of the response."""


@dataclass(slots=True)
class UpstreamRequest:
    """A request for the upstream; ``sent_at`` is the unix time at which it was sent."""

    method: str
    target: bytes
    headers: RawHeaders
    body: AsyncIterable[bytes]
    sent_at: float = 0.0
    _began: float = 0.0

    def start_clock(self) -> None:
        """The request is sent now. With a body its end counts, if the host reads that far."""
        self._began, self.sent_at = time.monotonic(), time.time()

    def elapsed_s(self) -> float:
        return time.monotonic() - self._began


@dataclass(frozen=True, slots=True)
class UpstreamResponse:
    """The head of a response, and its body: each time the chunks that have arrived. The body raises
    ``UpstreamBrokeError``.
    """

    status: int
    reason: str
    headers: RawHeaders
    body: AsyncIterator[list[bytes]]


class Upstream:
    """One host. ``timeout_s`` bounds the wait for the head of a response."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self._base = split_upstream(url)
        self._timeout_s = timeout_s
        self.origin = f"{self._base.scheme}://{self._base.netloc}"
        self._ssl = _trusted() if self._base.scheme == "https" else None
        self._idle: list[Connection] = []
        """Those without an exchange, the one used last at the end. There is no limit to the number
        of the others: no client waits for another.
        """

    @property
    def netloc(self) -> str:
        """Host and port, as a URL shows them."""
        return self._base.netloc

    def close(self) -> None:
        """Close the connections that are kept."""
        while self._idle:
            self._idle.pop().close()

    def headers_for(self, headers: Iterable[tuple[bytes, bytes]]) -> RawHeaders:
        """A client's headers as they are passed on."""
        given = list(headers)
        hop_by_hop, host = _hop_by_hop(given), self.netloc.encode()
        passed: RawHeaders = []
        has_host = False
        for name, value in given:
            lower = name.lower()
            if lower == b"host":
                passed += [] if has_host else [(name, host)]
                has_host = True
            elif lower == b"accept-encoding":
                passed.append((name, b"identity"))
            elif lower not in hop_by_hop:
                passed.append((name, value.strip(b" \t")))
        return passed if has_host else [(b"Host", host), *passed]

    @contextlib.asynccontextmanager
    async def send(self, request: UpstreamRequest) -> AsyncIterator[UpstreamResponse]:
        """Send ``request``; leaving early closes the connection. Raises ``UpstreamError``."""
        if request.method == "CONNECT":
            raise UpstreamError(
                400, "the request cannot be passed on: the recorder is not a proxy for other hosts"
            )
        connection = await self._connection()
        try:
            response = await self._response(connection, request)
            if response.status_code > _HIGHEST_STATUS:
                raise UpstreamError(
                    502, f"{self.origin} sent the status {response.status_code}, which is not valid"
                )
            yield UpstreamResponse(
                response.status_code,
                response.reason.decode("latin-1"),
                response.headers.raw_items(),
                _chunks(connection),
            )
        finally:
            if connection.end_exchange():
                self._idle.append(connection)
                self._close_idle()

    async def _connection(self) -> Connection:
        """One that is kept, or a new one."""
        self._close_idle()
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable():
                return connection
            connection.close()
        https = self._base.scheme == "https"
        port = self._base.port or (443 if https else 80)
        limit = asyncio.timeout(_CONNECT_S)
        try:
            async with limit:
                return await connect(self._base.hostname or "", port, self._ssl)
        except OSError as error:
            if limit.expired():
                raise self._late(_CONNECT_S) from None
            raise UpstreamError(
                502, f"{self.origin} cannot be reached ({_reason(error)})"
            ) from None

    def _close_idle(self) -> None:
        """Close what has been kept for too long, and the oldest of too many."""
        oldest = asyncio.get_running_loop().time() - _IDLE_S
        while self._idle and (len(self._idle) > _MOST_IDLE or self._idle[0].idle_since < oldest):
            self._idle.pop(0).close()

    async def _response(self, connection: Connection, request: UpstreamRequest) -> h11.Response:
        limit = asyncio.timeout(self._timeout_s)
        try:
            target = self._base.path.encode() + request.target
            head = h11.Request(method=request.method, target=target, headers=request.headers)
            request.start_clock()
            if await connection.send(head, request.body):
                request.start_clock()
            async with limit:
                return await connection.response()
        except h11.LocalProtocolError as error:
            raise UpstreamError(400, f"the request cannot be passed on: {error}") from None
        except _NO_RESPONSE as error:
            if limit.expired():
                raise self._late(self._timeout_s) from None
            raise UpstreamError(
                502, f"{self.origin} closed the connection without a response ({_reason(error)})"
            ) from None

    def _late(self, waited_s: float) -> UpstreamError:
        return UpstreamError(504, f"{self.origin} sent no response within {waited_s:g} s")


def end_to_end(headers: RawHeaders) -> RawHeaders:
    """The headers of a response without those of the connection with the upstream.

    The server frames the body anew: its length is passed on unless it was sent in chunks.
    """
    dropped = _hop_by_hop(headers) | {b"transfer-encoding"}
    if any(name.lower() == b"transfer-encoding" for name, _ in headers):
        dropped.add(b"content-length")
    return [(name, value) for name, value in headers if name.lower() not in dropped]


def _hop_by_hop(headers: RawHeaders) -> set[bytes]:
    """The headers of one connection; a request's ``Transfer-Encoding`` is passed on."""
    named = b",".join(value for name, value in headers if name.lower() == b"connection").lower()
    names = {*_HOP_BY_HOP, *(word.strip() for word in named.split(b","))}
    return names - {b"transfer-encoding", b"host"}


async def no_body() -> AsyncIterator[bytes]:
    return
    yield


async def _chunks(connection: Connection) -> AsyncIterator[list[bytes]]:
    try:
        async for chunks in connection.body():
            yield chunks
    except _NO_RESPONSE as error:
        raise UpstreamBrokeError(_reason(error)) from None


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _trusted() -> ssl.SSLContext:
    """The usual authorities, and those that this machine trusts (``SSL_CERT_FILE``)."""
    context = ssl.create_default_context(cafile=certifi.where())
    context.load_default_certs()
    context.set_alpn_protocols(["http/1.1"])
    return context


IMAGE_PATH = rb"/files/tools/[0-9A-Fa-f-]{36}\.[A-Za-z0-9]{1,8}"
"""The path of an image, as a regular expression."""


def image_path(target: str) -> str | None:
    """The path of the image that a request is for; None for any other request."""
    path = target.partition("?")[0]
    return path if re.fullmatch(IMAGE_PATH, path.encode("latin-1")) else None
