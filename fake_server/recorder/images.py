"""Finds the signed URLs of images in responses, and fetches each before it expires.

A client often fetches it itself; it is given some time for that.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re

from fake_server.recorder.upstream import IMAGE_PATH, Upstream, UpstreamRequest, no_body
from fake_server.recorder.writing import ExchangeWriter, OpenExchange

log = logging.getLogger("fake_server.recorder")

CLIENT_FIRST_S = 5.0
"""How long a client has to fetch an image itself; a URL is valid for 300 s (FACTS 6.1)."""

MOST_WAITING = 1000
"""Images that wait to be fetched."""

_AT_ONCE = 4
_ONE_IMAGE_S = 60.0
END_S = 5.0
"""How long the images that are still missing may take when the recorder ends."""

_NOTE = "fetched by the recorder"

_URL = re.compile(
    rb"(https?://[^/\s\"'<>]{1,255})?("
    + IMAGE_PATH
    + rb"\?[A-Za-z0-9_=&%.~+-]{1,1000})(?![A-Za-z0-9_=&%.~+-])"
)
_LONGEST_BYTES = 1400
_ESCAPES = ((rb"\/", b"/"), (rb"\u0026", b"&"), (rb"\u003d", b"="), (b"&amp;", b"&"))
_LONGEST_ESCAPE = max(len(escaped) for escaped, _ in _ESCAPES)
_TEXTS = ("application/json", "text/")


class ImageFetcher:
    """Fetches each image once from ``upstream``, unless a client does. Failures are logged."""

    def __init__(
        self,
        upstream: Upstream,
        writer: ExchangeWriter | None,
        client_first_s: float = CLIENT_FIRST_S,
    ) -> None:
        self.failed = 0
        self._upstream = upstream
        self._writer = writer
        self._client_first_s = client_first_s
        self._at_once = asyncio.Semaphore(_AT_ONCE)
        self._is_ending = asyncio.Event()
        self._known: set[str] = set()
        self._fetched: set[str] = set()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def add(self, url: str) -> None:
        """Fetch the image of a signed URL that has passed, once per file."""
        origin, slash, rest = url.partition("/files/")
        target = slash + rest
        path = target.partition("?")[0]
        if path in self._known:
            return
        self._known.add(path)
        host = origin.partition("://")[2]
        if len(self._tasks) >= MOST_WAITING:
            self._fail(path, f"{MOST_WAITING} others wait to be fetched")
        elif host and host != self._upstream.netloc:
            self._fail(path, f"its URL leads to {ascii(host)[1:-1]}, which is not the upstream")
        else:
            task = asyncio.create_task(self._fetch_later(path, target))
            self._tasks[path] = task
            task.add_done_callback(lambda _: self._tasks.pop(path, None))

    def has(self, path: str) -> bool:
        """Whether the recorder has fetched this image."""
        return path in self._fetched

    def client_has(self, path: str) -> None:
        """A client has fetched this image itself."""
        self._known.add(path)
        if path in self._tasks:
            self._tasks[path].cancel()

    async def finish(self) -> None:
        """Fetch at once what still waits, and give up what takes too long."""
        self._is_ending.set()
        if not self._tasks:
            return
        _, late = await asyncio.wait(list(self._tasks.values()), timeout=END_S)
        for path, task in list(self._tasks.items()):
            if task in late:
                task.cancel()
                self._fail(path, f"it took longer than {END_S:g} s")

    async def _fetch_later(self, path: str, target: str) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._is_ending.wait(), self._client_first_s)
        async with self._at_once:
            exchange = OpenExchange(self._writer, self._upstream.origin, _NOTE)
            try:
                async with asyncio.timeout(_ONE_IMAGE_S):
                    await self._fetch(path, target, exchange)
            except TimeoutError:
                self._fail(path, f"it took longer than {_ONE_IMAGE_S:g} s")
            except Exception as error:
                self._fail(path, str(error) or type(error).__name__)
            finally:
                exchange.discard()

    async def _fetch(self, path: str, target: str, exchange: OpenExchange) -> None:
        headers = [(b"User-Agent", b"fake-server record"), (b"Accept", b"*/*")]
        request = UpstreamRequest(
            "GET", target.encode(), self._upstream.headers_for(headers), no_body()
        )
        async with self._upstream.send(request) as response:
            async for chunks in response.body:
                await exchange.add_response_chunks(request.elapsed_s(), chunks)
            exchange.end(request, response, request.elapsed_s(), "complete")
        if response.status == 200:
            self._fetched.add(path)
        else:
            self._fail(path, f"the host sent status {response.status} instead of the image")

    def _fail(self, path: str, why: str) -> None:
        self.failed += 1
        log.warning("%s is not recorded: %s", path, why)


class UrlFinder:
    """Finds signed URLs in a body that arrives in chunks, wherever it is cut."""

    def __init__(self) -> None:
        self._tail = b""

    def add(self, data: bytes) -> list[str]:
        """The URLs that are complete with ``data``."""
        text = self._tail + data
        if b"files" not in text:
            self._tail = text[-_LONGEST_BYTES:]
            return []
        for escaped, plain in _ESCAPES:
            text = text.replace(escaped, plain)
        # A URL at the end of the text may continue.
        whole = [one for one in _URL.finditer(text) if one.end() + _LONGEST_ESCAPE <= len(text)]
        self._tail = text[max([len(text) - _LONGEST_BYTES, *(one.end() for one in whole)]) :]
        return [match[0].decode("latin-1") for match in whole]

    def end(self) -> list[str]:
        """The URL at the end of the body, if any."""
        return self.add(b"\n" * _LONGEST_ESCAPE)


def is_text(content_type: str) -> bool:
    """Whether a body of that type may hold URLs."""
    return content_type.lower().startswith(_TEXTS) or "+json" in content_type.lower()
