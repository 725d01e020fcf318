"""Runs at speed ``instant`` under load: the fake beside F with the same responses, and its peers.

The bodies have 64 prompts in turn. A scenario that is on stands for all that the ordinary path
responds to; no two equal heads are those of a client that numbers its requests.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from benchmarks.floor import Constant, floor
from benchmarks.measure import FAKE, FLOOR, Figure, Sample, Size, beside
from benchmarks.peers import Peer, found
from benchmarks.servers import Server, fake, served
from benchmarks.wrk import Requests, load, runs, warm, without_prompt
from tests.serving import raw_exchange

_PATH = "/v1/workflows/run"
RUN = Requests(_PATH, runs("blocking"))
_REFUSED = Requests(_PATH, without_prompt(runs("blocking")), 400)
_STREAM = Requests(_PATH, runs("streaming"))


@dataclass(frozen=True, slots=True)
class Workload:
    """Requests of a kind over so many connections; ``requests`` are those to the fake."""

    name: str
    kind: str
    requests: Requests
    connections: int = 32
    with_peers: bool = True


_WORKLOADS = (
    Workload("blocking run, 1 connection", "run", RUN, 1),
    Workload("blocking run, 32 connections", "run", RUN),
    Workload("blocking run, 256 connections", "run", RUN, 256),
    Workload("blocking run, no two heads equal", "run", replace(RUN, fresh_heads=True), 32, False),
    Workload(
        "blocking run, a scenario on",
        "run",
        replace(RUN, headers={"X-Fake-Scenario": "no_ping"}),
        with_peers=False,
    ),
    Workload("refused run", "refused", _REFUSED),
    Workload("stream at once", "stream", _STREAM),
)

Subject = tuple[Server, Requests]


def figures(size: Size) -> list[Figure]:
    """Every workload."""
    with contextlib.ExitStack() as running:
        ours = running.enter_context(served(fake("--speed", "instant")))
        constants = {
            f"/{kind}": response(ours, requests)
            for kind, requests in (("run", RUN), ("refused", _REFUSED), ("stream", _STREAM))
        }
        bare = running.enter_context(floor(constants))
        config = Path(running.enter_context(tempfile.TemporaryDirectory()))
        [(_, body)] = constants["/run"].frames
        peers = {
            name: peer if isinstance(peer, str) else (peer, running.enter_context(_served(peer)))
            for name, peer in found(size, config, body).items()
        }
        return [
            figure
            for workload in _WORKLOADS
            for figure in _beside(workload, ours, bare, peers, size)
        ]


def response(server: Server, requests: Requests) -> Constant:
    """How the fake responds to the first of ``requests``, for F to repeat."""
    raw = raw_exchange("127.0.0.1", server.port, requests.raw())
    assert raw.status == requests.status, raw
    text = raw.body.decode()
    if raw.header("content-type") == "application/json":
        return Constant(raw.status, [(0, text)], False)
    return Constant(raw.status, [(0, frame + "\n\n") for frame in text.split("\n\n")[:-1]], True)


def _served(peer: Peer) -> contextlib.AbstractContextManager[Server]:
    return served(peer.command, peer.environment)


def _beside(
    workload: Workload,
    ours: Server,
    bare: Server,
    peers: Mapping[str, tuple[Peer, Server] | str],
    size: Size,
) -> list[Figure]:
    subjects: dict[str, Subject | str] = {
        FLOOR: (bare, replace(workload.requests, path=f"/{workload.kind}")),
        FAKE: (ours, workload.requests),
    }
    if workload.with_peers:
        subjects |= {name: _of(peer, workload.kind) for name, peer in peers.items()}
    slices: dict[str, Callable[[], Sample] | str] = {}
    for name, subject in subjects.items():
        if isinstance(subject, str):
            slices[name] = subject
        else:
            warm_s = size.of(0.1, 0.2, 4.0 if name == "WireMock" else 0.7)
            server, requests = subject
            warm(server, requests)
            load(server, requests, workload.connections, warm_s)
            slices[name] = partial(load, *subject, workload.connections, size.of(0.1, 0.3, 0.7))
    return beside(workload.name, slices, size.of(1, 3, 6))


def _of(peer: tuple[Peer, Server] | str, kind: str) -> Subject | str:
    """What is asked of a peer instead of our requests, or why nothing is."""
    if isinstance(peer, str):
        return peer
    theirs = {"run": peer[0].run, "refused": peer[0].refused, "stream": peer[0].stream}[kind]
    return theirs if isinstance(theirs, str) else (peer[1], theirs)
