"""An event loop that never waits: when nothing is left to do, its time jumps to whatever is due
next.

A server and its client in one such loop exchange real bytes over a real socket, and ten minutes of
a run are over as soon as they are computed, with every moment exact.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import Any


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """``time()`` begins at 0. What is given to another thread is done at once, and takes no
    time.
    """

    def __init__(self) -> None:
        self._now_s = 0.0
        super().__init__(_Hurried(self))

    def time(self) -> float:
        return self._now_s

    def pass_by(self, seconds: float) -> None:
        self._now_s += seconds

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Any, *args: Any
    ) -> asyncio.Future[Any]:
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:
            done.set_exception(error)
        return done


class _Hurried(selectors.SelectSelector):
    """On loopback whatever has been sent is there to be read at once: what is not ready now comes
    by time alone.
    """

    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            return super().select()
        self._loop.pass_by(timeout)
        return []
