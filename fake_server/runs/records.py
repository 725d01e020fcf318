"""What the host keeps of its runs, for ``GET /v1/workflows/run/<id>`` and the logs, and who watches
them.

A record is written when a run begins and once more when it ends. Its inputs and outputs are JSON
texts, as in the host's database: the URLs in them are signed when the run ends, and not anew.
"""

from __future__ import annotations

import json
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from starlette.types import Receive

from fake_server.clock import Clock, Wait
from fake_server.runs.events import HumanInputFilled, WorkflowFinished, WorkflowPaused
from fake_server.runs.values import Values

RECORDS = 10_000
"""Beyond this the oldest records are dropped; their runs are then unknown."""

TEXT_BYTES = 1 << 26
"""The inputs and outputs of all records; beyond this the oldest records are dropped."""

WAITING_FRAMES = 2_048
"""A client that watches a run and reads too slowly loses the oldest frames, as on the host."""


class LiveRun(Protocol):
    """A run that is being played, or waits for human input."""

    def snapshot(self) -> Iterator[bytes]:
        """What has happened so far, as frames."""
        ...


@dataclass(slots=True)
class Feed:
    """The frames of a run as they are sent, each with the name of its event, for those who watch it
    beside the client that started it. Nothing is kept for later.
    """

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
    """A client that watches a feed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._wait = Wait(clock)
        self._due = 0.0
        self._frames: deque[tuple[str, bytes]] = deque(maxlen=WAITING_FRAMES)

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


@dataclass(slots=True)
class RunRecord:
    """One run. ``outputs`` is None until there are any; times are unix times. ``live`` is None
    once the run has ended.
    """

    run_id: str
    task_id: str
    app_id: str
    workflow_id: str
    user: str
    end_user_id: str
    started_at: float
    inputs: str
    logged_at: float | None = None
    status: str = "running"
    outputs: str | None = None
    error: str | None = None
    elapsed_s: float = 0.0
    total_tokens: int = 0
    total_steps: int = 0
    exceptions: int = 0
    finished_at: float | None = None
    live: LiveRun | None = None
    feed: Feed = field(default_factory=Feed)

    def end(self, event: WorkflowFinished, outputs: Any, ended_at: float) -> None:
        """Write how the run ended; ``outputs`` are its event's, as JSON values."""
        self.status = event.status
        self.outputs = json.dumps(outputs) if outputs else None
        self.error = event.error
        self.elapsed_s = event.elapsed_s
        self.total_tokens = event.total_tokens
        self.total_steps = event.total_steps
        self.exceptions = event.exceptions
        self.finished_at = ended_at

    def pause(self, event: WorkflowPaused) -> None:
        """Write that the run waits for human input."""
        self.status = "paused"
        self.total_tokens = event.total_tokens
        self.total_steps = event.total_steps


@dataclass(slots=True)
class HumanForm:
    """A form for which a run waits. ``fill`` makes the run go on."""

    app_id: str
    values: Values
    expires_at: float
    fill: Callable[[HumanInputFilled, Values], Awaitable[None]]
    submitted: bool = False


@dataclass(slots=True)
class RunRecords:
    """The records of one server, within bounds."""

    capacity: int = RECORDS
    text_bytes: int = TEXT_BYTES
    _records: OrderedDict[str, RunRecord] = field(default_factory=OrderedDict)
    _sizes: dict[str, int] = field(default_factory=dict)
    _size: int = 0

    def keep(self, record: RunRecord) -> None:
        """Add ``record``, or count its texts anew."""
        self._drop_size(record.run_id)
        self._records[record.run_id] = record
        size = len(record.inputs) + len(record.outputs or "")
        self._sizes[record.run_id] = size
        self._size += size
        while len(self._records) > self.capacity or self._size > self.text_bytes:
            self._drop_size(self._records.popitem(last=False)[0])

    def _drop_size(self, run_id: str) -> None:
        self._size -= self._sizes.pop(run_id, 0)

    def get(self, run_id: str) -> RunRecord | None:
        return self._records.get(run_id)

    def __iter__(self) -> Iterator[RunRecord]:
        return iter(self._records.values())

    def logged(self, app_id: str) -> Iterator[RunRecord]:
        """The runs of an app that are in its logs, the last first."""
        found = [one for one in self if one.app_id == app_id and one.logged_at]
        found.sort(key=lambda one: one.logged_at or 0.0)
        return reversed(found)

    def clear(self) -> None:
        self._records.clear()
        self._sizes.clear()
        self._size = 0
