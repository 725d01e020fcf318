"""The runs of late, for those who look at the fake: what each does or did, and where it is. No
response of the host depends on them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from fake_server.runs.events import Timeline
    from fake_server.workflow.model import App

RUNS = 1_000
"""With more runs the oldest are forgotten."""

BYTES = 16 << 20
"""What the runs hold in all, roughly; beyond it the oldest are forgotten."""

_RUN_BYTES = 6 << 10
"""The size of a run without its inputs and events, roughly."""

_EVENT_BYTES = 600


class Planned(Protocol):
    """The plan of a run."""

    @property
    def run_id(self) -> str: ...

    @property
    def timeline(self) -> Timeline: ...


class RecentRun:
    """One run. ``plan`` makes its plan, which a run from a form does without; ``events`` are those
    that are kept. ``began_at`` is unix time.
    """

    __slots__ = (
        "app", "began_at", "earlier", "inputs", "number", "outcome", "plan", "reached_s",
        "request_id", "scenarios", "size", "streaming", "task_id", "timeline", "user",
    )  # fmt: skip

    def __init__(
        self,
        task_id: str,
        app: App,
        plan: Callable[[], Planned],
        *,
        streaming: bool,
        user: str,
        inputs: Mapping[str, Any],
        began_at: float,
        request_id: int,
        scenarios: tuple[str, ...] = (),
        body_bytes: int,
        events: int = 0,
        outcome: str = "",
    ) -> None:
        self.number = 0
        self.task_id, self.app, self.plan, self.streaming = task_id, app, plan, streaming
        self.user, self.inputs, self.began_at = user, inputs, began_at
        self.request_id, self.scenarios = request_id, scenarios
        self.size = _RUN_BYTES + events * _EVENT_BYTES + body_bytes
        self.outcome = outcome
        """How it has ended, as ``Playback`` says; empty while it is being played."""
        self.reached_s: float | None = None
        """The second of the timeline at which it ended; None: the last."""
        self.timeline: Timeline | None = None
        """What happened in it; None: what the plan says."""
        self.earlier: Timeline = ()
        """What happened before a pause."""


class RecentRuns:
    """Runs by their tasks, within bounds."""

    def __init__(self, capacity: int = RUNS, size: int = BYTES) -> None:
        self._capacity, self._most_bytes = capacity, size
        self._runs: OrderedDict[str, RecentRun] = OrderedDict()
        self._size = 0
        self.last_number = 0
        """The number of the newest run; numbers count from 1 and are never given twice."""
        self.forgotten = 0
        """How many were forgotten for lack of room since the last ``clear``."""

    def add(self, run: RecentRun) -> None:
        """Keep ``run``; the one of the same task, which was paused, goes on as ``run``."""
        runs, before = self._runs, self._runs.pop(run.task_id, None)
        self.last_number = run.number = self.last_number + 1
        if before is not None:
            self._size -= before.size
            run.began_at, run.request_id = before.began_at, before.request_id
            ends_s = before.earlier[-1][0] if before.earlier else 0.0
            happened = before.timeline or before.plan().timeline
            later = tuple((ends_s + at_s, event) for at_s, event in happened)
            run.earlier = (*before.earlier, *later)
            run.size += before.size
        runs[run.task_id] = run
        self._size += run.size
        while len(runs) > self._capacity or self._size > self._most_bytes:
            self._size -= runs.popitem(last=False)[1].size
            self.forgotten += 1

    def end(self, task_id: str, outcome: str, timeline: Timeline | None, reached_s: float) -> None:
        """Note how a run has ended."""
        run = self._runs.get(task_id)
        if run is not None:
            run.outcome, run.timeline, run.reached_s = outcome, timeline, reached_s

    def get(self, task_id: str) -> RecentRun | None:
        return self._runs.get(task_id)

    def newest(self) -> list[RecentRun]:
        """All of them, the newest first."""
        return list(reversed(self._runs.values()))

    def clear(self) -> None:
        self._runs.clear()
        self._size = self.forgotten = 0
