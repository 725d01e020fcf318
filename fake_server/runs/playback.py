"""Plays a timeline in real time, or as many times as fast as its speed says."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from starlette.types import Receive

from fake_server.clock import Clock
from fake_server.runs.engine import Timeline, cut
from fake_server.runs.events import Event, Ping, WorkflowFinished
from fake_server.spec import PingRule
from fake_server.waiting import Wait


@dataclass(frozen=True, slots=True)
class Stretch:
    """From ``from_s`` to ``to_s`` of the timeline a run takes ``takes_s`` seconds of the clock,
    whatever its speed.
    """

    from_s: float
    to_s: float
    takes_s: float


class Pace:
    """How long after its start a run at ``speed`` (None: without waiting) reaches each second of
    its timeline.

    ``stretches`` are in their order and do not overlap.
    """

    def __init__(self, speed: float | None, stretches: Sequence[Stretch] = ()) -> None:
        usual = math.inf if speed is None else speed
        self._parts = [(0.0, 0.0, usual)]
        """From which second of the timeline, from which of the clock, and at which speed."""
        for one in stretches:
            reached_s, length_s = self.clock_s(one.from_s), one.to_s - one.from_s
            speed_there = length_s / one.takes_s if length_s and one.takes_s else math.inf
            self._parts += [
                (one.from_s, reached_s, speed_there),
                (one.to_s, reached_s + one.takes_s, usual),
            ]

    def clock_s(self, at_s: float) -> float:
        """The seconds of the clock from the start to second ``at_s`` of the timeline."""
        from_s, reached_s, speed = next(part for part in reversed(self._parts) if part[0] <= at_s)
        return reached_s + (at_s - from_s) / speed

    def timeline_s(self, clock_s: float, ends_s: float) -> float:
        """Where a timeline that ends at ``ends_s`` is, ``clock_s`` seconds of the clock after the
        start.
        """
        until_s = ends_s
        for from_s, reached_s, speed in reversed(self._parts):
            if reached_s <= clock_s:
                return until_s if speed == math.inf else from_s + (clock_s - reached_s) * speed
            until_s = from_s
        return 0.0


STOP_POLL_S = 1.0
"""The host looks once a second, counted from the start of the run, whether it was told to stop
(FACTS 7).
"""


class Playback:
    """One run being played at ``speed`` (None: without waiting); ``abandoned`` when the server has
    given it up.

    ``due`` are the clock's ticks at which what has been told last was due.
    With ``endless`` the timeline is not the end of it: nothing else follows but pings by that rule,
    none where it is played without waiting, until the client leaves or the run is stopped.
    """

    def __init__(
        self,
        timeline: Timeline,
        clock: Clock,
        speed: float | None,
        endless: PingRule | None = None,
        stretches: Sequence[Stretch] = (),
    ) -> None:
        self._timeline = timeline
        self._clock = clock
        self._speed = speed
        self._pace = Pace(speed, stretches)
        self._endless = endless
        self._started = self.due = clock.ticks()
        self._wait = Wait(clock)

    @property
    def abandoned(self) -> bool:
        return self._wait.over

    @property
    def status(self) -> str:
        """The status with which the run ends; ``unfinished`` where its end is never told."""
        ends = (
            event.status
            for _, event in reversed(self._timeline)
            if isinstance(event, WorkflowFinished)
        )
        return next(ends, "unfinished")

    @property
    def elapsed_s(self) -> float:
        """Where the run is now, in seconds of its timeline."""
        return self._pace.timeline_s(self._clock.ticks() - self._started, self._timeline[-1][0])

    def stop(self) -> None:
        """End the run as stopped at the host's next look, at most a second from now; a run that
        ends before does so.
        """
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
        """The events as they fall due, those that need no waiting together; ends early when nobody
        listens any more.
        """
        told = beyond = 0
        while told < len(self._timeline) or self._endless is not None:
            due_s = partial(self._due_s, told, beyond)
            if not await self._until(due_s, receive):
                return
            if told == len(self._timeline):
                yield [Ping()]
                beyond += 1
                continue
            due = told + 1
            while (
                self._speed is None and due < len(self._timeline) and self._is_due_with(told, due)
            ):
                due += 1
            yield [event for _, event in self._timeline[told:due]]
            told = due

    def _is_due_with(self, told: int, later: int) -> bool:
        """Whether two events of the timeline are due at the same moment of the clock."""
        return self._moment(self._timeline[later][0]) <= self._moment(self._timeline[told][0])

    async def end(self, receive: Receive) -> WorkflowFinished | None:
        """Wait for the end of the run and return it; None when nobody listens any more."""
        if not await self._until(
            lambda: self._due_s(-1) if self._endless is None else math.inf, receive
        ):
            return None
        end = self._timeline[-1][1]
        assert isinstance(end, WorkflowFinished)
        return end

    async def reaches(self, at_s: float, receive: Receive) -> bool:
        """Wait until the run has gone on for ``at_s`` seconds; False when nobody listens any
        more.
        """
        return await self._until(lambda: at_s, receive)

    def _due_s(self, told: int, beyond: int = 0) -> float:
        """When the event that follows ``told`` ones is due; behind the timeline come pings,
        ``beyond`` of them told.
        """
        if told < len(self._timeline):
            return self._timeline[told][0]
        if self._endless is None or self._speed is None:
            return math.inf
        first_s, every_s = self._endless.first_s, self._endless.every_s
        told_before = (
            max(0, math.ceil((self._timeline[-1][0] - first_s) / every_s))
            if math.isfinite(first_s)
            else 0
        )
        return first_s + every_s * (told_before + beyond)

    async def _until(self, due_s: Callable[[], float], receive: Receive) -> bool:
        """Wait for a second of the timeline, which may change meanwhile; False: nobody listens."""
        if self._speed is None and self._moment(due_s()) <= self._started:
            return not self.abandoned
        if not await self._wait.until(lambda: self._moment(due_s()), receive):
            return False
        self.due = self._moment(due_s())
        return True

    def _moment(self, due_s: float) -> float:
        """The clock's ticks at a second of the timeline."""
        return self._started + self._pace.clock_s(due_s) if math.isfinite(due_s) else math.inf
