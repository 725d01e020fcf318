"""From starting the process to its first response: a bare Starlette on uvicorn, the fake, and its
peers, by turns.
"""

from __future__ import annotations

import socket
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from benchmarks.measure import FAKE, Figure, Sample, Size, beside
from benchmarks.peers import found
from benchmarks.servers import PORT, end, fake, free_port, started

_PATIENCE_S = 20.0
_BARE = """
import sys
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

async def home(request):
    return JSONResponse({"welcome": "here"})

uvicorn.run(Starlette(routes=[Route("/v1/", home)]), port=int(sys.argv[1]), log_level="error")
"""


def figures(size: Size) -> list[Figure]:
    """Medians of so many starts; peers are slow, and differ by more than a few starts hide."""
    bare, ours = [sys.executable, "-c", _BARE, PORT], fake()
    for command in (bare, ours):
        start(command)  # compiles, and fills caches, as any earlier start has
    with tempfile.TemporaryDirectory() as config:
        peers = found(size, Path(config))
        slices: dict[str, Callable[[], Sample] | str] = {
            "bare Starlette": partial(start, bare),
            FAKE: partial(start, ours),
        }
        many = beside("start to first response", slices, size.of(1, 5, 21))
        slices |= {
            name: peer
            if isinstance(peer, str)
            else partial(start, peer.command, tuple(peer.environment.items()))
            for name, peer in peers.items()
        }
        few = beside("start to first response, with peers", slices, size.of(1, 1, 3))
    return [*many, *few]


def start(command: Sequence[str], environment: Sequence[tuple[str, str]] = ()) -> Sample:
    """Milliseconds from the start of ``command`` to the first byte of a response."""
    port = free_port()
    began = time.perf_counter()
    process = started(command, port, more_environment=dict(environment), on_one_core=False)
    try:
        while not _responds(port):
            if process.poll() is not None or time.perf_counter() - began > _PATIENCE_S:
                raise SystemExit(f"{command[:3]} does not respond")
            time.sleep(0.001)
        return {"ms": (time.perf_counter() - began) * 1000}
    finally:
        end(process)


def _responds(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_S) as connection:
            connection.sendall(b"GET /v1/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            return bool(connection.recv(1))
    except ConnectionError:
        return False
