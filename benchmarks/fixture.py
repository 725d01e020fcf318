"""What the fixture costs a test run: its first use to the first response, in a fresh process, and a
reset between tests. pytest itself is imported before the clock runs.
"""

from __future__ import annotations

import json
import subprocess
import sys

from benchmarks.measure import FAKE, Figure, Sample, Size, beside
from benchmarks.servers import ROOT, environment

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
print(json.dumps({
    "ready ms": ready * 1000,
    "reset p50 µs": statistics.median(resets) * 1e6,
    "p99 µs": sorted(resets)[197] * 1e6,
}))
"""


def figures(size: Size) -> list[Figure]:
    """Medians of several processes; the first fills caches."""
    _process()
    return beside("fixture", {FAKE: _process}, size.of(1, 3, 9))


def _process() -> Sample:
    command = [sys.executable, "-c", _PROGRAM]
    ended = subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=True
    )
    sample: Sample = json.loads(ended.stdout)
    return sample
