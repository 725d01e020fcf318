"""Many slow streams at once: what each costs in memory, and how punctual its last frame is."""

from __future__ import annotations

import asyncio
import re
import resource
import statistics
import time
from dataclasses import dataclass, field

from benchmarks.measure import API_KEY, FAKE, Figure, Loaded, resident_kb, run_body, served

_STREAMS = 1_000
_BEGIN_WITHIN_S = 4.0
_ALL_OPEN_S = 8.0
"""When every stream has begun and none has ended: the shortest run takes more than 15 s."""

_ELAPSED = re.compile(rb'"event": "workflow_finished".*?"elapsed_time": ([\d.]+)', re.DOTALL)


def figures() -> list[Figure]:
    """A thousand streams at the host's own speed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4 * _STREAMS)), hard))
    with served(*FAKE[:-1], "--speed", "1", "--port") as server:
        kb_each, late_ms = asyncio.run(_watched(server))
    percentiles = statistics.quantiles(late_ms, n=100)
    return [
        Figure(f"memory of each of {_STREAMS} open streams", kb_each, "KB"),
        Figure(f"lateness of the last frame with {_STREAMS} streams, p50", percentiles[49], "ms"),
        Figure(f"lateness of the last frame with {_STREAMS} streams, p99", percentiles[98], "ms"),
    ]


@dataclass(slots=True)
class _Stream(asyncio.Protocol):
    """Asks for a stream, and notes when its first and its last frame come."""

    request: bytes
    ended: asyncio.Future[float]
    began: float = 0.0
    received: bytearray = field(default_factory=bytearray)
    transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        if not self.received:
            self.began = now
        self.received += data
        found = _ELAPSED.search(self.received)
        if found is not None and not self.ended.done():
            self.ended.set_result((now - self.began - float(found[1])) * 1000)
            assert self.transport is not None
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_exception(
                error or ConnectionError(f"a stream ended too early: {self.received[-200:]!r}")
            )


async def _watched(server: Loaded) -> tuple[float, list[float]]:
    """KB for each stream, and by how many ms each was late."""
    loop = asyncio.get_running_loop()
    await _stream(server, loop, wait=False)  # so that what the first one imports is not counted
    before = resident_kb(server.pid)
    streams = [await _stream(server, loop, wait=True) for _ in range(_STREAMS)]
    await asyncio.sleep(_ALL_OPEN_S - _BEGIN_WITHIN_S)
    kb_each = (resident_kb(server.pid) - before) / _STREAMS
    return kb_each, await asyncio.gather(*streams)


async def _stream(
    server: Loaded, loop: asyncio.AbstractEventLoop, wait: bool
) -> asyncio.Future[float]:
    ended: asyncio.Future[float] = loop.create_future()
    await loop.create_connection(lambda: _Stream(_request(), ended), "127.0.0.1", server.port)
    if wait:
        await asyncio.sleep(_BEGIN_WITHIN_S / _STREAMS)
    else:
        await ended
    return ended


def _request() -> bytes:
    body = run_body("streaming")
    head = (
        "POST /v1/workflows/run HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {API_KEY}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
