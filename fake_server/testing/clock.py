"""The host's clock in the hands of a test."""

from __future__ import annotations

import threading
from datetime import timedelta

from fake_server.clock import Clock
from fake_server.timestamps import Moment, iso, unix_seconds


class FakeClock:
    """Freezes and moves the clock of a host: URLs expire by it, and runs at a finite speed wait for
    it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def __repr__(self) -> str:
        how = "frozen" if self.frozen else "running"
        return f"<FakeClock {how} at {iso(self.now())}>"

    @property
    def frozen(self) -> bool:
        return self._clock.frozen

    def now(self) -> float:
        """What it shows, in unix seconds."""
        return self._clock.now()

    def freeze(self, at: Moment | None = None) -> None:
        """Let it stand still, at ``at`` or where it is."""
        self._clock.freeze(None if at is None else unix_seconds(at))

    def set(self, at: Moment) -> None:
        """Let it show ``at``; runs that wait are not released by it."""
        self._clock.set(unix_seconds(at))

    def advance(self, seconds: float | timedelta) -> None:
        """Move on by ``seconds`` and release what waits for that time.

        Raises ``ValueError`` if negative or too far, ``TypeError`` for what is neither a number nor
        a ``timedelta``.
        """
        if isinstance(seconds, timedelta):
            seconds = seconds.total_seconds()
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise TypeError(
                f"advance takes seconds as a number or a timedelta, not {seconds!r}; 5 minutes are 300"
            )
        try:
            self._clock.advance(seconds)
        except OverflowError:
            raise ValueError(
                "a clock shows moments of the years 1970 to 9998; that is too far"
            ) from None

    def resume(self) -> None:
        """Let it run on from where it stands."""
        self._clock.resume()

    def wait_for_waiting(self, count: int = 1, timeout_s: float = 5.0) -> None:
        """Return once ``count`` answers wait for this clock, so that an ``advance`` reaches them
        all.

        ``timeout_s`` is real time; raises ``TimeoutError`` after it.
        """
        enough = threading.Event()

        def look() -> None:
            if self._clock.waiting >= count:
                enough.set()

        self._clock.on_wait = look
        try:
            look()
            if not enough.wait(timeout_s):
                found = self._clock.waiting
                raise TimeoutError(
                    f"{found} of {count} answers wait for the clock after {timeout_s:g} s; "
                    "a host that is instant never waits: give it a speed"
                )
        finally:
            self._clock.on_wait = None
