"""A stream on the wire: sse-starlette's response, made to send the host's bytes and nothing of its
own.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from sse_starlette import EventSourceResponse
from starlette.types import Receive, Scope, Send

from fake_server.http.responses import RawHeaders


class HostEventStream(EventSourceResponse):
    """An SSE answer whose chunks are the host's own frames.

    Differs from its base in what a client sees: LF and not CRLF, no Cache-Control, Connection or
    X-Accel-Buffering, no ping of its own (pings are events of the timeline). And in what runs: the
    base needs four tasks a stream; here the frames come from one iterator which itself notices when
    the client leaves or the server stops.
    """

    def __init__(self, frames: AsyncGenerator[bytes], headers: RawHeaders) -> None:
        super().__init__(frames, ping=0, sep="\n")
        self.raw_headers = headers
        self._frames = frames

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send(
            {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        )
        async with aclosing(self._frames) as frames:
            async for chunk in frames:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
