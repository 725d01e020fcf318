"""How much later the first frame of a stream comes through the recorder: ``python -m
benchmarks.recorder [STREAMS]``.

Streams of the fake at speed ``instant``, requested directly and through the recorder in turn, over
connections that are kept: by one client, which shows what the recorder adds, and by ten that never
rest, which shows what a full machine makes of it.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

from benchmarks.measure import Figure, table
from tests.recorder.upstreams import post, run_body, running_recorder
from tests.serving import Connection, running_server

STREAMS = 200
CLIENTS = 10

Address = tuple[str, int]


def figures(streams: int = STREAMS) -> list[Figure]:
    """Medians of so many streams, direct and through the recorder. Raises ``SystemExit`` where an
    exchange was lost.
    """
    with tempfile.TemporaryDirectory() as folder, running_server("--speed", "instant") as fake:
        direct = (fake.host, fake.port)
        authorization = f"Authorization: Bearer {fake.api_key}\r\n"
        request = post("/v1/workflows/run", run_body(), authorization)
        with running_recorder(fake.url, Path(folder) / "to", "--no-fetch-images") as recorder:
            _first_frames_ms([direct, recorder.address], request, 20)
            found = _figures(
                "one client", *_first_frames_ms([direct, recorder.address], request, streams)
            )
            with ThreadPoolExecutor(CLIENTS) as clients:
                share = max(1, streams // CLIENTS)
                measured = list(
                    clients.map(
                        lambda _: _first_frames_ms([direct, recorder.address], request, share),
                        range(CLIENTS),
                    )
                )
            found += _figures(
                f"{CLIENTS} clients",
                *(list(chain(*times)) for times in zip(*measured, strict=True)),
            )
            if recorder.end() != 0:
                raise SystemExit(recorder.output())
    return found


def _first_frames_ms(addresses: list[Address], request: bytes, streams: int) -> list[list[float]]:
    """Milliseconds until the first frame, for each address, which take turns so that both see the
    same machine.
    """
    connections = [Connection(*address) for address in addresses]
    times: list[list[float]] = [[] for _ in addresses]
    for _ in range(streams):
        for connection, mine in zip(connections, times, strict=True):
            mine.append(connection.exchange(request).chunks[0][0] * 1000)
    for connection in connections:
        connection.close()
    return times


def _figures(who: str, direct: list[float], through: list[float]) -> list[Figure]:
    without, with_it = statistics.median(direct), statistics.median(through)
    return [
        Figure(f"first frame, {who}: direct", without, "ms"),
        Figure(
            f"first frame, {who}: through the recorder",
            with_it,
            "ms",
            with_it / without,
            against="the direct one",
        ),
        Figure(f"first frame, {who}: what the recorder adds", with_it - without, "ms"),
    ]


if __name__ == "__main__":
    print(table(figures(int(sys.argv[1]) if len(sys.argv) > 1 else STREAMS)))
