"""The one clock of a server: what time it is, and waiting for a later one.

Everything that needs the time takes a ``Clock``. It runs with the machine's clocks, or is frozen
until it is moved. Waiting uses its monotonic side, so that a correction of the machine's wall clock
changes no stream.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from starlette.types import Receive

Timestamp = float | str | datetime
"""Unix seconds, ISO 8601, or a ``datetime``; UTC unless it has an offset."""

LATEST = 253_370_764_799.0
"""The latest time that a clock can be set to, the end of the year 9998.

Dates end with the year 9999, and a clock runs on: the Date header and the end of a run are later.
"""


EARLY_S = 0.0006
"""What is due in so short a time is due: an event loop's timers call to the nearest millisecond."""


def unix_seconds(at: Timestamp) -> float:
    """The unix seconds of a time such as ``2024-05-01T12:00:00Z``.

    Raises ``ValueError`` where it is invalid, before 1970 or after ``LATEST``.
    """
    try:
        time = datetime.fromisoformat(at.strip()) if isinstance(at, str) else at
        if isinstance(time, datetime):
            time = (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
        seconds = float(time)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            f"{at!r} is not a valid time ({error}); write it as 2024-05-01T12:00:00Z"
        ) from None
    if not 0 <= seconds <= LATEST:
        raise ValueError(
            f"{at!r} is not in the years 1970 to 9998; write it as 2024-05-01T12:00:00Z"
        )
    return seconds


def loop_time(delay_s: float) -> float:
    """The time at which an event loop has to call after so many seconds, by its own clock.

    Its ``call_later`` may be a millisecond too early: those seconds begin when the loop last looked
    at the time, which it counts in milliseconds. A loop may also have a time of its own.
    """
    seen_by_loop, now = asyncio.get_running_loop().time(), time.monotonic()
    return (now if abs(now - seen_by_loop) < 1 else seen_by_loop) + delay_s


