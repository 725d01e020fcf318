"""The frames of a run for those who watch it beside the client that started it."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from starlette.types import Receive

from fake_server.clock import Clock, Wait

_WAITING_FRAMES = 2_048
"""Of a watcher that reads too slowly the oldest frames are dropped, as by the host."""


@dataclass(slots=True)
class Feed:
    """Frames as they are sent, each with the name of its event. Nothing is kept for later."""

    _watchers: list[Watcher] = field(default_factory=list)

    def publish(self, event: str, frame: bytes) -> None:
        """Give ``frame`` to everybody who is watching."""
        for watcher in self._watchers:
            watcher.add(event, frame)

    def watch(self, clock: Clock) -> Watcher:
        """Watch from now on, until ``leave``."""
        watcher = Watcher(clock)
        self._watchers.append(watcher)
        return watcher

    def leave(self, watcher: Watcher) -> None:
        self._watchers.remove(watcher)


class Watcher:
    """One who watches a feed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._wait = Wait(clock)
        self._due = 0.0
        self._frames: deque[tuple[str, bytes]] = deque(maxlen=_WAITING_FRAMES)

    def add(self, event: str, frame: bytes) -> None:
        self._frames.append((event, frame))
        self._wait.wake()

    async def frames(
        self, every_s: float, idle_s: float, receive: Receive
    ) -> AsyncGenerator[tuple[str, bytes | None]]:
        """The event and frame of what is published; every ``every_s`` seconds without any, a ping
        without a frame. Ends when the client leaves, or after ``idle_s`` seconds of nothing.
        """
        last = pinged = self._clock.ticks()
        while True:
            self._due = min(pinged + every_s, last + idle_s)
            if not await self._wait.until(lambda: 0.0 if self._frames else self._due, receive):
                return
            if self._frames:
                last = pinged = self._clock.ticks()
                yield self._frames.popleft()
            elif self._clock.ticks() >= last + idle_s:
                return
            else:
                pinged = self._clock.ticks()
                yield "ping", None

    async def pause(self, seconds: float, receive: Receive) -> None:
        """Wait before the connection is closed."""
        due = self._clock.ticks() + seconds
        await self._wait.until(lambda: due, receive)
