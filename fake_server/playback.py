"""Plays a timeline in real time, or as many times as fast as its speed says."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Callable

from starlette.types import Receive

from fake_server.clock import Clock
from fake_server.engine import Timeline, cut
from fake_server.events import Event, Ping, WorkflowFinished
from fake_server.spec import PingRule
from fake_server.waiting import Wait

STOP_POLL_S = 1.0
"""The host looks once a second, counted from the start of the run, whether it was told to stop (FACTS 7)."""


class Playback:
    """One run being played at ``speed`` (None: without waiting); ``abandoned`` when the server has given it up.

    ``due`` are the clock's ticks at which what has been told last was due.
    With ``endless`` the timeline is not the end of it: nothing else follows but pings by that rule, none where it is
    played without waiting, until the client leaves or the run is stopped.
    """

    def __init__(self, timeline: Timeline, clock: Clock, speed: float | None, endless: PingRule | None = None) -> None:
        self._timeline = timeline
        self._clock = clock
        self._speed = speed
        self._endless = endless
        self._started = self.due = clock.ticks()
        self._wait = Wait(clock)

    @property
    def abandoned(self) -> bool:
        return self._wait.over

    @property
    def status(self) -> str:
        """The status with which the run ends; ``unfinished`` where its end is never told."""
        ends = (event.status for _, event in reversed(self._timeline) if isinstance(event, WorkflowFinished))
        return next(ends, "unfinished")

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
        if at_s < self._timeline[-1][0] or self._endless is not None:
            self._timeline = cut(self._timeline, at_s)
            self._endless = None
            self._wait.wake()

    def abandon(self) -> None:
        """Stop playing at once: the server is going down."""
        self._wait.end()

    async def events(self, receive: Receive) -> AsyncGenerator[list[Event]]:
        """The events as they fall due, those that need no waiting together; ends early when nobody listens any more."""
        told = beyond = 0
        while told < len(self._timeline) or self._endless is not None:
            if not await self._until(lambda told=told, beyond=beyond: self._due_s(told, beyond), receive):  # type: ignore[misc]
                return
            if told == len(self._timeline):
                yield [Ping()]
                beyond += 1
                continue
            due = len(self._timeline) if self._speed is None else told + 1
            yield [event for _, event in self._timeline[told:due]]
            told = due

    async def end(self, receive: Receive) -> WorkflowFinished | None:
        """Wait for the end of the run and return it; None when nobody listens any more."""
        if not await self._until(lambda: self._due_s(-1) if self._endless is None else math.inf, receive):
            return None
        end = self._timeline[-1][1]
        assert isinstance(end, WorkflowFinished)
        return end

    async def reaches(self, at_s: float, receive: Receive) -> bool:
        """Wait until the run has gone on for ``at_s`` seconds; False when nobody listens any more."""
        return await self._until(lambda: at_s, receive)

    def _due_s(self, told: int, beyond: int = 0) -> float:
        """When the event that follows ``told`` ones is due; behind the timeline come pings, ``beyond`` of them told."""
        if told < len(self._timeline):
            return self._timeline[told][0]
        if self._endless is None or self._speed is None:
            return math.inf
        first_s, every_s = self._endless.first_s, self._endless.every_s
        told_before = max(0, math.ceil((self._timeline[-1][0] - first_s) / every_s)) if math.isfinite(first_s) else 0
        return first_s + every_s * (told_before + beyond)

    async def _until(self, due_s: Callable[[], float], receive: Receive) -> bool:
        """Wait for a second of the timeline, which may change meanwhile; False: nobody listens."""
        if self._speed is None and math.isfinite(due_s()):
            return not self.abandoned
        if not await self._wait.until(lambda: self._moment(due_s()), receive):
            return False
        self.due = self._moment(due_s())
        return True

    def _moment(self, due_s: float) -> float:
        """The clock's ticks at a second of the timeline."""
        if self._speed is None:
            return self._started if math.isfinite(due_s) else math.inf
        return self._started + due_s / self._speed
