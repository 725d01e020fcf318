"""Requests over HTTP, raw: no decoding, no redirects, no retries, every chunk with its time, and
all of it bounded.

Bounded in time: one deadline holds for a request with its whole answer, however slowly headers or
body drip. Bounded in memory: an answer is read up to ``BODY_LIMIT_BYTES`` where it says it is a
picture and ``TEXT_LIMIT_BYTES`` where not, chunks counted with what it costs to keep them. Of one
that goes on beyond that its head is kept, which is evidence enough; after ``TOTAL_LIMIT_BYTES``
together no more than that is read of any.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote, urlsplit

import httpcore

from contract.target import DEFAULT_TIMEOUT_S
from dify_wire.exchange import Chunk, Exchange, Request

BODY_LIMIT_BYTES = 32 << 20
TEXT_LIMIT_BYTES = 4 << 20
TOTAL_LIMIT_BYTES = 256 << 20
_HEAD_BYTES = 64 << 10
_CHUNK_COST_BYTES = 500
_CONNECT_S = 10.0
_IDLE_S = 2.0
"""Kept connections are let go before any server's own limit, which could cut a request that has
just been sent.
"""

_TIMEOUTS = (
    httpcore.ConnectTimeout,
    httpcore.ReadTimeout,
    httpcore.WriteTimeout,
    httpcore.PoolTimeout,
)
_NO_CONNECTION = (httpcore.ConnectError, httpcore.ConnectTimeout, httpcore.UnsupportedProtocol)


class HttpTransport:
    """Sends requests to ``base_url``. ``timeout_s`` bounds a request with its whole answer, however
    slowly it drips.
    """

    def __init__(self, base_url: str, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        self._base = urlsplit(base_url.rstrip("/"))
        self._timeout_s = timeout_s
        self._network = _BoundedNetwork()
        self._pool = httpcore.ConnectionPool(
            max_connections=None,
            max_keepalive_connections=16,
            keepalive_expiry=_IDLE_S,
            network_backend=self._network,
        )
        self._lock = threading.Lock()
        self._kept_bytes = 0

    def close(self) -> None:
        self._pool.close()

    def send(self, request: Request, on_chunk: Callable[[bytes], None] | None = None) -> Exchange:
        """Send ``request``; whatever goes wrong on the way is told by ``Exchange.failure``, never
        raised.
        """
        self._network.set_deadline(time.monotonic() + self._timeout_s)
        exchange = _Sending(
            self._pool, self._limit_for, self._timeout_s, request, on_chunk
        ).exchange(lambda: self._prepared(request))
        with self._lock:
            self._kept_bytes += sum(_cost_bytes(chunk.data) for chunk in exchange.chunks)
        return exchange

    def as_sent(self, request: Request) -> Request:
        """``request`` as it goes over the wire: every header, and a path that is ASCII without the
        address's own.
        """
        pairs = self._headers(request)
        headers = tuple(
            (name, value.encode("utf-8", "surrogateescape").decode("latin-1"))
            for name, value in pairs
        )
        return Request(request.method, _quoted(request.target), headers, request.body)

    def _prepared(self, request: Request) -> httpcore.Request:
        target = _quoted(self._base.path + request.target)
        url = httpcore.URL(
            scheme=self._base.scheme,
            host=self._base.hostname or "",
            port=self._base.port,
            target=target,
        )
        headers = [
            (name.encode(), value.encode("utf-8", "surrogateescape"))
            for name, value in self._headers(request)
        ]
        return httpcore.Request(request.method, url, headers=headers, content=request.body or None)

    def _headers(self, request: Request) -> list[tuple[str, str]]:
        """``identity``: a body is judged as it is sent, and nothing unpacks a gzip bomb."""
        ours = {
            "Host": self._base.netloc.rpartition("@")[2],
            "User-Agent": "contract",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
        }
        given = {name.lower() for name, _ in request.headers}
        if (
            request.body or request.method in ("POST", "PUT", "PATCH")
        ) and "transfer-encoding" not in given:
            ours["Content-Length"] = str(len(request.body))
        return [(name, value) for name, value in ours.items() if name.lower() not in given] + list(
            request.headers
        )

    def _limit_for(self, media_type: str) -> int:
        with self._lock:
            if self._kept_bytes >= TOTAL_LIMIT_BYTES:
                return _HEAD_BYTES
        return BODY_LIMIT_BYTES if media_type.startswith("image/") else TEXT_LIMIT_BYTES


def _quoted(path: str) -> str:
    return quote(path, safe="".join(map(chr, range(0x21, 0x7F))))


class _Sending:
    """One request on its way."""

    def __init__(
        self,
        pool: httpcore.ConnectionPool,
        limit_for: Callable[[str], int],
        timeout_s: float,
        request: Request,
        on_chunk: Callable[[bytes], None] | None,
    ) -> None:
        self._pool = pool
        self._limit_for = limit_for
        self._timeout_s = timeout_s
        self._request = request
        self._on_chunk = on_chunk
        self._status: int | None = None
        self._headers: tuple[tuple[str, str], ...] = ()
        self._reason = ""
        self._too_long = False
        self._chunks: list[Chunk] = []
        self._began = time.monotonic()

    def exchange(self, prepared: Callable[[], httpcore.Request]) -> Exchange:
        sent_at = time.time()
        error: str | None = None
        timed_out = connected = True
        try:
            error = self._receive(prepared())
            timed_out = False
        except _TIMEOUTS as raised:
            connected = not isinstance(raised, _NO_CONNECTION)
            error = (
                self._not_ended() if connected else f"no connection within {self._timeout_s:g} s"
            )
        except (
            Exception
        ) as raised:  # httpcore, h11, ssl and the codecs: nothing that a host does gets out of here
            timed_out, connected = False, not isinstance(raised, _NO_CONNECTION)
            error = f"{type(raised).__name__}: {raised}" if str(raised) else type(raised).__name__
        stopped_reading = timed_out or self._too_long
        seconds = time.monotonic() - self._began
        return Exchange(
            request=self._request,
            status=self._status,
            headers=self._headers,
            chunks=tuple(self._chunks),
            ended="client_left" if stopped_reading else "cut" if error else "complete",
            error=error,
            sent_at=sent_at,
            seconds=seconds,
            timed_out=timed_out,
            connected=connected,
            reason=self._reason,
        )

    def _not_ended(self) -> str:
        what = "no answer" if self._status is None else "not ended"
        return f"{what} after {self._timeout_s:g} s, not waited for any longer"

    def _receive(self, request: httpcore.Request) -> str | None:
        response = self._pool.handle_request(request)
        try:
            self._status = response.status
            self._reason = response.extensions.get("reason_phrase", b"").decode("latin-1")
            self._headers = tuple(
                (name.decode("latin-1"), value.decode("latin-1"))
                for name, value in response.headers
            )
            return self._read(response.iter_stream())
        finally:
            response.close()

    def _read(self, stream: Iterable[bytes]) -> str | None:
        media_type = Exchange(self._request, self._status, self._headers).media_type
        limit = self._limit_for(media_type)
        size = 0
        for data in stream:
            at_s = time.monotonic() - self._began
            self._chunks.append(Chunk(at_s, data))
            size += _cost_bytes(data)
            if self._on_chunk is not None:
                self._on_chunk(data)
            if size > limit:
                self._keep_head()
                self._too_long = True
                return f"longer than {limit >> 10:,} KiB, not read any further"
            if at_s > self._timeout_s:
                raise httpcore.ReadTimeout
        return None

    def _keep_head(self) -> None:
        kept = 0
        for number, chunk in enumerate(self._chunks):
            kept += _cost_bytes(chunk.data)
            if kept > _HEAD_BYTES:
                cut = Chunk(
                    chunk.at_s, chunk.data[: max(_HEAD_BYTES - (kept - len(chunk.data)), 0)]
                )
                self._chunks[number:] = [cut]
                return


def _cost_bytes(data: bytes) -> int:
    """What it takes to read and keep ``data`` as a chunk: many small ones cost more than their
    bytes.
    """
    return len(data) + _CHUNK_COST_BYTES


class _BoundedNetwork(httpcore.NetworkBackend):
    """Connections on which no call waits beyond the deadline of the thread that makes it."""

    def __init__(self) -> None:
        self._network = httpcore.SyncBackend()
        self._local = threading.local()

    def set_deadline(self, at: float) -> None:
        self._local.deadline = at

    def left_s(self) -> float:
        """The seconds that are left; a moment where none are, so that the call times out."""
        deadline: float = self._local.deadline
        return max(deadline - time.monotonic(), 0.001)

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        seconds = min(_CONNECT_S, self.left_s())
        return _BoundedStream(
            self, self._network.connect_tcp(host, port, seconds, local_address, socket_options)
        )


class _BoundedStream(httpcore.NetworkStream):
    def __init__(self, network: _BoundedNetwork, stream: httpcore.NetworkStream) -> None:
        self._network = network
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._network.left_s())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), 1 << 20):
            self._stream.write(buffer[start : start + (1 << 20)], self._network.left_s())

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, self._network.left_s())
        return _BoundedStream(self._network, stream)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
