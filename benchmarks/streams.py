"""Many slow streams at once: when the first and the last frame come, and what each stream costs.

Each slice has a server of its own, so that its memory is that of these streams. The last frame is
late by how much more time lies between it and the first than the server means: ``elapsed_time`` of
the fake, the frames' own times of the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import re
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import cast

import uvloop

from benchmarks.floor import Constant, floor
from benchmarks.measure import FAKE, FLOOR, Figure, Sample, Size, beside, percentile
from benchmarks.peers import FRAMES, Peer, found
from benchmarks.servers import Server, fake, served
from benchmarks.wrk import Requests, runs
from tests.serving import Connection

_REQUESTS = Requests("/v1/workflows/run", runs("streaming"))
_ELAPSED = re.compile(rb'"workflow_finished".*?"elapsed_time": ([\d.]+)', re.DOTALL)
_BEGIN_A_SECOND = 500
_WARM = 20


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose streams are watched. ``first_s`` is when the first frame is due, and ``lasts_s`` says
    of the last frame how much later it is.
    """

    serve: Callable[[], contextlib.AbstractContextManager[Server]]
    requests: Requests
    ending: bytes
    lasts_s: Callable[[bytes], float]
    first_s: float = 0.0


def figures(size: Size) -> list[Figure]:
    """At the host's own speed, or faster where there is no time for that."""
    rounds = size.of({20: 1}, {500: 1}, {500: 1, 2_000: 1, 5_000: 2})
    with tempfile.TemporaryDirectory() as folder:
        subjects = dict(_subjects(size, Path(folder)))
        return [
            figure
            for count in rounds
            for figure in beside(
                f"{count:,} slow streams",
                {
                    name: one if isinstance(one, str) else partial(_slice, one, count)
                    for name, one in subjects.items()
                },
                rounds[count],
            )
        ]


def _subjects(size: Size, config: Path) -> Iterator[tuple[str, Subject | str]]:
    speed = size.of(50.0, 10.0, 1.0)
    ours = partial(served, fake("--speed", str(speed)))
    frames = _learned(ours)
    lasts_s = frames[-1][0]
    constant = {"/stream": Constant(200, frames, True)}
    yield (
        FLOOR,
        Subject(
            partial(floor, constant),
            replace(_REQUESTS, path="/stream"),
            b"workflow_finished",
            lambda frame: lasts_s,
        ),
    )
    yield (
        FAKE,
        Subject(ours, _REQUESTS, b"workflow_finished", lambda frame: _elapsed_s(frame) / speed),
    )
    gap_ms = round(lasts_s * 1000 / FRAMES)
    for name, peer in found(size, config).items():
        yield name, peer if isinstance(peer, str) else _peer(peer, gap_ms)


def _peer(peer: Peer, gap_ms: int) -> Subject | str:
    if isinstance(peer.stream, str):
        return peer.stream
    command = [*peer.command, *peer.slow, str(gap_ms)]
    return Subject(
        partial(served, command, peer.environment),
        peer.stream,
        b"[DONE]",
        lambda frame: (FRAMES - 1) * gap_ms / 1000,
        gap_ms / 1000,
    )


def _learned(
    serve: Callable[[], contextlib.AbstractContextManager[Server]],
) -> list[tuple[float, str]]:
    """The frames of one stream of the fake, each with the seconds after the first."""
    with serve() as server, Connection("127.0.0.1", server.port, timeout=60) as connection:
        connection.send(_REQUESTS.raw())
        frames = [(at_s, f"{frame.decode()}\n\n") for at_s, frame in connection.frames()]
    return [(round(at_s - frames[0][0], 2), frame) for at_s, frame in frames]


def _elapsed_s(frame: bytes) -> float:
    found = _ELAPSED.search(frame)
    assert found is not None, frame
    return float(found[1])


def _slice(subject: Subject, count: int) -> Sample:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4 * count)), hard))
    gc.collect()
    gc.disable()  # ours would come as lateness of theirs
    try:
        with subject.serve() as server, asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
            return loop.run(_watched(subject, server, count))
    finally:
        gc.enable()


@dataclass(slots=True)
class _Stream(asyncio.Protocol):
    """Asks for a stream, and notes when its first and its last frame come."""

    request: bytes
    ending: bytes
    done: asyncio.Future[None]
    sent: float = 0.0
    began: float = 0.0
    ended: float = 0.0
    last: bytes = b""
    transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it
        self.sent = time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        if not self.began and b"\n\n" in data:
            self.began = now
        self.last = (self.last + data)[-4096:]
        if self.ending in self.last and self.last.endswith((b"\n\n\r\n", b"\n\n", b"0\r\n\r\n")):
            self.ended = self.ended or now
            assert self.transport is not None
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


async def _watched(subject: Subject, server: Server, count: int) -> Sample:
    """All streams from the first to the last, and what the server needed for them."""
    for stream in [await _begin(subject, server, number) for number in range(_WARM)]:
        await asyncio.sleep(0.01)
        assert stream.transport is not None
        stream.transport.close()  # it has imported what the first one needs
    await asyncio.sleep(0.2)
    memory_mb, cpu_s, began = server.memory_mb(), server.cpu_s(), time.perf_counter()
    streams = []
    for number in range(count):
        streams.append(await _begin(subject, server, number))
        await asyncio.sleep(began + number / _BEGIN_A_SECOND - time.perf_counter())
    await asyncio.sleep(0.3)
    open_mb = server.memory_mb() - memory_mb
    await asyncio.wait([stream.done for stream in streams], timeout=90)
    used_s = server.cpu_s() - cpu_s
    complete = [stream for stream in streams if stream.ended]
    first_ms = [(stream.began - stream.sent - subject.first_s) * 1000 for stream in complete]
    late_ms = [
        (stream.ended - stream.began - subject.lasts_s(stream.last)) * 1000 for stream in complete
    ]
    return {
        "complete": len(complete),
        "first frame p50 ms": percentile(first_ms, 50),
        "p99 ms": percentile(first_ms, 99),
        "last frame late p50 ms": percentile(late_ms, 50),
        "late p99 ms": percentile(late_ms, 99),
        "KB a stream": open_mb * 1024 / count,
        "ms CPU a stream": used_s * 1000 / count,
    }


async def _begin(subject: Subject, server: Server, number: int) -> _Stream:
    loop = asyncio.get_running_loop()
    bodies = subject.requests.bodies
    request = replace(subject.requests, bodies=[bodies[number % len(bodies)]]).raw()
    stream = _Stream(request, subject.ending, loop.create_future())
    await loop.create_connection(lambda: stream, "127.0.0.1", server.port)
    return stream
