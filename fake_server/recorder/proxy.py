"""The proxy as an ASGI app: a request to the upstream, and its answer back, each chunk as it comes.

Nothing is buffered and nothing is rewritten. An answer that breaks off breaks off for the client
too: its connection ends without the end of the body. Where there is no answer, the recorder says so
itself, in JSON and by its name.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial

from starlette.types import Receive, Scope, Send

from dify_wire.text_file import printable
from fake_server.recorder.image_urls import UrlFinder, is_text, picture_path
from fake_server.recorder.images import Pictures
from fake_server.recorder.open_exchange import OpenExchange
from fake_server.recorder.upstream import (
    Answer,
    RawHeaders,
    Upstream,
    UpstreamBrokeError,
    UpstreamError,
    UpstreamRequest,
    end_to_end,
)
from fake_server.recorder.writing_queue import WritingQueue

log = logging.getLogger("fake_server.recorder")

_CODES = {400: "bad_request", 502: "bad_gateway", 504: "gateway_timeout"}
_WITHOUT_BODY = (204, 304)

WIRE = "fake_server.wire"
"""The ASGI extension by which the server passes on how a request looked on the wire: ``headers``
and ``target``.
"""


class _ClientLeftError(Exception):
    """The client has gone before its request was whole."""


@dataclass(slots=True)
class Counts:
    """What passed and left nothing to record, and what was ``not_searched`` for image URLs by an
    error of our own.
    """

    unanswered: int = 0
    left_early: int = 0
    not_searched: int = 0


class RecordingProxy:
    """Passes everything on to ``upstream`` and hands what passed to ``queue``.

    ``pictures`` is made when the server has its loop; None fetches none. ``end`` breaks off
    whatever is under way.
    """

    def __init__(
        self, upstream: Upstream, queue: WritingQueue, pictures: Callable[[], Pictures] | None
    ) -> None:
        self.counts = Counts()
        self.pictures: Pictures | None = None
        self.upstream = upstream
        self.queue = queue
        self._make_pictures = pictures
        self._ending = asyncio.Event()

    def end(self) -> None:
        """Break off what is under way; its part so far is kept."""
        self._ending.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        try:
            await _Passage(self, scope, receive, send).run(self._ending)
        except Exception:
            log.exception(
                "a request could not be passed on"
            )  # and the server closes the connection

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        self.pictures = self._make_pictures() if self._make_pictures else None
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if self.pictures:
            await self.pictures.finish()
        await self.upstream.close()
        await send({"type": "lifespan.shutdown.complete"})


class _Passage:
    """One request and its answer on their way."""

    def __init__(self, proxy: RecordingProxy, scope: Scope, receive: Receive, send: Send) -> None:
        upstream = proxy.upstream
        self._upstream = upstream
        self._pictures = proxy.pictures
        self._counts = proxy.counts
        self._receive = receive
        self._send = send
        self._exchange = OpenExchange(proxy.queue, upstream.origin)
        self._finder = UrlFinder()
        self._seeks = False
        self._request = UpstreamRequest(
            scope["method"],
            _target(scope),
            upstream.headers_for(_headers(scope)),
            self._request_body(),
        )
        self._body_read = asyncio.Event()
        self._answer: Answer | None = None
        self._passed_on = False
        self._picture = picture_path(self._request.target.decode("latin-1"))

    async def run(self, ending: asyncio.Event) -> None:
        """Pass it on until it is whole, the upstream breaks off, the client leaves or the recorder
        ends.
        """
        transfer = asyncio.create_task(self._transfer())
        left = asyncio.create_task(self._client_leaves())
        ends = asyncio.create_task(ending.wait())
        try:
            await asyncio.wait((transfer, left, ends), return_when=asyncio.FIRST_COMPLETED)
            if not (transfer.done() or self._passed_on):
                transfer.cancel()
            ended = await _outcome(transfer) or ("client_left" if left.done() else "cut")
        except asyncio.CancelledError:  # the server waits no longer for a client that does not read
            self._keep("cut")
            raise
        except Exception:
            self._keep("cut")
            raise
        finally:
            for task in (transfer, left, ends):
                task.cancel()
        self._keep(ended)

    def _keep(self, ended: str) -> None:
        if self._answer is None:
            self._counts.left_early += ended == "client_left"
            self._counts.unanswered += ended != "client_left"
            self._exchange.forget()
        elif self._is_kept_already(self._answer, ended):
            self._exchange.forget()
        else:
            self._exchange.end(self._request, self._answer, self._request.elapsed_s(), ended)

    def _is_kept_already(self, answer: Answer, ended: str) -> bool:
        """Whether it is an image that the recorder has fetched before the client; else it is the
        client's now.
        """
        if not (self._picture and self._pictures and ended == "complete" and answer.status == 200):
            return False
        if self._pictures.is_kept(self._picture):
            return True
        self._pictures.client_has(self._picture)
        return False

    async def _transfer(self) -> str:
        """Pass it on; how it ended, where neither the client nor the recorder ended it."""
        try:
            async with self._upstream.asked(self._request) as answer:
                self._answer = answer
                await self._pass_on(answer)
        except UpstreamError as error:
            log.warning("%s %s: %s", self._request.method, self._shown(), error)
            await self._refuse(error)
        except UpstreamBrokeError as error:
            log.warning(
                "%s %s: the upstream broke off (%s)", self._request.method, self._shown(), error
            )
            return "cut"
        except _ClientLeftError:
            return "client_left"
        return "complete"

    async def _pass_on(self, answer: Answer) -> None:
        headers = end_to_end(answer.headers)
        if answer.status in _WITHOUT_BODY:
            headers = [
                (name, value) for name, value in headers if name.lower() != b"content-length"
            ]
        reason = answer.reason.encode("latin-1")
        await self._send(
            {
                "type": "http.response.start",
                "status": answer.status,
                "reason": reason,
                "headers": headers,
            }
        )
        self._seeks = self._pictures is not None and is_text(
            _first(answer.headers, b"content-type")
        )
        async for data in answer.body:
            at_s = self._request.elapsed_s()
            await self._send({"type": "http.response.body", "body": data, "more_body": True})
            await self._exchange.came(at_s, data)
            self._seek_urls(partial(self._finder.found_in, data))
        self._passed_on = True
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        self._seek_urls(self._finder.found_at_end)

    def _seek_urls(self, found: Callable[[], list[str]]) -> None:
        """Note the URLs of images that are ``found``. An error here must not disturb the passing
        on.
        """
        if not (self._seeks and self._pictures):
            return
        try:
            for url in found():
                self._pictures.found(url)
        except Exception as error:
            self._seeks = False
            self._counts.not_searched += 1
            what = f"{type(error).__name__}: {error}"
            log.warning(
                "%s %s is not searched for image URLs (%s)",
                self._request.method,
                self._shown(),
                what,
            )

    async def _refuse(self, error: UpstreamError) -> None:
        said = {
            "code": _CODES[error.status],
            "message": f"fake-server record: {error}",
            "status": error.status,
        }
        body = json.dumps(said).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ]
        self._passed_on = True
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
                await self._exchange.asked(data)
        self._body_read.set()

    async def _client_leaves(self) -> None:
        await self._body_read.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def _shown(self) -> str:
        """The path alone: what follows it may be a signature."""
        return printable(self._request.target.partition(b"?")[0].decode("latin-1"))


async def _outcome(transfer: asyncio.Task[str]) -> str:
    """How the transfer ended; nothing where it was cancelled."""
    with contextlib.suppress(asyncio.CancelledError):
        return await transfer
    return ""


def _headers(scope: Scope) -> RawHeaders:
    """As on the wire where the server tells it; else as the server has them, in lower case."""
    wire = scope.get("extensions", {}).get(WIRE)
    return list(wire["headers"] if wire else scope["headers"])


def _target(scope: Scope) -> bytes:
    wire = scope.get("extensions", {}).get(WIRE)
    if wire and wire["target"].startswith(b"/"):
        target: bytes = wire["target"]
        return target
    path: bytes = scope["raw_path"]
    return path + (b"?" + scope["query_string"] if scope["query_string"] else b"")


def _first(headers: RawHeaders, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in headers if key.lower() == name), "")
