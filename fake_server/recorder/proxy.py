"""The proxy as an ASGI app: a request to the upstream, and its response back, chunk by chunk.

Nothing is buffered or rewritten. A response that breaks off breaks off for the client too: its
connection ends without the end of the body. If there is no response, the proxy says so in JSON.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

from starlette.types import Receive, Scope, Send

from dify_wire.text_file import printable
from fake_server.recorder.images import ImageFetcher, UrlFinder, is_text
from fake_server.recorder.settings import DEFAULT_TIMEOUT_S, RecorderSettings
from fake_server.recorder.upstream import (
    RawHeaders,
    Upstream,
    UpstreamBrokeError,
    UpstreamError,
    UpstreamRequest,
    UpstreamResponse,
    end_to_end,
    image_path,
)
from fake_server.recorder.writing import ExchangeWriter, OpenExchange, start_writer
from fake_server.settings import Settings, SettingsError

log = logging.getLogger("fake_server.recorder")
server_log = logging.getLogger("fake_server")

_CODES = {400: "bad_request", 502: "bad_gateway", 504: "gateway_timeout"}
_NO_BODY = (204, 304)

WIRE = "fake_server.wire"
"""The ASGI extension with which the server passes on a request's ``headers`` and ``target`` as
they were on the wire.
"""


class _ClientLeftError(Exception):
    """The client has gone before its request was complete."""


@dataclass(slots=True)
class Counts:
    """What was passed on and not recorded, and what was ``not_searched`` for image URLs."""

    unanswered: int = 0
    left_early: int = 0
    not_searched: int = 0


class RecordingProxy:
    """Passes everything on to ``upstream`` and records it with ``writer``, if there is one.

    ``fetch_images`` makes the fetcher when the server has its loop; None fetches none.
    """

    def __init__(
        self,
        upstream: Upstream,
        writer: ExchangeWriter | None,
        fetch_images: Callable[[], ImageFetcher] | None = None,
    ) -> None:
        self.counts = Counts()
        self.images: ImageFetcher | None = None
        self.upstream = upstream
        self.writer = writer
        self._fetch_images = fetch_images
        self._under_way: set[_ProxiedRequest] = set()
        self._is_ending = False

    def end(self) -> None:
        """Break off what is under way; its part so far is recorded."""
        self._is_ending = True
        for request in list(self._under_way):
            request.break_off("cut")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        try:
            request = _ProxiedRequest(self, scope, receive, send)
            self._under_way.add(request)
            try:
                await request.run(self._is_ending)
            finally:
                self._under_way.discard(request)
        except Exception:
            log.exception("a request could not be passed on")  # the server closes the connection

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        self.images = self._fetch_images() if self._fetch_images else None
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if self.images:
            await self.images.finish()
        self.upstream.close()
        await send({"type": "lifespan.shutdown.complete"})


class _ProxiedRequest:
    """One request and its response on their way."""

    def __init__(self, proxy: RecordingProxy, scope: Scope, receive: Receive, send: Send) -> None:
        self._upstream = proxy.upstream
        self._images = proxy.images
        self._counts = proxy.counts
        self._receive = receive
        self._send = send
        self._exchange = OpenExchange(proxy.writer, proxy.upstream.origin)
        headers, target = _on_the_wire(scope)
        self._request = UpstreamRequest(
            scope["method"], target, self._upstream.headers_for(headers), self._request_body()
        )
        self._response: UpstreamResponse | None = None
        self._is_passed_on = False
        self._task: asyncio.Task[None] | None = None
        self._leaving: asyncio.Task[None] | None = None
        self._broken_off = ""
        """How it ended early, if it did."""

    async def run(self, is_ending: bool) -> None:
        """Pass it on until it is complete, one side breaks off, or the recorder ends."""
        self._task = asyncio.current_task()
        ended = "cut"
        try:
            if is_ending:
                self.break_off("cut")
            ended = await self._transfer()
        except asyncio.CancelledError:
            if not (self._broken_off and self._task) or self._task.uncancel():
                raise
            ended = self._broken_off
        finally:  # also when the server does not wait any longer for a client that does not read
            if self._leaving is not None:
                self._leaving.cancel()
            self._task = self._leaving = None  # which hold on to this request
            self._record(ended)

    def break_off(self, ended: str) -> None:
        """End what is under way; what has been passed on whole is complete."""
        if self._task is not None and not (self._broken_off or self._is_passed_on):
            self._broken_off = ended
            self._task.cancel()

    def _record(self, ended: str) -> None:
        if self._response is None:
            self._counts.left_early += ended == "client_left"
            self._counts.unanswered += ended != "client_left"
            self._exchange.discard()
        elif self._is_recorded_image(self._response.status, ended):
            self._exchange.discard()
        else:
            self._exchange.end(self._request, self._response, self._request.elapsed_s(), ended)

    def _is_recorded_image(self, status: int, ended: str) -> bool:
        """Whether it is an image that the recorder has fetched; else the client has it now."""
        path = image_path(self._request.target.decode("latin-1"))
        if not (path and self._images and ended == "complete" and status == 200):
            return False
        if self._images.has(path):
            return True
        self._images.client_has(path)
        return False

    async def _transfer(self) -> str:
        """Pass it on; returns how the response ended."""
        await self._exchange.start()
        try:
            async with self._upstream.send(self._request) as response:
                self._response = response
                await self._pass_on(response)
        except UpstreamError as error:
            self._warn(str(error))
            await self._send_error(error)
        except UpstreamBrokeError as error:
            self._warn(f"the upstream broke off ({error})")
            return "cut"
        except _ClientLeftError:
            return "client_left"
        return "complete"

    async def _pass_on(self, response: UpstreamResponse) -> None:
        headers = end_to_end(response.headers)
        if response.status in _NO_BODY:
            headers = [pair for pair in headers if pair[0].lower() != b"content-length"]
        await self._send(
            {
                "type": "http.response.start",
                "status": response.status,
                "reason": response.reason.encode("latin-1"),
                "headers": headers,
            }
        )
        types = (value for name, value in response.headers if name.lower() == b"content-type")
        search = self._images is not None and is_text(next(types, b"").decode("latin-1"))
        finder = UrlFinder() if search else None
        async for chunks in response.body:
            at_s = self._request.elapsed_s()
            for data in chunks:
                await self._send({"type": "http.response.body", "body": data, "more_body": True})
            await self._exchange.add_response_chunks(at_s, chunks)
            finder = self._search(finder, b"".join(chunks))
        self._is_passed_on = True
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        self._search(finder, None)

    def _search(self, finder: UrlFinder | None, data: bytes | None) -> UrlFinder | None:
        """Fetch the images whose URLs end in ``data`` (None: the body is over).

        An error here must not disturb the response; returns the finder to continue with.
        """
        if finder is None or self._images is None:
            return None
        try:
            for url in finder.end() if data is None else finder.add(data):
                self._images.add(url)
        except Exception as error:
            self._counts.not_searched += 1
            self._warn(f"not searched for image URLs ({type(error).__name__}: {error})")
            return None
        return finder

    async def _send_error(self, error: UpstreamError) -> None:
        message = f"fake-server record: {error}"
        data = {"code": _CODES[error.status], "message": message, "status": error.status}
        body = json.dumps(data).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ]
        self._is_passed_on = True
        await self._send(
            {"type": "http.response.start", "status": error.status, "headers": headers}
        )
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def _request_body(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise _ClientLeftError
            more = message.get("more_body", False)
            if data := message.get("body", b""):
                yield data
                await self._exchange.add_request_chunk(data)
        self._leaving = asyncio.create_task(self._client_leaves())

    async def _client_leaves(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.break_off("client_left")

    def _warn(self, message: str) -> None:
        path = self._request.target.partition(b"?")[0]  # what follows may be a signature
        log.warning("%s %s: %s", self._request.method, printable(path.decode("latin-1")), message)


def _on_the_wire(scope: Scope) -> tuple[RawHeaders, bytes]:
    """Headers and target as on the wire if the server passes them on, else as in ``scope``."""
    wire = scope.get("extensions", {}).get(WIRE)
    headers = list(wire["headers"] if wire else scope["headers"])
    if wire and wire["target"].startswith(b"/"):
        return headers, wire["target"]
    query: bytes = scope["query_string"]
    return headers, scope["raw_path"] + (b"?" + query if query else b"")


class Forwarding:
    """Passes the misses of a replay on to a real host, and records them if that is wanted.

    ``labels`` are those of the apps' keys. Raises ``SettingsError`` if nothing can be recorded.
    """

    def __init__(self, settings: Settings, labels: Mapping[str, str]) -> None:
        assert settings.upstream is not None
        assert settings.replay is not None
        recorder = RecorderSettings(
            upstream=settings.upstream, to=settings.replay, key_labels=tuple(labels.items())
        )
        upstream = Upstream(recorder.upstream, DEFAULT_TIMEOUT_S)
        self._writer = None
        if settings.on_miss == "record":
            try:
                self._writer = start_writer(recorder, server_log.warning)
            except SettingsError as error:
                if error.setting != "to":
                    raise
                raise SettingsError("replay", str(error).partition(": ")[2]) from None
        self._proxy = RecordingProxy(upstream, self._writer)
        if self._writer:
            self._proxy.images = ImageFetcher(upstream, self._writer, client_first_s=0.0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._proxy(scope, receive, send)

    def end(self) -> None:
        """Break off what is under way."""
        self._proxy.end()

    def close(self) -> None:
        """Write everything that has ended. Call it when the server is down."""
        if self._writer:
            written = self._writer.finish(server_log.info)
            message = "recorded %s exchanges, %s images, %s lost, %s bodies lost"
            counts = written.exchanges, written.images, written.lost, written.bodies_lost
            server_log.info(message, *counts)
