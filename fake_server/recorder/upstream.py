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

import httpcore

from fake_server.recorder.settings import split_upstream

RawHeaders = list[tuple[bytes, bytes]]

_CONNECT_S = 10.0
_HIGHEST_STATUS = 599
_IDLE_S = 2.0
"""Kept connections are let go before any server's own limit, which could cut a request that has
just been sent.
"""

_HOP_BY_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"proxy-authorization", b"te", b"upgrade"}
)
_NO_RESPONSE = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError)


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
    """The head of a response, and its body as it arrives, which raises ``UpstreamBrokeError``."""

    status: int
    reason: str
    headers: RawHeaders
    body: AsyncIterator[bytes]


class Upstream:
    """One host. ``timeout_s`` bounds the wait for the head of a response."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self._base = split_upstream(url)
        self._timeout_s = timeout_s
        self.origin = f"{self._base.scheme}://{self._base.netloc}"
        # No limit to their number: no client waits for another.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=_trusted() if self._base.scheme == "https" else None,
            max_connections=None,
            max_keepalive_connections=16,
            keepalive_expiry=_IDLE_S,
        )

    @property
    def netloc(self) -> str:
        """Host and port, as a URL shows them."""
        return self._base.netloc

    async def close(self) -> None:
        await self._pool.aclose()

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
        response = await self._send(request)
        try:
            if response.status > _HIGHEST_STATUS:
                raise UpstreamError(
                    502, f"{self.origin} sent the status {response.status}, which is not valid"
                )
            yield UpstreamResponse(
                response.status,
                response.extensions["reason_phrase"].decode("latin-1"),
                response.headers,
                _chunks(response),
            )
        finally:
            with contextlib.suppress(*_NO_RESPONSE):
                await response.aclose()

    async def _send(self, request: UpstreamRequest) -> httpcore.Response:
        url = httpcore.URL(
            scheme=self._base.scheme,
            host=self._base.hostname or "",
            port=self._base.port,
            target=self._base.path.encode() + request.target,
        )
        request.start_clock()
        try:
            async with asyncio.timeout(None) as limit:
                sent = httpcore.Request(
                    request.method,
                    url,
                    headers=request.headers,
                    content=self._timed(request, limit),
                    extensions={"timeout": {"connect": _CONNECT_S}},
                )
                return await self._pool.handle_async_request(sent)
        except (TimeoutError, httpcore.ConnectTimeout) as error:
            waited_s = _CONNECT_S if isinstance(error, httpcore.ConnectTimeout) else self._timeout_s
            raise UpstreamError(
                504, f"{self.origin} sent no response within {waited_s:g} s"
            ) from None
        except (httpcore.LocalProtocolError, httpcore.UnsupportedProtocol) as error:
            raise UpstreamError(400, f"the request cannot be passed on: {error}") from None
        except httpcore.ConnectError as error:
            raise UpstreamError(
                502, f"{self.origin} cannot be reached ({_reason(error)})"
            ) from None
        except _NO_RESPONSE as error:
            raise UpstreamError(
                502, f"{self.origin} closed the connection without a response ({_reason(error)})"
            ) from None

    async def _timed(
        self, request: UpstreamRequest, limit: asyncio.Timeout
    ) -> AsyncIterator[bytes]:
        async for data in request.body:
            yield data
        request.start_clock()
        limit.reschedule(asyncio.get_running_loop().time() + self._timeout_s)


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


async def _chunks(response: httpcore.Response) -> AsyncIterator[bytes]:
    try:
        async for data in response.aiter_stream():
            yield data
    except _NO_RESPONSE as error:
        raise UpstreamBrokeError(_reason(error)) from None


def _reason(error: BaseException) -> str:
    """The innermost reason: httpcore often wraps an error that says more."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, OSError) and inner.strerror:
            return inner.strerror
        inner = inner.__cause__ or inner.__context__
    return str(error) or type(error).__name__


def _trusted() -> ssl.SSLContext:
    """The usual authorities, and those that this machine trusts (``SSL_CERT_FILE``)."""
    context = httpcore.default_ssl_context()
    context.load_default_certs()
    return context


IMAGE_PATH = rb"/files/tools/[0-9A-Fa-f-]{36}\.[A-Za-z0-9]{1,8}"
"""The path of an image, as a regular expression."""


def image_path(target: str) -> str | None:
    """The path of the image that a request is for; None for any other request."""
    path = target.partition("?")[0]
    return path if re.fullmatch(IMAGE_PATH, path.encode("latin-1")) else None
