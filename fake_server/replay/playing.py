"""A recorded response being sent: each chunk at its recorded time, and the end as it was."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager

from starlette.types import Message, Receive, Scope, Send

from dify_wire.exchange import Chunk
from fake_server.clock import Clock
from fake_server.runs.playback import Pace, next_stop_s
from fake_server.waiting import Wait


class Playing:
    """Chunks played at ``speed`` (None: without waiting); the response ends after ``seconds``."""

    def __init__(
        self, chunks: Sequence[Chunk], seconds: float, clock: Clock, speed: float | None
    ) -> None:
        self._chunks = tuple(chunks)
        self._seconds = max(seconds, chunks[-1].at_s if chunks else 0.0)
        self._clock = clock
        self._speed = speed
        self._pace = Pace(speed)
        self._started = clock.ticks()
        self._wait = Wait(clock)
        self._sent = 0

    @property
    def abandoned(self) -> bool:
        """Whether the server is going down."""
        return self._wait.over

    @property
    def size(self) -> int:
        """The bytes of the whole body."""
        return sum(len(chunk.data) for chunk in self._chunks)

    @property
    def elapsed_s(self) -> float:
        """Where it is now, in seconds of the recording."""
        return self._pace.timeline_s(self._clock.ticks() - self._started, self._seconds)

    def sent_by(self, at_s: float) -> tuple[Chunk, ...]:
        """The chunks that are sent at second ``at_s``."""
        due = tuple(chunk for chunk in self._chunks[self._sent :] if chunk.at_s < at_s)
        return self._chunks[: self._sent] + due

    @property
    def stops_at_s(self) -> float | None:
        """When a stop that is requested now takes effect; None if it ends before."""
        at_s = next_stop_s(self.elapsed_s, self._speed)
        return at_s if self._chunks and at_s < self._chunks[-1].at_s else None

    def play_instead(self, chunks: Sequence[Chunk]) -> None:
        """Continue with other chunks, of which those that are sent are the first."""
        self._chunks = tuple(chunks)
        self._seconds = chunks[-1].at_s
        self._wait.wake()

    def end(self) -> None:
        """Stop playing: the server is going down. From any thread."""
        self._wait.end()

    async def next(self, receive: Receive) -> bytes | None:
        """The next chunk when it is due; None after the last, or if the client leaves."""
        # While it waits, the next chunk may be replaced.
        if self._sent == len(self._chunks) or not await self._until(
            lambda: self._chunks[self._sent].at_s, receive
        ):
            return None
        self._sent += 1
        return self._chunks[self._sent - 1].data

    async def over(self, receive: Receive) -> bool:
        """Wait until the response is over; False if the client leaves before."""
        all_sent = self._sent == len(self._chunks)
        return all_sent and await self._until(lambda: self._seconds, receive)

    async def _until(self, at_s: Callable[[], float], receive: Receive) -> bool:
        return await self._wait.until(lambda: self._started + self._pace.clock_s(at_s()), receive)


class ReplayedResponse:
    """An ASGI app that sends a recorded response; unless ``is_whole``, it breaks off at the end.

    ``head`` is called before the first chunk is sent: only then the length is certain. ``playing``
    is registered with ``registered`` while it is sent.
    """

    def __init__(
        self,
        head: Callable[[], Message],
        playing: Playing,
        is_whole: bool,
        registered: AbstractContextManager[None],
        break_off: Callable[[], Awaitable[None]],
    ) -> None:
        self._head = head
        self._playing = playing
        self._is_whole = is_whole
        self._registered = registered
        self._break_off = break_off

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._registered:
            is_over = await self._play(receive, send)
        if is_over and self._is_whole:
            await send({"type": "http.response.body", "body": b""})
        elif is_over or self._playing.abandoned:
            await self._break_off()

    async def _play(self, receive: Receive, send: Send) -> bool:
        """Send head and chunks; returns whether the end was reached."""
        has_begun = False
        while (data := await self._playing.next(receive)) is not None:
            if not has_begun:
                await send(self._head())
                has_begun = True
            await send({"type": "http.response.body", "body": data, "more_body": True})
        is_over = await self._playing.over(receive)
        if is_over and not has_begun:
            await send(self._head())
        return is_over
