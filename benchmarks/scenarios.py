"""What scenarios cost a run that matches none: apps with and without rules, by turns, without a
socket. What is looked for is a hundredth of a run, and so the turns are short: a batch of runs.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any

from benchmarks.measure import Figure, Sample, Size, beside
from benchmarks.servers import API_KEY
from benchmarks.wrk import runs
from fake_server import Settings, create_app
from fake_server.app import FakeServer

_RUNS = 20
_RULES = 30


def figures(size: Size) -> list[Figure]:
    """A blocking run at speed instant: without rules, then with rules of which none matches."""
    app = create_app(Settings(speed=None))
    ruled = create_app(Settings(speed=None))
    ruled.scenarios.add([_rule(number) for number in range(_RULES)])
    with asyncio.Runner() as runner:

        def batch(app: FakeServer) -> Sample:
            return runner.run(_batch(app))

        for one in (app, ruled):
            batch(one)  # imports what the first run needs
        return beside(
            "a run without a socket",
            {
                "no rules": partial(batch, app),
                "the same again": partial(batch, app),
                f"{_RULES} rules of which none matches": partial(batch, ruled),
            },
            size.of(4, 100, 400),
        )


def _rule(number: int) -> dict[str, object]:
    """A rule for another user than the one who asks; each for one of their own, for two for one
    could contradict.
    """
    return {"name": "http_error", "when": {"user": f"other {number}"}}


async def _batch(app: FakeServer) -> Sample:
    """So many runs, one after the other."""
    began_ns = time.thread_time_ns()
    for _ in range(_RUNS):
        await _run(app)
    return {"µs CPU a run": (time.thread_time_ns() - began_ns) / _RUNS / 1000}


async def _run(app: FakeServer) -> None:
    messages = [{"type": "http.request", "body": _BODY, "more_body": False}]
    statuses: list[int] = []

    async def receive() -> dict[str, Any]:
        return messages.pop() if messages else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await app(_scope(), receive, send)
    assert statuses == [200]


_BODY = runs("blocking")[0]


def _scope() -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/v1/workflows/run",
        "raw_path": b"/v1/workflows/run",
        "query_string": b"",
        "root_path": "",
        "headers": [
            (b"host", b"127.0.0.1"),
            (b"content-type", b"application/json"),
            (b"content-length", str(len(_BODY)).encode()),
            (b"authorization", f"Bearer {API_KEY}".encode()),
        ],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 6060),
        "state": {},
    }
