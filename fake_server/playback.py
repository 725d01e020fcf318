"""Plays a timeline in real time: the one place that waits.

Each wait is for an absolute moment, so no delay adds up, and it is a wait for the client at the same time: what wakes
it is the moment coming, the client leaving, the clock being moved or the run being stopped. It takes no task.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator

from starlette.types import Receive

from fake_server.clock import Clock
from fake_server.engine import Timeline, cut
from fake_server.events import Event, WorkflowFinished

STOP_POLL_S = 1.0
"""The host looks once a second, counted from the start of the run, whether it was told to stop (FACTS 7)."""


class Playback:
    """One run being played at ``speed`` (None: without waiting); ``abandoned`` when the server has given it up."""

    def __init__(self, timeline: Timeline, clock: Clock, speed: float | None) -> None:
        self._timeline = timeline
        self._clock = clock
        self._speed = speed
        self._started = clock.ticks()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: asyncio.Timeout | None = None
        self.abandoned = False

    @property
    def elapsed_s(self) -> float:
        """Where the run is now, in seconds of its timeline."""
        if self._speed is None:
            return self._timeline[-1][0]
        return (self._clock.ticks() - self._started) * self._speed

    def stop(self) -> None:
        """End the run as stopped at the host's next look, at most a second from now; a run that ends before does so."""
        poll_s = math.floor(self.elapsed_s / STOP_POLL_S + 1) * STOP_POLL_S
        at_s = min(poll_s, self.elapsed_s + (self._speed or 1) * STOP_POLL_S)
        if at_s < self._timeline[-1][0]:
            self._timeline = cut(self._timeline, at_s)
            self._wake()

    def abandon(self) -> None:
        """Stop playing at once: the server is going down."""
        self.abandoned = True
        self._wake()

    async def events(self, receive: Receive) -> AsyncGenerator[list[Event]]:
        """The events as they fall due, those that need no waiting together; ends early when nobody listens any more."""
        told = 0
        while told < len(self._timeline) and await self._until(told, receive):
            due = len(self._timeline) if self._speed is None else told + 1
            yield [event for _, event in self._timeline[told:due]]
            told = due

    async def end(self, receive: Receive) -> WorkflowFinished | None:
        """Wait for the end of the run and return it; None when nobody listens any more."""
        if not await self._until(-1, receive):
            return None
        end = self._timeline[-1][1]
        assert isinstance(end, WorkflowFinished)
        return end

    async def _until(self, index: int, receive: Receive) -> bool:
        """Wait until the event at ``index`` is due (the timeline may be cut meanwhile); False: nobody listens."""
        if self._speed is None:
            return not self.abandoned
        self._loop = asyncio.get_running_loop()
        self._clock.on_move(self, self._wake)
        try:
            while not self.abandoned:
                delay_s = self._started + self._timeline[index][0] / self._speed - self._clock.ticks()
                if delay_s <= 0:
                    return True
                if await self._client_left_within(None if self._clock.frozen else delay_s, receive):
                    return False
            return False
        finally:
            self._clock.forget(self)

    async def _client_left_within(self, delay_s: float | None, receive: Receive) -> bool:
        try:
            async with asyncio.timeout(delay_s) as self._waiting:
                message = await receive()
                return bool(message["type"] == "http.disconnect")
        except TimeoutError:
            return False
        finally:
            self._waiting = None

    def _wake(self) -> None:
        """End the wait, to look again what it is for. From any thread: a clock may be moved by a test's own."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._end_wait)

    def _end_wait(self) -> None:
        if self._waiting is not None and not self._waiting.expired():
            self._waiting.reschedule(asyncio.get_running_loop().time())
