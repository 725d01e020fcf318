"""The picture behind each signed URL in an answer, fetched before the URL expires.

A client often fetches it itself; it is given a moment for that, and then the recorder asks. One exchange a file.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

from fake_server.recorder.open_exchange import OpenExchange
from fake_server.recorder.upstream import Upstream, UpstreamBrokeError, UpstreamError, UpstreamRequest
from fake_server.recorder.writing_queue import WritingQueue

log = logging.getLogger("fake_server.recorder")

PATIENCE_S = 5.0
"""How long a client has to fetch a picture itself; little beside the 300 s that a URL lives (FACTS 6.1)."""

_AT_ONCE = 4
_ONE_PICTURE_S = 60.0
_END_S = 20.0
_NOTE = "fetched by the recorder"

_PATH = rb"/files/tools/[0-9A-Fa-f-]{36}\.[A-Za-z0-9]{1,8}"
_URL = re.compile(
    rb"(https?://[^/\s\"'<>]{1,255})?(" + _PATH + rb"\?[A-Za-z0-9_=&%.~+-]{1,1000})(?![A-Za-z0-9_=&%.~+-])"
)
_LONGEST_BYTES = 1400
_ESCAPES = ((rb"\/", b"/"), (rb"\u0026", b"&"), (rb"\u003d", b"="), (b"&amp;", b"&"))
_LONGEST_ESCAPE = max(len(escaped) for escaped, _ in _ESCAPES)
_TEXTS = ("application/json", "text/")


class UrlFinder:
    """Finds signed URLs in a body that comes chunk by chunk, however it is cut."""

    def __init__(self) -> None:
        self._tail = b""

    def found_in(self, data: bytes) -> list[str]:
        """The URLs that are whole with ``data``."""
        text = self._tail + data
        if b"files" not in text:
            self._tail = text[-_LONGEST_BYTES:]
            return []
        for escaped, plain in _ESCAPES:
            text = text.replace(escaped, plain)
        whole = [match for match in _URL.finditer(text) if match.end() + _LONGEST_ESCAPE <= len(text)]  # it may go on
        self._tail = text[max([len(text) - _LONGEST_BYTES, *(match.end() for match in whole)]) :]
        return [match[0].decode() for match in whole]

    def found_at_end(self) -> list[str]:
        """The URL that the body ended with, if any."""
        return self.found_in(b"\n" * _LONGEST_ESCAPE)


def is_text(content_type: str) -> bool:
    """Whether a body of that type may hold URLs."""
    return content_type.lower().startswith(_TEXTS) or "+json" in content_type.lower()


def picture_path(target: str) -> str | None:
    """The path of the picture that a request asks for; None for any other request."""
    path = target.partition("?")[0]
    return path if re.fullmatch(_PATH, path.encode("latin-1")) else None


class Pictures:
    """Fetches each picture once from ``upstream``, unless a client does. Failures are told, and do no harm."""

    def __init__(self, upstream: Upstream, queue: WritingQueue, patience_s: float = PATIENCE_S) -> None:
        self.failed = 0
        self._upstream = upstream
        self._queue = queue
        self._patience_s = patience_s
        self._at_once = asyncio.Semaphore(_AT_ONCE)
        self._hurry = asyncio.Event()
        self._known: set[str] = set()
        self._fetching: dict[str, asyncio.Task[None]] = {}

    def found(self, url: str) -> None:
        """A signed URL has passed: fetch it after the moment that the client has, once per file."""
        parts = urlsplit(url)
        if parts.path in self._known:
            return
        self._known.add(parts.path)
        if parts.netloc and parts.netloc != self._upstream.netloc:
            self._tell(parts.path, f"its URL leads to {parts.netloc}, which is not the upstream")
            return
        task = asyncio.create_task(self._later(parts.path, f"{parts.path}?{parts.query}"))
        self._fetching[parts.path] = task
        task.add_done_callback(lambda _: self._fetching.pop(parts.path, None))

    def client_has(self, path: str) -> None:
        """A client has fetched this one itself."""
        self._known.add(path)
        if path in self._fetching:
            self._fetching[path].cancel()

    async def finish(self) -> None:
        """Fetch at once what still waits, and give up on what takes too long."""
        self._hurry.set()
        waiting = list(self._fetching.values())
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=_END_S)
            for task in late:
                task.cancel()
            self.failed += len(late)

    async def _later(self, path: str, target: str) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._hurry.wait(), self._patience_s)
        async with self._at_once:
            exchange = OpenExchange(self._queue, self._upstream.origin, _NOTE)
            try:
                async with asyncio.timeout(_ONE_PICTURE_S):
                    await self._fetch(path, target, exchange)
            except (UpstreamError, UpstreamBrokeError, TimeoutError) as error:
                exchange.forget()
                self._tell(path, str(error) or f"it took longer than {_ONE_PICTURE_S:g} s")
            except asyncio.CancelledError:
                exchange.forget()
                raise

    async def _fetch(self, path: str, target: str, exchange: OpenExchange) -> None:
        headers = self._upstream.headers_for([(b"User-Agent", b"fake-server record"), (b"Accept", b"*/*")])
        request = UpstreamRequest("GET", target.encode(), headers, _chunks(b""))
        async with self._upstream.asked(request) as answer:
            async for data in answer.body:
                await exchange.came(request.elapsed_s(), data)
            exchange.end(request, answer, request.elapsed_s(), "complete", is_picture=True)
        if answer.status != 200:
            log.warning("%s: the host answered %s instead of a picture", path, answer.status)

    def _tell(self, path: str, why: str) -> None:
        self.failed += 1
        log.warning("%s is not recorded: %s", path, why)


async def _chunks(body: bytes) -> AsyncIterator[bytes]:
    if body:
        yield body
