"""The runs of late, for those who look at the fake: what each does or did, and where it is. No
response of the host depends on them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from fake_server.journal.entry import Entry
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
    def task_id(self) -> str: ...

    @property
    def run_id(self) -> str: ...

    @property
    def timeline(self) -> Timeline: ...


class About(NamedTuple):
    """What a run is; ``began_at`` is unix time."""

    app: App
    streaming: bool
    user: str
    inputs: Mapping[str, Any]
    began_at: float


class RecentRun:
    """One run. Thousands are made a second: what most never have is a default of the class."""

    number = 0
    scenarios: tuple[str, ...] = ()
    outcome = ""
    """How it has ended, as ``Playback`` says; empty while it is being played."""
    reached_s: float | None = None
    """The second of the timeline at which it ended; None: the last."""
    timeline: Timeline | None = None
    """What happened in it; None: what the plan says."""
    earlier: Timeline = ()
    """What happened before a pause."""

    shown: Mapping[str, Any] | None = None
    """What another server has made of it, in JSON."""

    def __init__(self, entry: Entry) -> None:
        self._request_id = entry.number
        self.entry = None if entry.number else entry
        """Where the entry in the journal gets its number later."""
        self.size = _RUN_BYTES + entry.body_bytes

    @property
    def request_id(self) -> int:
        """The number of its request in the journal."""
        return self._request_id if self.entry is None else self.entry.number

    @property
    def task_id(self) -> str:
        raise NotImplementedError

    def goes_on_from(self, before: RecentRun) -> None:
        """Be the rest of the run ``before``, after a pause."""
        self._request_id, self.entry = before._request_id, before.entry
        ends_s = before.earlier[-1][0] if before.earlier else 0.0
        happened = before.timeline or before.plan().timeline
        self.earlier = (*before.earlier, *((ends_s + at_s, event) for at_s, event in happened))
        self.size += before.size

    def drawn(self) -> tuple[Any, ...] | None:
        """The values that it drew, in order, where its plan can be made of them."""
        return None

    def about(self) -> About:
        raise NotImplementedError

    def plan(self) -> Planned:
        """Its plan, which a run from a form does without: made anew then."""
        raise NotImplementedError


class PlannedRun(RecentRun):
    """A run that was planned before it began."""

    def __init__(self, about: About, plan: Planned, entry: Entry) -> None:
        super().__init__(entry)
        self.size += len(plan.timeline) * _EVENT_BYTES
        self.scenarios = entry.scenarios
        self._about, self._plan = about, plan

    @property
    def task_id(self) -> str:
        return self._plan.task_id

    def about(self) -> About:
        return self._about

    def plan(self) -> Planned:
        return self._plan


class RecentRuns:
    """The newest runs, within bounds."""

    def __init__(self, capacity: int = RUNS, size: int = BYTES) -> None:
        self._capacity, self._most_bytes = capacity, size
        self._runs: deque[RecentRun] = deque()
        self._size = 0
        self.last_number = 0
        """The number of the newest run; numbers count from 1 and are never given twice."""
        self.forgotten = 0
        """How many were forgotten for lack of room since the last ``clear``."""

    def add(self, run: RecentRun) -> None:
        """Keep ``run``."""
        runs = self._runs
        self.last_number = run.number = self.last_number + 1
        runs.append(run)
        self._size += run.size
        while len(runs) > self._capacity or self._size > self._most_bytes:
            self.forget(runs[0])
            self.forgotten += 1

    def go_on(self, run: RecentRun, before: RecentRun) -> None:
        """Keep ``run`` in place of the one ``before`` a pause."""
        run.goes_on_from(before)
        if before in self._runs:
            self.forget(before)
        self.add(run)

    def forget(self, run: RecentRun) -> None:
        """Keep ``run`` no longer."""
        self._runs.remove(run)
        self._size -= run.size

    def get(self, task_id: str) -> RecentRun | None:
        return next((run for run in self.newest() if run.task_id == task_id), None)

    def newest(self) -> list[RecentRun]:
        """All of them, the newest first."""
        return list(reversed(self._runs))

    def clear(self) -> None:
        self._runs.clear()
        self._size = self.forgotten = 0
