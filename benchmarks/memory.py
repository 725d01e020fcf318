"""What a server needs at rest, when its bounded stores are full, and after as much load again."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.floor import floor
from benchmarks.measure import FAKE, FLOOR, Figure, Sample, Size, beside
from benchmarks.peers import found
from benchmarks.servers import Server, fake, served
from benchmarks.throughput import RUN, response
from benchmarks.wrk import Requests, send, warm


def figures(size: Size) -> list[Figure]:
    """The fake keeps 1,000 entries of the journal, 10,000 runs and 20,000 images."""
    runs = size.of(200, 21_000, 21_000)
    with served(fake("--speed", "instant")) as ours:
        constant = response(ours, RUN)
    [(_, body)] = constant.frames
    floors = Requests("/run", RUN.bodies)
    with tempfile.TemporaryDirectory() as config:
        peers = found(size, Path(config), body) if size is Size.FULL else {}
        return beside(
            f"memory, twice {runs:,} runs",
            {
                FLOOR: partial(_memory, partial(floor, {"/run": constant}), floors, runs),
                FAKE: partial(_memory, partial(served, fake("--speed", "instant")), RUN, runs),
                **{
                    name: peer
                    if isinstance(peer, str)
                    else partial(
                        _memory, partial(served, peer.command, peer.environment), peer.run, runs
                    )
                    for name, peer in peers.items()
                },
            },
            1,
        )


def _memory(
    serve: Callable[[], contextlib.AbstractContextManager[Server]], requests: Requests, runs: int
) -> Sample:
    with serve() as server:
        warm(server, requests)
        measured = [server.memory_mb()]
        for _ in range(2):
            send(server, requests, runs)
            measured.append(server.memory_mb())
    return dict(zip(("at rest MB", "stores full MB", "as much again MB"), measured, strict=True))
