"""The one clock of a server: what time it is, and how long until it is later.

Everything that needs the time takes a ``Clock``. It runs with the machine's clocks, or stands still
until it is moved; waiting uses its monotonic side, so that a correction of the machine's wall clock
hurries no stream.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from fake_server.timestamps import LATEST


class Clock:
    """Wall time in unix seconds and a monotonic time in seconds, which can be frozen, set and moved
    together.

    ``starts_at`` (unix seconds) makes one that begins frozen at that moment. Every moment that a
    clock is moved to lies between 1970 and ``LATEST``: ``ValueError`` for any other, before
    anything has changed.
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
        self._wall_shift_s = 0.0
        self._ticks_shift_s = 0.0
        self._frozen: tuple[float, float] | None = None
        self._on_move: dict[object, Callable[[], None]] = {}
        self._followers: list[Callable[[], None]] = []
        self.on_wait: Callable[[], None] | None = None
        """Called whenever somebody begins to wait for this clock."""
        self.reset()

    @property
    def frozen(self) -> bool:
        return self._frozen is not None

    @property
    def waiting(self) -> int:
        """How many wait for this clock now."""
        return len(self._on_move)

    def waiters(self) -> list[object]:
        """Who waits for this clock now."""
        return list(self._on_move)

    def now(self) -> float:
        """Unix seconds."""
        return self._frozen[0] if self._frozen else self._wall() + self._wall_shift_s

    def ticks(self) -> float:
        """Seconds since some fixed moment; never goes back."""
        return self._frozen[1] if self._frozen else self._ticks() + self._ticks_shift_s

    def freeze(self, at: float | None = None) -> None:
        """Stand still, at ``at`` (unix seconds) or at this moment."""
        self._frozen = (self.now() if at is None else _checked(at), self.ticks())
        self._moved()

    def set(self, at: float) -> None:
        """Let the wall clock show ``at`` (unix seconds); what waits is not released by it."""
        at = _checked(at)
        if self._frozen:
            self._frozen = (at, self._frozen[1])
        else:
            self._wall_shift_s = at - self._wall()
        self._moved()

    def advance(self, seconds: float) -> None:
        """Move on by ``seconds``, which releases whatever waited for that time. Raises
        ``ValueError`` if negative.
        """
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
        """Show what it showed when it was made: the machine's time, or the moment at which it began
        frozen.
        """
        self._ticks_shift_s = self.ticks() - self._ticks()  # which never goes back
        self._wall_shift_s = 0.0
        self._frozen = None if self._starts_at is None else (self._starts_at, self.ticks())
        self._moved()

    def on_move(self, waiter: object, callback: Callable[[], None]) -> None:
        """Call ``callback`` whenever the clock is moved by hand, until ``forget(waiter)``: it waits
        for this clock.
        """
        self._on_move[waiter] = callback
        if self.on_wait is not None:
            self.on_wait()

    def follow(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` whenever the clock is moved by hand, for good, without counting as
        waiting.
        """
        self._followers.append(callback)

    def forget(self, waiter: object) -> None:
        self._on_move.pop(waiter, None)

    def _moved(self) -> None:
        for callback in [*self._followers, *self._on_move.values()]:
            callback()


def _checked(at: float) -> float:
    if not 0 <= at <= LATEST:  # also of NaN
        raise ValueError(f"the years of a clock are 1970 to 9998, not {at} unix seconds")
    return at
