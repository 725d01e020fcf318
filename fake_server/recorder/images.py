"""The picture behind each signed URL in an answer, fetched before the URL expires.

A client often fetches it itself; it is given a moment for that, and then the recorder asks. One
exchange a file.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

from fake_server.recorder.open_exchange import OpenExchange
from fake_server.recorder.upstream import (
    Upstream,
    UpstreamBrokeError,
    UpstreamError,
    UpstreamRequest,
)
from fake_server.recorder.writing_queue import WritingQueue

log = logging.getLogger("fake_server.recorder")

PATIENCE_S = 5.0
"""How long a client has to fetch a picture itself; little beside the 300 s that a URL lives (FACTS
6.1).
"""

MOST_WAITING = 1000
"""Pictures that wait to be fetched."""

_AT_ONCE = 4
_ONE_PICTURE_S = 60.0
END_S = 5.0
"""How long the pictures that are still missing may take when the recorder ends."""

_NOTE = "fetched by the recorder"


class Pictures:
    """Fetches each picture once from ``upstream``, unless a client does. Failures are told, and do
    no harm.
    """

    def __init__(
        self, upstream: Upstream, queue: WritingQueue, patience_s: float = PATIENCE_S
    ) -> None:
        self.failed = 0
        self._upstream = upstream
        self._queue = queue
        self._patience_s = patience_s
        self._at_once = asyncio.Semaphore(_AT_ONCE)
        self._hurry = asyncio.Event()
        self._known: set[str] = set()
        self._kept: set[str] = set()
        self._fetching: dict[str, asyncio.Task[None]] = {}

    def found(self, url: str) -> None:
        """A signed URL has passed: fetch it after the moment that the client has, once per file."""
        origin, slash, rest = url.partition("/files/")
        target = slash + rest
        path = target.partition("?")[0]
        if path in self._known:
            return
        self._known.add(path)
        if len(self._fetching) >= MOST_WAITING:
            self._tell(path, f"{MOST_WAITING} others wait to be fetched")
            return
        host = origin.partition("://")[2]
        if host and host != self._upstream.netloc:
            self._tell(path, f"its URL leads to {ascii(host)[1:-1]}, which is not the upstream")
            return
        task = asyncio.create_task(self._later(path, target))
        self._fetching[path] = task
        task.add_done_callback(lambda _: self._fetching.pop(path, None))

    def is_kept(self, path: str) -> bool:
        """Whether the recorder has fetched this one already."""
        return path in self._kept

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
            _, late = await asyncio.wait(waiting, timeout=END_S)
            for task in late:
                task.cancel()
            for path, task in list(self._fetching.items()):
                if task in late:
                    self._tell(path, f"it took longer than {END_S:g} s")

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
            except Exception as error:
                exchange.forget()
                self._tell(path, f"{type(error).__name__}: {error}")

    async def _fetch(self, path: str, target: str, exchange: OpenExchange) -> None:
        headers = self._upstream.headers_for(
            [(b"User-Agent", b"fake-server record"), (b"Accept", b"*/*")]
        )
        request = UpstreamRequest("GET", target.encode(), headers, _chunks(b""))
        async with self._upstream.asked(request) as answer:
            async for data in answer.body:
                await exchange.came(request.elapsed_s(), data)
            exchange.end(request, answer, request.elapsed_s(), "complete")
        if answer.status == 200:
            self._kept.add(path)
        else:
            self._tell(path, f"the host answered {answer.status} instead of it")

    def _tell(self, path: str, why: str) -> None:
        self.failed += 1
        log.warning("%s is not recorded: %s", path, why)


async def _chunks(body: bytes) -> AsyncIterator[bytes]:
    if body:
        yield body
