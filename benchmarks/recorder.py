"""How much later the first frame of a stream comes through ``fake-server record``.

Streams of the fake at speed ``instant``, which each client asks for directly and through the
recorder by turns. Ten clients that never rest show how many streams a second the recorder manages.
It writes in a process of its own, and may use every core.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from functools import partial

from benchmarks.measure import Figure, Sample, Size, beside, percentile
from benchmarks.servers import Server, fake, served
from benchmarks.wrk import Requests, runs

_CLIENTS = (
    ("1 client", 1, 0.0),
    ("10 clients that rest 100 ms after each stream", 10, 0.1),
    ("10 clients that never rest", 10, 0.0),
)
_REQUESTS = Requests("/v1/workflows/run", runs("streaming"))


def figures(size: Size) -> list[Figure]:
    """The first frame, direct and through the recorder."""
    with (
        tempfile.TemporaryDirectory() as folder,
        served(fake("--speed", "instant")) as direct,
        served(_recorder(direct, folder), on_one_core=False) as recorder,
    ):
        _first_frames((direct, recorder), 10, 0.0, 5)  # warm
        rounds = size.of(1, 4, 8)
        found = []
        for name, clients, rest_s in _CLIENTS:
            streams = size.of(5, 60, 120) // clients
            measured = [
                _first_frames((direct, recorder), clients, rest_s, max(streams, 1))
                for _ in range(rounds)
            ]
            directly, through = (iter(samples) for samples in zip(*measured, strict=True))
            found += beside(
                f"first frame, {name}",
                {"direct": partial(next, directly), "through the recorder": partial(next, through)},
                rounds,
            )
    return found


def _recorder(upstream: Server, folder: str) -> list[str]:
    command = fake("--upstream", upstream.url, "--to", f"{folder}/to", "--no-fetch-images")
    return ["record" if part == "serve" else part for part in command]


def _first_frames(
    servers: Sequence[Server], clients: int, rest_s: float, streams: int
) -> list[Sample]:
    """Milliseconds from a request to its first frame, for each server; each client asks them by
    turns for so many streams.
    """

    async def all_of_them() -> list[list[list[float]]]:
        return await asyncio.gather(*(_client(servers, rest_s, streams) for _ in range(clients)))

    by_server = zip(*asyncio.run(all_of_them()), strict=True)
    took_ms = [[ms for one in of_server for ms in one] for of_server in by_server]
    p50_ms = [statistics.median(one) for one in took_ms]
    return [
        {"p50 ms": p50, "p90 ms": percentile(one, 90), "p50 ms more than direct": p50 - p50_ms[0]}
        for one, p50 in zip(took_ms, p50_ms, strict=True)
    ]


async def _client(servers: Sequence[Server], rest_s: float, streams: int) -> list[list[float]]:
    """A connection to each server that is kept."""
    connections = [
        await asyncio.open_connection("127.0.0.1", server.port, limit=1 << 20) for server in servers
    ]
    took_ms: list[list[float]] = [[] for _ in servers]
    for _ in range(streams):
        for (reader, writer), mine in zip(connections, took_ms, strict=True):
            began = time.perf_counter()
            writer.write(_REQUESTS.raw())
            await reader.readuntil(b"\n\n")
            mine.append((time.perf_counter() - began) * 1000)
            await reader.readuntil(b"\r\n0\r\n\r\n")
            await asyncio.sleep(rest_s * random.uniform(0.5, 1.5))
    for _, writer in connections:
        writer.close()
        await writer.wait_closed()
    return took_ms
