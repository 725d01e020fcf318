"""Plays a timeline in real time, or as many times as fast as its speed says."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Callable, Sequence
from functools import partial
from typing import NamedTuple

from starlette.types import Receive

from fake_server.clock import Clock, Wait
from fake_server.host_spec import PingRule
from fake_server.runs.events import (
    STOPPED,
    Event,
    Ping,
    RunCrashed,
    RunError,
    Timeline,
    WorkflowFinished,
    WorkflowPaused,
    cut,
)

STOP_POLL_S = 1.0
"""The host checks once a second of the run whether it is to stop (FACTS 7)."""


class Stretch(NamedTuple):
    """A part of the timeline that takes ``takes_s`` seconds of the clock, whatever the speed."""

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
        self.instant = speed is None and not stretches
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
        index = len(self._parts) - 1
        while self._parts[index][0] > at_s:
            index -= 1
        from_s, reached_s, speed = self._parts[index]
        return reached_s + (at_s - from_s) / speed if math.isfinite(at_s) else math.inf

    def timeline_s(self, clock_s: float, ends_s: float) -> float:
        """The second of a timeline that ends at ``ends_s``, ``clock_s`` after the start."""
        until_s = ends_s
        for from_s, reached_s, speed in reversed(self._parts):
            if reached_s <= clock_s:
                return until_s if speed == math.inf else from_s + (clock_s - reached_s) * speed
            until_s = from_s
        return 0.0


def next_stop_s(elapsed_s: float, speed: float | None) -> float:
    """When a run that is stopped at ``elapsed_s`` ends: at the host's next check."""
    poll_s = math.floor(elapsed_s / STOP_POLL_S + 1) * STOP_POLL_S
    return min(poll_s, elapsed_s + (speed or 1) * STOP_POLL_S)


class Playback:
    """One run being played at ``speed`` (None: without waiting).

    ``stop_error`` is the error of a run that is stopped; ``started`` are the clock's ticks at its
    start, now by default. With ``endless`` nothing follows the timeline but pings by that rule,
    until the client leaves or the run is stopped; none where it is played without waiting.
    """

    def __init__(
        self,
        timeline: Timeline,
        clock: Clock,
        speed: float | None,
        endless: PingRule | None = None,
        stretches: Sequence[Stretch] = (),
        *,
        stop_error: str = STOPPED,
        started: float | None = None,
    ) -> None:
        self.timeline = timeline
        """What happens; a stop cuts it."""
        self._stop_error = stop_error
        self._clock = clock
        self._speed = speed
        self.pace = Pace(speed, stretches)
        self._endless = endless
        self._started = self.due = clock.ticks() if started is None else started
        """``due``: the clock's ticks at which the last event was due."""
        self._wait: Wait | None = None
        self.abandoned = False
        """Whether the server has given the run up."""

    @property
    def outcome(self) -> str:
        """The status at the end of the run, or ``abandoned``, or ``unfinished`` without an end."""
        if self.abandoned:
            return "abandoned"
        for _, event in reversed(self.timeline):
            match event:
                case WorkflowFinished(status=status):
                    return status
                case WorkflowPaused():
                    return "paused"
                case RunError() | RunCrashed():
                    return "failed"
        return "unfinished"

    @property
    def ended_s(self) -> float:
        """The second of the timeline at which it ends."""
        return self.timeline[-1][0]

    @property
    def elapsed_s(self) -> float:
        """Where the run is now, in seconds of its timeline."""
        return self.pace.timeline_s(self._clock.ticks() - self._started, self.timeline[-1][0])

    def stop(self) -> None:
        """End the run as stopped at the host's next check; a run that ends before does so."""
        at_s = next_stop_s(self.elapsed_s, self._speed)
        if at_s < self.timeline[-1][0] or self._endless is not None:
            self.timeline = cut(self.timeline, at_s, self._stop_error)
            self._endless = None
            if self._wait is not None:
                self._wait.wake()

    def abandon(self) -> None:
        """Stop playing at once: the server is going down."""
        self.abandoned = True
        if self._wait is not None:
            self._wait.end()

    def passed(self) -> list[Event]:
        """The events that are due by now."""
        return [event for at_s, event in self.timeline if at_s <= self.elapsed_s]

    async def events(self, receive: Receive, emitted: int = 0) -> AsyncGenerator[list[Event]]:
        """The events after the first ``emitted`` ones as they fall due, those due together in one
        list, until the client leaves.
        """
        pings = 0
        while emitted < len(self.timeline) or self._endless is not None:
            if not await self._until(partial(self._due_s, emitted, pings), receive):
                return
            if emitted == len(self.timeline):
                yield [Ping()]
                pings += 1
                continue
            following = emitted + 1
            if self._speed is None:
                due = self.pace.clock_s(self.timeline[emitted][0])
                while (
                    following < len(self.timeline)
                    and self.pace.clock_s(self.timeline[following][0]) <= due
                ):
                    following += 1
            yield [event for _, event in self.timeline[emitted:following]]
            emitted = following

    async def end(self, receive: Receive) -> Event | None:
        """Wait for the end of the run and return its event; None when the client has left."""
        if not await self._until(partial(self._due_s, None), receive):
            return None
        return self.timeline[-1][1]

    async def reaches(self, at_s: float, receive: Receive) -> bool:
        """Wait until the run has gone on for ``at_s`` seconds; False when the client has left."""
        return await self._until(lambda: at_s, receive)

    def _due_s(self, emitted: int | None, pings: int = 0) -> float:
        """When the event after ``emitted`` is due (None: the end), or a ping after the timeline."""
        if emitted is None and self._endless is None:
            return self.timeline[-1][0]
        if emitted is not None and emitted < len(self.timeline):
            return self.timeline[emitted][0]
        if emitted is None or self._endless is None or self._speed is None:
            return math.inf
        first_s, every_s = self._endless.first_s, self._endless.every_s
        before = 0
        if math.isfinite(first_s):
            before = max(0, math.ceil((self.timeline[-1][0] - first_s) / every_s))
        return first_s + every_s * (before + pings)

    async def _until(self, due_s: Callable[[], float], receive: Receive) -> bool:
        """Wait for a second of the timeline, which may change; False when the client has left."""
        instant = self.pace.instant and self._endless is None
        if self.abandoned or instant or (self._speed is None and self.pace.clock_s(due_s()) <= 0):
            return not self.abandoned
        self._wait = self._wait or Wait(self._clock)
        if not await self._wait.until(lambda: self._started + self.pace.clock_s(due_s()), receive):
            self.abandoned = self._wait.over
            return False
        self.due = self._started + self.pace.clock_s(due_s())
        return True
