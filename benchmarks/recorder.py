"""How much later the first frame of a stream comes through the recorder: ``python -m benchmarks.recorder [STREAMS]``.

Streams of the fake at speed ``instant``, asked directly and through the recorder in turn, over connections that are
kept: by one client, which shows what the recorder adds, and by ten that never rest, which shows what a full machine
makes of it.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

from tests.recorder.upstreams import post, run_body, running_recorder
from tests.serving import Connection, running_server

STREAMS = 200
CLIENTS = 10

Address = tuple[str, int]


def main(streams: int) -> int:
    """Measure and print; 1 where an exchange was lost."""
    with tempfile.TemporaryDirectory() as folder, running_server("--speed", "instant") as fake:
        direct = (fake.host, fake.port)
        authorization = f"Authorization: Bearer {fake.api_key}\r\n"
        request = post("/v1/workflows/run", run_body(), authorization)
        with running_recorder(fake.url, Path(folder) / "to", "--no-fetch-pictures") as recorder:
            _first_frames_ms([direct, recorder.address], request, 20)
            _report("one client", *_first_frames_ms([direct, recorder.address], request, streams))
            with ThreadPoolExecutor(CLIENTS) as clients:
                share = max(1, streams // CLIENTS)
                measured = list(
                    clients.map(lambda _: _first_frames_ms([direct, recorder.address], request, share), range(CLIENTS))
                )
            _report(f"{CLIENTS} clients", *(list(chain(*times)) for times in zip(*measured, strict=True)))
            code = recorder.end()
            print(recorder.said().splitlines()[-1])
    return code


def _first_frames_ms(addresses: list[Address], request: bytes, streams: int) -> list[list[float]]:
    """Milliseconds until the first frame, for each address, which take turns so that both see the same machine."""
    connections = [Connection(*address) for address in addresses]
    times: list[list[float]] = [[] for _ in addresses]
    for _ in range(streams):
        for connection, mine in zip(connections, times, strict=True):
            mine.append(connection.exchange(request).chunks[0][0] * 1000)
    for connection in connections:
        connection.close()
    return times


def _report(who: str, direct: list[float], through: list[float]) -> None:
    added = statistics.median(through) - statistics.median(direct)
    ratio = statistics.median(through) / statistics.median(direct)
    for name, times in (("direct", direct), ("recorder", through)):
        p99 = statistics.quantiles(times, n=100)[98]
        print(f"{who:10} {name:9} median {statistics.median(times):7.2f} ms   p99 {p99:7.2f} ms   {len(times)} streams")
    print(f"{who:10} the recorder adds {added:.2f} ms to the first frame at the median, {ratio:.1f} x direct")


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else STREAMS))
