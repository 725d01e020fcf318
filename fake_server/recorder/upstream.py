"""The connections to the upstream. Nothing else is ever contacted: no redirect is followed, no
proxy asked.

    UpstreamError          there is no answer to pass on; ``status`` is what the client is told
    instead UpstreamBrokeError     the answer has begun and will not end

Headers are passed on in their order and with their duplicates. Three things are not the client's
(RFC 9110, 7.6): what concerns its connection alone, ``Host``, which names the upstream, and
``Accept-Encoding``, which asks for ``identity``: a recording is there to be read.
"""

from __future__ import annotations

import asyncio
import contextlib
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
_NO_ANSWER = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError)


class UpstreamError(Exception):
    """No answer, and why, in one line. ``status`` is 502 or 504, or 400 where the request cannot be
    passed on.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class UpstreamBrokeError(Exception):
    """The connection broke after the head of the answer."""


@dataclass(slots=True)
class UpstreamRequest:
    """A request for the upstream, and when it was sent: ``sent_at`` (monotonic) and ``asked_at``
    (unix).
    """

    method: str
    target: bytes
    headers: RawHeaders
    body: AsyncIterable[bytes]
    sent_at: float = 0.0
    asked_at: float = 0.0

    def is_sent_now(self) -> None:
        """Of a request with a body its end counts, if it gets that far: a host may refuse it
        half-way.
        """
        self.sent_at, self.asked_at = time.monotonic(), time.time()

    def elapsed_s(self) -> float:
        """Seconds since then."""
        return time.monotonic() - self.sent_at


@dataclass(frozen=True, slots=True)
class Answer:
    """The head of an answer, and its body as it comes; ``body`` raises ``UpstreamBrokeError``."""

    status: int
    reason: str
    headers: RawHeaders
    body: AsyncIterator[bytes]


class Upstream:
    """One host. ``timeout_s`` bounds the wait for an answer's head once the request has been
    sent.
    """

    def __init__(self, url: str, timeout_s: float) -> None:
        self._base = split_upstream(url)
        self._timeout_s = timeout_s
        self.origin = f"{self._base.scheme}://{self._base.netloc}"
        # One request a connection at a time and no limit to their number: no client waits for
        # another.
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
        """A client's headers as they are sent on."""
        given = list(headers)
        own = _own(given)
        passed = (
            [(b"Host", self.netloc.encode())]
            if not any(name.lower() == b"host" for name, _ in given)
            else []
        )
        hosts = 0
        for name, value in given:
            lower = name.lower()
            if lower == b"host":
                hosts += 1
                passed += [(name, self.netloc.encode())] if hosts == 1 else []
            elif lower not in own:
                passed.append(
                    (name, b"identity" if lower == b"accept-encoding" else value.strip(b" \t"))
                )
        return passed

    @contextlib.asynccontextmanager
    async def asked(self, request: UpstreamRequest) -> AsyncIterator[Answer]:
        """Send ``request`` and give its answer; leaving early closes the connection. Raises
        ``UpstreamError``.
        """
        if request.method == "CONNECT":
            raise UpstreamError(
                400, "the request cannot be passed on: this is no proxy for other hosts"
            )
        response = await self._send(request)
        try:
            if response.status > _HIGHEST_STATUS:
                raise UpstreamError(
                    502, f"{self.origin} answered with the status {response.status}, which is none"
                )
            yield Answer(
                response.status,
                response.extensions["reason_phrase"].decode("latin-1"),
                response.headers,
                _chunks(response),
            )
        finally:
            with contextlib.suppress(*_NO_ANSWER):
                await response.aclose()

    async def _send(self, request: UpstreamRequest) -> httpcore.Response:
        url = httpcore.URL(
            scheme=self._base.scheme,
            host=self._base.hostname or "",
            port=self._base.port,
            target=self._base.path.encode() + request.target,
        )
        request.is_sent_now()
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
                504, f"{self.origin} did not answer within {waited_s:g} s"
            ) from None
        except (httpcore.LocalProtocolError, httpcore.UnsupportedProtocol) as error:
            raise UpstreamError(400, f"the request cannot be passed on: {error}") from None
        except httpcore.ConnectError as error:
            raise UpstreamError(
                502, f"{self.origin} cannot be reached ({_reason(error)})"
            ) from None
        except _NO_ANSWER as error:
            raise UpstreamError(
                502, f"{self.origin} broke off without an answer ({_reason(error)})"
            ) from None

    async def _timed(
        self, request: UpstreamRequest, limit: asyncio.Timeout
    ) -> AsyncIterator[bytes]:
        async for data in request.body:
            yield data
        request.is_sent_now()
        limit.reschedule(asyncio.get_running_loop().time() + self._timeout_s)


def end_to_end(headers: RawHeaders) -> RawHeaders:
    """An answer's headers without those that concern the connection with the upstream alone.

    The server frames the body anew: what it says of its length holds unless the upstream sent it in
    chunks.
    """
    own = _own(headers) | {b"transfer-encoding"}
    if any(name.lower() == b"transfer-encoding" for name, _ in headers):
        own.add(b"content-length")
    return [(name, value) for name, value in headers if name.lower() not in own]


def _own(headers: RawHeaders) -> set[bytes]:
    """The headers of one connection. A request keeps ``Transfer-Encoding``: its next connection is
    framed alike.
    """
    named = b",".join(value for name, value in headers if name.lower() == b"connection").lower()
    return {*_HOP_BY_HOP, *(word.strip() for word in named.split(b","))} - {
        b"transfer-encoding",
        b"host",
    }


async def _chunks(response: httpcore.Response) -> AsyncIterator[bytes]:
    try:
        async for data in response.aiter_stream():
            yield data
    except _NO_ANSWER as error:
        raise UpstreamBrokeError(_reason(error)) from None


def _reason(error: BaseException) -> str:
    """The innermost reason that says something: httpcore often wraps an error that says more."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, OSError) and inner.strerror:
            return inner.strerror
        inner = inner.__cause__ or inner.__context__
    return str(error) or type(error).__name__


def _trusted() -> ssl.SSLContext:
    """Certificates of the usual authorities, and of those that this machine trusts
    (``SSL_CERT_FILE`` among them).
    """
    context = httpcore.default_ssl_context()
    context.load_default_certs()
    return context
