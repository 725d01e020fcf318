"""Waiting for a time of the clock, and for the client meanwhile: the one place that waits.

A wait ends with its time, with the client, or with ``wake``, as when the clock is moved. It takes
no task, and since each wait is for an absolute time, no delay adds up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.types import Receive

from fake_server.clock import Clock


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
        self._clock.on_move(self, self.wake)
        try:
            while not self.over:
                delay_s = due() - self._clock.ticks()
                if delay_s <= 0:
                    return True
                if await self._client_left_within(None if self._clock.frozen else delay_s, receive):
                    return False
            return False
        finally:
            self._clock.forget(self)

    def end(self) -> None:
        """Wait no more, now and in future. From any thread."""
        self.over = True
        self.wake()

    def wake(self) -> None:
        """Check again what the wait is for. From any thread: a test may move the clock."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._end_wait)

    async def _client_left_within(self, delay_s: float | None, receive: Receive) -> bool:
        finite = delay_s if delay_s is None or delay_s < _FOR_EVER_S else None
        try:
            async with asyncio.timeout(finite) as self._waiting:
                message = await receive()
                return bool(message["type"] == "http.disconnect")
        except TimeoutError:
            return False
        finally:
            self._waiting = None

    def _end_wait(self) -> None:
        if self._waiting is not None and not self._waiting.expired():
            self._waiting.reschedule(asyncio.get_running_loop().time())


def end_waits(clock: Clock) -> None:
    """End all waits for ``clock``."""
    for waiter in clock.waiters():
        if isinstance(waiter, Wait):
            waiter.end()


_FOR_EVER_S = 10 * 365 * 86400.0
"""No event loop needs a timer for a time beyond this."""
