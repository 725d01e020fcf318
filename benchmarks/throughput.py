"""Runs at speed instant: the fake beside the least that a server on uvicorn can do."""

from __future__ import annotations

import sys
from contextlib import ExitStack

from benchmarks.measure import (
    FAKE,
    Figure,
    Load,
    Loaded,
    compared,
    cpu_figure,
    rate_figure,
    run_body,
    served,
    wrk,
)

_ROUNDS = 8
_SLICE_S = 1.0

_FLOOR = """
import sys, uvicorn
BODY = b"x" * int(sys.argv[1])
HEAD = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-length", sys.argv[1].encode())],
}

async def app(scope, receive, send):
    await receive()
    await send(HEAD)
    await send({"type": "http.response.body", "body": BODY})

uvicorn.run(app, port=int(sys.argv[2]), log_level="error", lifespan="off", access_log=False)
"""
"""A constant response, of as many bytes as the fake's."""

_INSTANT = ("--speed", "instant", "--port")


def figures() -> list[Figure]:
    """Blocking and streaming runs over a socket."""
    with ExitStack() as running:
        fake = running.enter_context(served(*FAKE[:-1], *_INSTANT))
        constant = running.enter_context(served(sys.executable, "-c", _FLOOR, "834"))
        stream = running.enter_context(served(sys.executable, "-c", _FLOOR, "9977"))
        return [
            *_beside("blocking, 1 connection", fake, constant, "blocking", 1),
            *_beside("blocking, 32 connections", fake, constant, "blocking", 32),
            *_beside("stream of 12 frames, 32 connections", fake, stream, "streaming", 32),
        ]


def _beside(name: str, fake: Loaded, floor: Loaded, mode: str, connections: int) -> list[Figure]:
    runs, constants = compared(
        lambda: _load(fake, mode, connections), lambda: _load(floor, mode, connections), _ROUNDS
    )
    return [
        rate_figure(f"{name}: the fake", runs),
        rate_figure(f"{name}: a constant response", constants),
        cpu_figure(f"{name}: the fake", runs, constants, "the constant response's"),
    ]


def _load(server: Loaded, mode: str, connections: int) -> Load:
    return wrk(server, "/v1/workflows/run", run_body(mode), connections, _SLICE_S)
