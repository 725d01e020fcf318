"""Fetches the image behind each signed URL in a response, before the URL expires.

A client often fetches it itself; it is given some time for that.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from fake_server.recorder.upstream import Upstream, UpstreamRequest, no_body
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
            async for data in response.body:
                await exchange.add_response_chunk(request.elapsed_s(), data)
            exchange.end(request, response, request.elapsed_s(), "complete")
        if response.status == 200:
            self._fetched.add(path)
        else:
            self._fail(path, f"the host answered {response.status} instead of it")

    def _fail(self, path: str, why: str) -> None:
        self.failed += 1
        log.warning("%s is not recorded: %s", path, why)
