"""Requests over HTTP, raw: no decoding, no redirects, no retries, every chunk with its time, and all of it bounded."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx

from contract.exchange import Chunk, Exchange, Request

DEFAULT_TIMEOUT_S = 120.0
BODY_LIMIT_BYTES = 32 << 20
_CONNECT_S = 10.0


class HttpTransport:
    """Sends requests to ``base_url``. ``timeout_s`` bounds a request with its whole answer, however slowly it drips."""

    def __init__(self, base_url: str, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        self._base_url = base_url.rstrip("/")
        self._timeout_s = timeout_s
        limits = httpx.Limits(max_keepalive_connections=16)
        timeout = httpx.Timeout(timeout_s, connect=min(_CONNECT_S, timeout_s))
        self._client = httpx.Client(
            limits=limits, timeout=timeout, follow_redirects=False, trust_env=False, headers=_no_defaults()
        )

    def close(self) -> None:
        self._client.close()

    def send(self, request: Request, on_chunk: Callable[[bytes], None] | None = None) -> Exchange:
        """Send ``request``; whatever goes wrong on the way is told by ``Exchange.broken``, never raised."""
        return _Sending(self._client, self._base_url, self._timeout_s, request, on_chunk).exchange()


def _no_defaults() -> dict[str, str]:
    """``identity``: a body is judged as it is sent, and nothing unpacks a gzip bomb."""
    return {"Accept-Encoding": "identity", "User-Agent": "contract"}


class _Sending:
    """One request on its way."""

    def __init__(
        self,
        client: httpx.Client,
        base_url: str,
        timeout_s: float,
        request: Request,
        on_chunk: Callable[[bytes], None] | None,
    ) -> None:
        self._client = client
        self._url = base_url + request.path
        self._timeout_s = timeout_s
        self._request = request
        self._on_chunk = on_chunk
        self._status: int | None = None
        self._headers: tuple[tuple[str, str], ...] = ()
        self._chunks: list[Chunk] = []
        self._began = time.monotonic()

    def exchange(self) -> Exchange:
        sent_at = time.time()
        broken: str | None = None
        try:
            broken = self._receive()
        except httpx.HTTPError as error:
            broken = f"{type(error).__name__}: {error}"
        except (httpx.InvalidURL, UnicodeError, ValueError) as error:
            broken = f"{type(error).__name__}: {error}"
        seconds = time.monotonic() - self._began
        return Exchange(self._request, self._status, self._headers, tuple(self._chunks), broken, sent_at, seconds)

    def _receive(self) -> str | None:
        headers = [(name.encode(), value.encode("utf-8", "surrogateescape")) for name, value in self._request.headers]
        stream = self._client.stream(self._request.method, self._url, headers=headers, content=self._request.body)
        with stream as response:
            self._status = response.status_code
            self._headers = tuple(
                (name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers.raw
            )
            size = 0
            for data in response.iter_raw():
                at_s = time.monotonic() - self._began
                self._chunks.append(Chunk(at_s, data))
                size += len(data)
                if self._on_chunk is not None:
                    self._on_chunk(data)
                if size > BODY_LIMIT_BYTES:
                    return f"more than {BODY_LIMIT_BYTES >> 20} MiB, not read any further"
                if at_s > self._timeout_s:
                    return f"not ended after {self._timeout_s:g} s, not read any further"
        return None
