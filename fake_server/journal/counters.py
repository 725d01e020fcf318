"""What is counted while requests are served, as plain numbers: the metrics are made of them when
somebody asks.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable

from fake_server.journal import Entry


class Counters:
    """Counts since the server began; a reset does not turn them back, as nobody expects of a
    counter.
    """

    def __init__(self) -> None:
        self.requests: defaultdict[tuple[str, int], int] = defaultdict(int)
        """By operation ("" where none was found) and status."""
        self.seconds: defaultdict[str, float] = defaultdict(float)
        """Of real time, by operation."""
        self.scenarios: Counter[str] = Counter()
        """Requests that a scenario befell, by its name."""
        self.log_lines_lost: Callable[[], int] = int
        """How many lines of the log nobody has read in time."""
        self.began = time.monotonic()
        self.running = 0
        self.streams_open = 0

    def begins(self) -> None:
        """A request has come."""
        self.running += 1

    @property
    def uptime_s(self) -> float:
        """Real seconds since the server was made."""
        return time.monotonic() - self.began

    def answers(self, entry: Entry) -> None:
        """The answer of ``entry`` begins."""
        self.streams_open += entry.is_stream

    def ends(self, entry: Entry) -> None:
        """The exchange is over."""
        self.running -= 1
        self.streams_open -= entry.is_stream
        operation = entry.operation or ""
        self.requests[operation, entry.shown_status] += 1
        assert entry.ended is not None
        self.seconds[operation] += entry.ended - entry.began
        if entry.scenarios:
            self.scenarios.update(entry.scenarios)
