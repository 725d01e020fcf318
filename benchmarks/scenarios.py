"""What scenarios cost a run that matches none: the same app with and without, by turns, without a
socket.

What is looked for is a hundredth of a run, and so the turns are short: a batch of runs with, one
without.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any
from unittest import mock

from benchmarks.measure import API_KEY, Figure, Load, compared, cpu_figure, run_body
from fake_server import Settings, create_app
from fake_server.app import FakeServer
from fake_server.http.request import Request

_RUNS = 20
_ROUNDS = 400
_RULES = 30

_BASELINE = "that without scenarios"
"""The app as it would be if there were no scenarios: what asks for them always says no."""


def figures() -> list[Figure]:
    """A blocking run at speed instant: without rules, then with rules of which none matches."""
    app = create_app(Settings(speed=None))
    ruled = create_app(Settings(speed=None))
    ruled.scenarios.add([_rule(number) for number in range(_RULES)])
    with asyncio.Runner() as runner:

        def batch(app: FakeServer) -> Load:
            return runner.run(_batch(app))

        def baseline() -> Load:
            with mock.patch("fake_server.app.is_spared", _always):
                return batch(app)

        for one in (app, ruled):
            batch(one)  # imports what the first run needs
        return [
            cpu_figure(
                "a run without rules", *compared(lambda: batch(app), baseline, _ROUNDS), _BASELINE
            ),
            cpu_figure(
                "the noise: the same beside itself",
                *compared(baseline, baseline, _ROUNDS),
                "itself",
            ),
            cpu_figure(
                f"a run with {_RULES} rules of which none matches",
                *compared(lambda: batch(ruled), baseline, _ROUNDS),
                _BASELINE,
            ),
        ]


def _always(request: Request) -> bool:
    return True


def _rule(number: int) -> dict[str, object]:
    """A rule for another user than the one who asks; each for one of their own, for two for one
    could contradict.
    """
    return {"name": "http_error", "when": {"user": f"other {number}"}}


async def _batch(app: FakeServer) -> Load:
    """So many runs, one after the other."""
    began_ns, began = time.thread_time_ns(), time.perf_counter()
    for _ in range(_RUNS):
        await _run(app)
    took_ns, took_s = time.thread_time_ns() - began_ns, time.perf_counter() - began
    return Load(_RUNS / took_s, took_ns / _RUNS / 1000)


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


_BODY = run_body("blocking")


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
