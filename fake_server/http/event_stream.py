"""A stream on the wire: sse-starlette's response, made to send the host's bytes only."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from sse_starlette import EventSourceResponse
from starlette.types import Receive, Scope, Send

from fake_server.http.responses import RawHeaders


class EventStream(EventSourceResponse):
    """A stream whose chunks are the host's own frames.

    A client sees LF and not CRLF, no Cache-Control, Connection or X-Accel-Buffering, and no pings
    but those of the timeline. The base class runs four tasks for each stream; here one iterator
    sends the frames and notices when the client leaves or the server stops.
    """

    def __init__(self, frames: AsyncGenerator[bytes], headers: RawHeaders) -> None:
        super().__init__(frames, ping=0, sep="\n")
        self.raw_headers = headers
        self._frames = frames

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async with aclosing(self._frames) as frames:
            async for chunk in frames:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
