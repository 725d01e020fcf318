"""What scenarios cost a run that matches none, without a socket, and what it takes to add rules.

What is looked for is a hundredth of a run, and so the turns are short: a batch of runs each.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any

from benchmarks.measure import FAKE, Figure, Sample, Size, beside
from benchmarks.servers import API_KEY
from benchmarks.wrk import runs
from fake_server import Settings, create_app
from fake_server.app import FakeServer

_RUNS = 20


def figures(size: Size) -> list[Figure]:
    """A blocking run at speed instant: without rules, then with rules of which none matches."""
    many, singly = size.of(100, 3_000, 3_000), size.of(30, 1_000, 1_000)
    apps = {
        "no rules": _app(),
        "the same again": _app(),
        "30 exact rules": _app(*map(_exact, range(30))),
        f"{singly:,} exact rules": _app(*map(_exact, range(singly))),
        "30 rules with contains": _app(*map(_contains, range(30))),
    }
    with asyncio.Runner() as runner:

        def batch(app: FakeServer) -> Sample:
            return runner.run(_batch(app))

        for app in apps.values():
            batch(app)  # imports what the first run needs
        return [
            *beside(
                "a run without a socket, no rule matches",
                {name: partial(batch, app) for name, app in apps.items()},
                size.of(4, 20, 300),
            ),
            *beside(
                f"adding {many:,} rules with contains or matches, together",
                {FAKE: partial(_together, many)},
                size.of(1, 1, 3),
            ),
            *beside(
                f"adding {singly:,} exact rules, one by one",
                {FAKE: partial(_one_by_one, singly)},
                size.of(1, 1, 3),
            ),
        ]


def _app(*rules: dict[str, object]) -> FakeServer:
    app = create_app(Settings(speed=None))
    if rules:
        app.scenarios.add(list(rules))
    return app


def _exact(number: int) -> dict[str, object]:
    """A rule for another user than the one who runs; each for one of their own, for two for one
    could contradict.
    """
    return {"name": "http_error", "when": {"user": f"other {number}"}}


def _contains(number: int) -> dict[str, object]:
    return {"name": "http_error", "when": {"prompt": {"contains": f"picture {number} "}}}


def _matches(number: int) -> dict[str, object]:
    return {"name": "http_error", "when": {"prompt": {"matches": f"^picture {number}$"}}}


def _together(count: int) -> Sample:
    app = _app()
    rules = [(_contains, _matches)[number % 2](number) for number in range(count)]
    began = time.thread_time()
    app.scenarios.add(rules)
    return {"ms CPU": (time.thread_time() - began) * 1000}


def _one_by_one(count: int) -> Sample:
    app = _app()
    began = time.thread_time()
    for number in range(count):
        app.scenarios.add([_exact(number)])
    return {"ms CPU": (time.thread_time() - began) * 1000}


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
