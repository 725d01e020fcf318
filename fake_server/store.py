"""Everything that outlives a request: pictures, uploads, running tasks, counters. All of it bounded."""

from __future__ import annotations

import contextlib
from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from fake_server.images import Picture
from fake_server.playback import Playback

K = TypeVar("K")
V = TypeVar("V")

_PICTURES = 20_000
_UPLOADS = 10_000
_RENDERED = 64


class Bounded(Generic[K, V]):
    """A mapping that forgets its oldest entry when it is full."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[K, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, key: K, value: V) -> None:
        self._entries[key] = value
        if len(self._entries) > self._capacity:
            self._entries.popitem(last=False)

    def get(self, key: K) -> V | None:
        return self._entries.get(key)


@dataclass(frozen=True, slots=True)
class RunningTask:
    """A run that can be stopped: only by the app and the user that started it (FACTS 7)."""

    app_id: str
    user: str
    playback: Playback


@dataclass(frozen=True, slots=True)
class Upload:
    """An uploaded file, without its content: nothing of the API ever gives it back."""

    file_id: str
    app_id: str
    end_user_id: str
    name: str
    extension: str
    mime_type: str


class Store:
    """The state of one server, in memory."""

    def __init__(self) -> None:
        self.pictures: Bounded[str, Picture] = Bounded(_PICTURES)
        self.rendered: Bounded[str, bytes] = Bounded(_RENDERED)
        self.uploads: Bounded[str, Upload] = Bounded(_UPLOADS)
        self._tasks: dict[str, RunningTask] = {}
        self._ending = False
        self._runs: Counter[str] = Counter()

    def task(self, task_id: str) -> RunningTask | None:
        """The run that can be stopped by that id."""
        return self._tasks.get(task_id)

    @contextlib.contextmanager
    def running(self, task_id: str, task: RunningTask) -> Iterator[None]:
        """Keep ``task`` known while it is being played."""
        self._tasks[task_id] = task
        if self._ending:
            task.playback.abandon()
        try:
            yield
        finally:
            del self._tasks[task_id]

    def end_tasks(self) -> None:
        """Stop playing every task, and from now on any that begins."""
        self._ending = True
        for task in list(self._tasks.values()):
            task.playback.abandon()

    def next_sequence_number(self, app_id: str) -> int:
        """Runs of an app count from 1 (FACTS 5.5)."""
        self._runs[app_id] += 1
        return self._runs[app_id]
