"""Several workers that serve one port: the process that binds it starts them, has a new one for
each that dies, and ends them.

SIGHUP replaces them one by one: the new one listens before the old one, which ends what it has
begun, accepts no more. The settings are the same; the files that they name are read again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import NoReturn

RESTART_S = 0.5
"""A worker that dies within so long has a successor only so much later."""

_LOOK_S = 0.05

READY_S = 30.0
"""A worker that does not listen by then has failed."""

END_S = 8.0
"""What still runs so long after the end began is killed."""

Worker = Callable[[Callable[[], None]], None]
"""Serves in a process of its own, and calls its argument once it listens."""


class Workers:
    """``count`` processes that ``worker`` serves in; ``reload`` is called before each SIGHUP's
    restart, and says whether all is well. To be made and run where no other thread runs.
    """

    def __init__(self, count: int, worker: Worker, reload: Callable[[], bool]) -> None:
        self._count, self._worker, self._reload = count, worker, reload
        self._began: dict[int, float] = {}
        self._leaving: set[int] = set()
        """Workers that have been replaced, and end what they have begun."""
        self._signals: list[int] = []
        self._awake, self._wake = os.pipe()
        os.set_blocking(self._wake, False)

    def run(self, announce: Callable[[], None]) -> int:
        """Serve until a signal; ``announce`` is called once all listen. The exit code."""
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(one, lambda number, _: self._signals.append(number))
        for _ in range(self._count):
            if self._start() is None:
                return self._end(2)
        announce()
        while True:
            self._wait(None if len(self._began) >= self._count else RESTART_S)
            self._reap()
            taken, self._signals = self._signals, []
            if signal.SIGTERM in taken or signal.SIGINT in taken:
                return self._end(0)
            if signal.SIGHUP in taken:
                self._replace_all()
            elif len(self._began) < self._count:
                self._start()

    def _start(self) -> int | None:
        """Start a worker; its process id once it listens, None where it does not."""
        ready, begun = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(ready)
            self._serve(begun)
        os.close(begun)
        self._began[pid] = time.monotonic()
        listens = bool(select.select([ready], [], [], READY_S)[0] and os.read(ready, 1))
        os.close(ready)
        return pid if listens else None

    def _serve(self, begun: int) -> NoReturn:
        """In the worker."""
        signal.set_wakeup_fd(-1)
        for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(one, signal.SIG_DFL)
        code = 1
        try:
            self._worker(lambda: os.close(begun) if os.write(begun, b"1") else None)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(OSError, ValueError):
                    stream.flush()
            logging.shutdown()
            os._exit(code)

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                self._leaving.discard(ended[0])
                began = self._began.pop(ended[0], None)
                if began is not None:
                    code = os.waitstatus_to_exitcode(ended[1])
                    sys.stderr.write(f"Worker {ended[0]} ended ({code}); another begins.\n")
                    if time.monotonic() - began < RESTART_S:
                        time.sleep(RESTART_S)

    def _replace_all(self) -> None:
        if not self._reload():
            return
        for pid in list(self._began):
            if self._start() is None:
                sys.stderr.write("A new worker does not listen; the old ones go on.\n")
                return
            del self._began[pid]
            self._leaving.add(pid)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGHUP)

    def _end(self, code: int) -> int:
        left = {*self._began, *self._leaving}
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        until = time.monotonic() + END_S
        while left:
            try:
                ended = os.waitpid(-1, os.WNOHANG)[0]
            except ChildProcessError:
                break
            left.discard(ended)
            if not ended:
                self._wait(_LOOK_S)
            if time.monotonic() > until:
                for pid in left:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
        return code

    def _wait(self, timeout_s: float | None) -> None:
        """Wait for a signal."""
        if self._signals:
            return
        select.select([self._awake], [], [], timeout_s)
        with contextlib.suppress(BlockingIOError):
            os.set_blocking(self._awake, False)
            os.read(self._awake, 4096)
