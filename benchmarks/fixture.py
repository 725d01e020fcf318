"""What the fixture costs a test run: its first use to the first response, in a fresh process, and a
reset between tests.

``python -m benchmarks.fixture`` prints medians of several processes. pytest itself is imported
before the clock runs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys

from benchmarks.measure import COMPILING, ROOT, Figure, table

_PROGRAM = """
import http.client, json, statistics, time
import pytest

began = time.perf_counter()
from fake_server.testing import FakeHost

with FakeHost() as fake:
    connection = http.client.HTTPConnection(fake.url.removeprefix("http://"))
    connection.request("GET", "/v1/")
    assert connection.getresponse().read()
    ready = time.perf_counter() - began
    resets = []
    for _ in range(200):
        connection.request("GET", "/v1/")
        connection.getresponse().read()
        began = time.perf_counter()
        fake.reset()
        resets.append(time.perf_counter() - began)
    connection.close()
print(json.dumps([ready, statistics.median(resets), sorted(resets)[197]]))
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=7, help="processes (default: %(default)s)")
    print(table(figures(parser.parse_args().times)))


def figures(times: int = 7) -> list[Figure]:
    """The medians of ``times`` processes."""
    measured = [_measured() for _ in range(times + 1)][1:]  # the first fills caches
    ready, reset, slow = (statistics.median(column) for column in zip(*measured, strict=True))
    return [
        Figure("fixture: ready", ready * 1000, "ms"),
        Figure("fixture: a reset, p50", reset * 1e6, "µs"),
        Figure("fixture: a reset, p99", slow * 1e6, "µs"),
    ]


def _measured() -> list[float]:
    command = [sys.executable, "-c", _PROGRAM]
    ended = subprocess.run(
        command, cwd=ROOT, env=COMPILING, capture_output=True, text=True, check=True
    )
    measured: list[float] = json.loads(ended.stdout)
    return measured


if __name__ == "__main__":
    main()
