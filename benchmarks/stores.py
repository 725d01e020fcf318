"""What it costs a run that replicas share it: SQLite and Redis beside memory; two workers beside
one. The processes of the fake are measured, not Redis itself.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.measure import Figure, Size, SkippedError, beside
from benchmarks.servers import fake, served
from benchmarks.throughput import RUN
from benchmarks.wrk import load, send
from tests.stores.replicas import redis_server

_WARM = 1_000
_CONNECTIONS = 16


def figures(size: Size) -> list[Figure]:
    """Servers side by side: each on one core, and then with as many as they can use."""
    if shutil.which("redis-server") is None:
        raise SkippedError("redis-server is not installed (apt install redis-server)")
    seconds, rounds = size.of(0.1, 3.0, 5.0), size.of(1, 2, 6)
    with contextlib.ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
        redis = running.enter_context(redis_server(folder))
        alone = {
            "memory": ["--store", "memory"],
            "SQLite": ["--store", f"sqlite:///{folder}/one.db"],
            "Redis": ["--store", redis],
        }
        together = {
            f"{count} worker{'s' * (count > 1)}": [
                *("--store", f"sqlite:///{folder}/{count}.db", "--workers", str(count))
            ]
            for count in (1, 2)
        }
        found = []
        for workload, subjects in (
            ("blocking run, by store", alone),
            ("blocking run, by workers with SQLite", together),
        ):
            slices = {}
            for name, flags in subjects.items():
                one_core = subjects is alone
                command = fake("--speed", "instant", *flags)
                server = running.enter_context(served(command, on_one_core=one_core))
                send(server, RUN, size.of(100, _WARM, _WARM))
                slices[name] = partial(load, server, RUN, _CONNECTIONS, seconds)
            found += beside(workload, slices, rounds)
        return found
