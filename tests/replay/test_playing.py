"""A recorded answer being played, on a clock that is moved by hand: what is due comes, and nothing
else does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from starlette.types import Message

from dify_wire.exchange import Chunk
from fake_server.clock import Clock
from fake_server.replay.responses import Playing, ReplayedResponse
from fake_server.replay.rewrite import RunEnd, run_end, stopped_response, stopped_stream
from tests.compared import time_contradictions
from tests.each import each
from tests.replay.folders import recorded

CHUNKS = (Chunk(0.25, b"a"), Chunk(1.0, b"b"), Chunk(1.0, b"c"), Chunk(4.0, b"d"))


async def _break_off() -> None:
    raise ConnectionResetError("the response breaks off here")


class Listener:
    """A client of an answer that begins at 100 on a frozen clock."""

    def __init__(self, speed: float | None, is_whole: bool = True) -> None:
        self.clock = Clock()
        self.clock.freeze(100.0)
        self.playing = Playing(CHUNKS, 5.0, self.clock, speed)
        self.messages: list[Message] = []
        self.left = asyncio.Event()
        start: Message = {"type": "http.response.start", "status": 200, "headers": []}
        answer = ReplayedResponse(
            lambda: start, self.playing, is_whole, contextlib.nullcontext(), _break_off
        )
        self.task = asyncio.create_task(answer({}, self._receive, self._send))

    @property
    def emitted(self) -> list[bytes]:
        return [message["body"] for message in self.messages[1:]]

    async def move_on(self, seconds: float) -> None:
        self.clock.advance(seconds)
        await self.settle()

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    async def _receive(self) -> Message:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self.messages.append(message)


def listen(
    script: Callable[[Listener], Awaitable[None]], speed: float | None, is_whole: bool = True
) -> None:
    async def main() -> None:
        listener = Listener(speed, is_whole)
        await listener.settle()
        await script(listener)
        assert listener.task.done()

    asyncio.run(main())


@pytest.mark.parametrize("speed", [1.0, 0.5, 8.0])
def test_each_chunk_comes_at_its_time_and_the_end_at_its_own(speed: float) -> None:
    """The head comes with the first of them; chunks of one moment stay apart."""

    async def script(listener: Listener) -> None:
        assert listener.messages == []
        for seconds, emitted in (
            (0.25, [b"a"]),
            (0.75, [b"a", b"b", b"c"]),
            (3.0, [b"a", b"b", b"c", b"d"]),
        ):
            await listener.move_on((seconds - 2**-10) / speed)
            assert len(listener.emitted) < len(emitted)
            await listener.move_on(2**-10 / speed)
            assert listener.emitted == emitted
        assert not listener.task.done()
        await listener.move_on(1.0 / speed)
        assert listener.emitted == [b"a", b"b", b"c", b"d", b""]

    listen(script, speed)


def test_without_waiting_each_chunk_is_still_a_message() -> None:
    async def script(listener: Listener) -> None:
        assert listener.emitted == [b"a", b"b", b"c", b"d", b""]

    listen(script, None)


def test_nothing_is_sent_to_a_client_that_has_left() -> None:
    async def script(listener: Listener) -> None:
        await listener.move_on(0.25)
        listener.left.set()
        await listener.settle()
        assert listener.emitted == [b"a"]
        await listener.task

    listen(script, 1.0)


@pytest.mark.parametrize("is_over", [True, False])
def test_without_a_connection_a_broken_end_is_an_error(is_over: bool) -> None:
    """In process there is no connection to break off: the recorded end, and that of a server that
    goes down.
    """

    async def script(listener: Listener) -> None:
        if is_over:
            await listener.move_on(10.0)
        else:
            listener.playing.end()
            await listener.settle()
        with pytest.raises(ConnectionResetError):
            await listener.task

    listen(script, 1.0, is_whole=not is_over)


# Stopping

STREAM = recorded()["stream_ok"]
BLOCK = recorded()["block_ok_doc_example"]


def _end(body: bytes, stream: bool) -> RunEnd:
    end = run_end(body, stream)
    assert end is not None
    return end


@each("size", range(0, len(STREAM.body), 97))
def test_wherever_a_stream_is_stopped_its_frames_are_whole(size: int) -> None:
    """However it is cut: the frame that has begun is told to its end, and then the one that says
    stopped.
    """
    chunks = (Chunk(0.5, STREAM.body[:size]), Chunk(9.0, STREAM.body[size:]))
    emitted = chunks[:1] if size else ()
    last_frame = STREAM.body.rindex(b"data: ")
    stopped = stopped_stream(emitted, chunks, _end(STREAM.body, True), 3.0)
    if size > last_frame:
        assert stopped is None
        return
    assert stopped is not None
    assert stopped[: len(emitted)] == emitted
    body = b"".join(chunk.data for chunk in stopped)
    *frames, last, nothing = body.split(b"\n\n")
    assert nothing == b""
    assert frames == STREAM.body.split(b"\n\n")[: len(frames)]
    data = json.loads(last.removeprefix(b"data: "))["data"]
    assert (data["status"], data["elapsed_time"], data["files"]) == ("stopped", 3.0, [])
    assert data["total_steps"] == sum(b'"event": "node_started"' in frame for frame in frames)
    assert time_contradictions(body.decode()) == []


@pytest.mark.parametrize(
    "body", [BLOCK.body, BLOCK.body.replace(b'": ', b'":').replace(b', "', b',"')]
)
def test_a_stopped_end_is_written_as_the_host_writes(body: bytes) -> None:
    """A version without blanks keeps its style."""
    stopped = stopped_response((), (Chunk(9.0, body),), _end(body, False), 2.0)
    assert stopped is not None
    assert (b'": ' in stopped[0].data) == (b'": ' in body)
    assert json.loads(stopped[0].data)["data"]["status"] == "stopped"


def test_an_answer_that_has_begun_is_not_stopped() -> None:
    begun = (Chunk(0.0, BLOCK.body[:9]), Chunk(9.0, BLOCK.body[9:]))
    assert stopped_response(begun[:1], begun, _end(BLOCK.body, False), 2.0) is None


@pytest.mark.parametrize(
    ("elapsed_s", "stops_at_s"), [(0.0, 1.0), (0.5, 1.0), (2.5, 3.0), (3.5, None), (9.0, None)]
)
def test_the_host_looks_once_a_second_whether_it_was_to_stop(
    elapsed_s: float, stops_at_s: float | None
) -> None:
    clock = Clock()
    clock.freeze(100.0)
    playing = Playing(CHUNKS, 5.0, clock, 1.0)
    clock.advance(elapsed_s)
    assert playing.stops_at_s == stops_at_s


def test_a_run_without_an_end_has_no_outcome() -> None:
    cut = replace(STREAM, chunks=STREAM.chunks[:3])
    assert run_end(cut.body, True) is None
    assert run_end(b'{"message": "Internal Server Error"}', False) is None
    assert run_end(b"<html>", False) is None
