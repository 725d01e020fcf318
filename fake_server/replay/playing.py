"""A recorded answer on its way: each chunk at its recorded time, and the end as it was."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, aclosing

from starlette.types import Message, Receive, Scope, Send

from dify_wire.exchange import Chunk
from fake_server.clock import Clock
from fake_server.waiting import Wait

_STOP_POLL_S = 1.0
"""The host looks once a second, counted from the start of the run, whether it was told to stop
(FACTS 7).
"""


class Playing:
    """Chunks being played at ``speed`` (None: without waiting); the answer is over after
    ``seconds``.
    """

    def __init__(
        self, chunks: Sequence[Chunk], seconds: float, clock: Clock, speed: float | None
    ) -> None:
        self._chunks = tuple(chunks)
        self._seconds = max(seconds, chunks[-1].at_s if chunks else 0.0)
        self._clock = clock
        self._speed = speed
        self._started = clock.ticks()
        self._wait = Wait(clock)
        self._told = 0

    @property
    def abandoned(self) -> bool:
        """Whether the server has given it up."""
        return self._wait.over

    @property
    def size(self) -> int:
        """How many bytes it will have been in the end."""
        return sum(len(chunk.data) for chunk in self._chunks)

    @property
    def elapsed_s(self) -> float:
        """Where it is now, in seconds of the recording."""
        return (
            self._seconds
            if self._speed is None
            else (self._clock.ticks() - self._started) * self._speed
        )

    def told(self, at_s: float) -> tuple[Chunk, ...]:
        """The chunks that have been told once it is ``at_s``."""
        due = tuple(chunk for chunk in self._chunks[self._told :] if chunk.at_s < at_s)
        return self._chunks[: self._told] + due

    @property
    def stops_at_s(self) -> float | None:
        """When a stop that is called now takes effect, at most a second from now; None where it is
        over before.
        """
        poll_s = math.floor(self.elapsed_s / _STOP_POLL_S + 1) * _STOP_POLL_S
        at_s = min(poll_s, self.elapsed_s + (self._speed or 1) * _STOP_POLL_S)
        return at_s if self._chunks and at_s < self._chunks[-1].at_s else None

    def play_instead(self, chunks: Sequence[Chunk]) -> None:
        """Go on with other chunks, of which those that have been told are the first."""
        self._chunks = tuple(chunks)
        self._seconds = chunks[-1].at_s
        self._wait.wake()

    def end(self) -> None:
        """Play no more: the server is going down. From any thread."""
        self._wait.end()

    async def pieces(self, receive: Receive) -> AsyncGenerator[bytes]:
        """The chunks as they fall due; ends early when nobody listens any more."""
        while self._told < len(self._chunks) and await self._until(receive):
            self._told += 1
            yield self._chunks[self._told - 1].data

    async def over(self, receive: Receive) -> bool:
        """Wait until the answer is over; False where it will never be, for nobody listens any
        more.
        """
        return self._told == len(self._chunks) and await self._wait.until(
            lambda: self._due(self._seconds), receive
        )

    async def _until(self, receive: Receive) -> bool:
        """Wait for the next chunk, which may become another one meanwhile."""
        return await self._wait.until(lambda: self._due(self._chunks[self._told].at_s), receive)

    def _due(self, at_s: float) -> float:
        return self._started if self._speed is None else self._started + at_s / self._speed


class ReplayedAnswer:
    """An ASGI app that sends a recorded answer; where that broke off (``is_whole`` is false), so
    does this one.

    ``headers`` are asked for when the first chunk is sent: only then the length is certain.
    ``known`` is entered for as long as it is being played.
    """

    def __init__(
        self,
        head: Callable[[], Message],
        playing: Playing,
        is_whole: bool,
        known: AbstractContextManager[None],
        break_off: Callable[[], Awaitable[None]],
    ) -> None:
        self._break_off = break_off
        self._head = head
        self._playing = playing
        self._is_whole = is_whole
        self._known = known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._known:
            is_over = await self._play(receive, send)
        if is_over and self._is_whole:
            await send({"type": "http.response.body", "body": b""})
        elif is_over or self._playing.abandoned:
            await self._break_off()

    async def _play(self, receive: Receive, send: Send) -> bool:
        """Send what was recorded, the head with the first of it; whether its end was reached."""
        begun = False
        async with aclosing(self._playing.pieces(receive)) as pieces:
            async for data in pieces:
                if not begun:
                    await send(self._head())
                    begun = True
                await send({"type": "http.response.body", "body": data, "more_body": True})
        is_over = await self._playing.over(receive)
        if is_over and not begun:
            await send(self._head())
        return is_over