def iso(at: float) -> str:
    """Unix seconds as ISO 8601, in UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat()


class Clock:
    """Wall time in unix seconds and a monotonic time in seconds, which can be frozen, set and moved
    together.

    ``starts_at`` (unix seconds) makes one that begins frozen at that time. Every time that a clock
    is set to lies between 1970 and ``LATEST``: ``ValueError`` for any other, before anything has
    changed.
    """

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
        starts_at: float | None = None,
    ) -> None:
        self._wall = wall
        self._ticks = ticks
        self._starts_at = starts_at
        self._wall_shift_s = self._ticks_shift_s = 0.0
        self._frozen: tuple[float, float] | None = None
        self._waits: set[Waiter] = set()
        self._followers: list[Callable[[], None]] = []
        self.moves = 0
        """How often it was frozen, set, moved, resumed or reset."""
        self.on_wait: Callable[[], None] | None = None
        """Called whenever somebody begins to wait for this clock."""
        self.now: Callable[[], float] = wall
        """Unix seconds."""
        self.ticks: Callable[[], float] = ticks
        """Seconds since some fixed time; never goes back."""
        if starts_at is not None:
            self.freeze(starts_at)

    @property
    def frozen(self) -> bool:
        return self._frozen is not None

    @property
    def shift_s(self) -> float:
        """How far it is ahead of the machine's time; 0 where it runs with that."""
        return self.now() - self._wall() if self._frozen else self._wall_shift_s

    def machine_time(self) -> float:
        """The machine's time, in unix seconds."""
        return self._wall()

    @property
    def waiting(self) -> int:
        """How many wait for this clock now."""
        return len(self._waits)

    def freeze(self, at: float | None = None) -> None:
        """Stand still, at ``at`` (unix seconds) or now."""
        self._frozen = (self.now() if at is None else _checked(at), self.ticks())
        self._moved()

    def set(self, at: float) -> None:
        """Set the wall clock to ``at`` (unix seconds), which releases no wait."""
        at = _checked(at)
        if self._frozen:
            self._frozen = (at, self._frozen[1])
        else:
            self._wall_shift_s = at - self._wall()
        self._moved()

    def advance(self, seconds: float) -> None:
        """Move on by ``seconds``, which releases waits. Raises ``ValueError`` if negative."""
        if seconds < 0:
            raise ValueError(f"a clock advances by 0 seconds or more, not by {seconds}")
        _checked(self.now() + seconds)
        if self._frozen:
            self._frozen = (self._frozen[0] + seconds, self._frozen[1] + seconds)
        else:
            self._wall_shift_s += seconds
            self._ticks_shift_s += seconds
        self._moved()

    def resume(self) -> None:
        """Run on from where it stands."""
        if self._frozen:
            wall, ticks = self._frozen
            self._frozen = None
            self._wall_shift_s = wall - self._wall()
            self._ticks_shift_s = ticks - self._ticks()
            self._moved()

    def reset(self) -> None:
        """Show the machine's time, or the time at which it was frozen at the start."""
        self._ticks_shift_s = self.ticks() - self._ticks()  # which never goes back
        self._wall_shift_s = 0.0
        self._frozen = None if self._starts_at is None else (self._starts_at, self.ticks())
        self._moved()

    def add_wait(self, wait: Waiter) -> None:
        """Count ``wait`` as waiting, and wake it when the clock is moved, until ``remove_wait``."""
        self._waits.add(wait)
        if self.on_wait is not None:
            self.on_wait()

    def remove_wait(self, wait: Waiter) -> None:
        self._waits.discard(wait)

    def end_waits(self) -> None:
        """End all waits for this clock."""
        for wait in list(self._waits):
            wait.end()

    def follow(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` whenever the clock is moved by hand, without counting as waiting."""
        self._followers.append(callback)

    def _moved(self) -> None:
        self.moves += 1
        if self._frozen:
            wall, ticks = self._frozen
            self.now, self.ticks = lambda: wall, lambda: ticks
        else:
            self.now = lambda: self._wall() + self._wall_shift_s
            self.ticks = lambda: self._ticks() + self._ticks_shift_s
        for callback in [*self._followers, *(wait.wake for wait in list(self._waits))]:
            callback()


def _checked(at: float) -> float:
    if not 0 <= at <= LATEST:  # also of NaN
        raise ValueError(f"the years of a clock are 1970 to 9998, not {at} unix seconds")
    return at


class Waiter(Protocol):
    """What waits for a clock."""

    def wake(self) -> None:
        """The clock has been moved."""
        ...

    def end(self) -> None:
        """There is nothing more to wait for."""
        ...


class Wait:
    """One waiter on ``clock``; ``over`` once it is to wait no more."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: asyncio.Timeout | None = None
        self.over = False

    async def until(self, due: Callable[[], float], receive: Receive) -> bool:
        """Wait until the clock's ticks reach ``due``, which is called again after each wake-up.

        False where the client left, or the wait was over before.
        """
        self._loop = asyncio.get_running_loop()
        self._clock.add_wait(self)
        try:
            while not self.over:
                delay_s = due() - self._clock.ticks()
                frozen = self._clock.frozen
                if delay_s <= (0 if frozen else EARLY_S):
                    return True
                if await self._client_left_within(None if frozen else delay_s, receive):
                    return False
            return False
        finally:
            self._clock.remove_wait(self)

    def end(self) -> None:
        """Wait no more, now and in future. From any thread."""
        self.over = True
        self.wake()

    def wake(self) -> None:
        """Check again what the wait is for. From any thread: a test may move the clock."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._end_wait)

    async def _client_left_within(self, delay_s: float | None, receive: Receive) -> bool:
        until = loop_time(delay_s) if delay_s is not None and delay_s < _FOR_EVER_S else None
        try:
            async with asyncio.timeout_at(until) as self._waiting:
                message = await receive()
                return bool(message["type"] == "http.disconnect")
        except TimeoutError:
            return False
        finally:
            self._waiting = None

    def _end_wait(self) -> None:
        if self._waiting is not None and not self._waiting.expired():
            self._waiting.reschedule(asyncio.get_running_loop().time())


_FOR_EVER_S = 10 * 365 * 86400.0
"""No event loop needs a timer for a time beyond this."""
