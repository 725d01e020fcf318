"""What a full journal costs: clients that wait for a request which never comes, and reading."""

from __future__ import annotations

import contextlib
import json
from functools import partial

from benchmarks.measure import FAKE, Figure, Sample, Size, beside
from benchmarks.servers import Server, fake, served
from benchmarks.throughput import RUN
from benchmarks.wrk import load, send
from tests.serving import Connection, raw_exchange

_ENTRIES = 1_000
_NEVER = {"match": {"prompt": "nobody sends this"}, "count": 1, "timeout_s": 600}


def figures(size: Size) -> list[Figure]:
    """Runs under load with so many clients waiting."""
    with contextlib.ExitStack() as running:
        servers = {}
        for name, waiters in (("no waiter", 0), ("one waiter", 1), ("five waiters", 5)):
            server = running.enter_context(served(fake("--speed", "instant")))
            send(server, RUN, size.of(100, _ENTRIES, _ENTRIES))
            for _ in range(waiters):
                connection = Connection("127.0.0.1", server.port)
                running.enter_context(connection)
                connection.send(_admin("POST", "requests/wait", json.dumps(_NEVER)))
            servers[name] = server
        return [
            *beside(
                "blocking run, a full journal",
                {
                    name: partial(load, server, RUN, 8, size.of(0.1, 0.5, 1.0))
                    for name, server in servers.items()
                },
                size.of(1, 2, 6),
            ),
            *beside(
                "reading the journal",
                {FAKE: partial(_read, servers["no waiter"])},
                size.of(1, 3, 7),
            ),
        ]


def _read(server: Server) -> Sample:
    found = {}
    for name, query in (("1,000 entries", ""), ("the newest", "?limit=1")):
        before = server.cpu_s()
        answer = raw_exchange("127.0.0.1", server.port, _admin("GET", f"requests{query}"))
        found[f"{name}, ms CPU"] = (server.cpu_s() - before) * 1000
        assert answer.status == 200, answer
    return found


def _admin(method: str, call: str, body: str = "") -> bytes:
    head = f"{method} /__admin/{call} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()
