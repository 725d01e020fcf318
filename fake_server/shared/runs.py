"""The recent runs of all replicas: each goes along with the journal's entry of its request."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from fake_server.runs.recent import About, Planned, RecentRun, RecentRuns

if TYPE_CHECKING:
    from fake_server.host_state import HostState
    from fake_server.journal.entry import Entry


class SharedRuns(RecentRuns):
    """The runs of this replica and of the others, by the numbers of their requests."""

    host: HostState

    def __init__(self) -> None:
        super().__init__()
        self._of_others: dict[str, OthersRun] = {}

    def add(self, run: RecentRun) -> None:
        super().add(run)
        if run.entry is not None:
            run.entry.packed_run = partial(_packed, run, self.host)

    def forget(self, run: RecentRun) -> None:
        super().forget(run)
        self._of_others.pop(run.task_id, None)

    def receive(self, entry: Entry, packed: tuple[Any, ...]) -> None:
        """Keep a run of another replica, or how it has gone on."""
        task_id, outcome, reached_s, scenarios, drawn, shown = packed
        run = self._of_others.get(task_id)
        if run is None:
            run = self._of_others[task_id] = OthersRun(entry, task_id, self.host)
            super().add(run)
        run.outcome, run.reached_s, run.scenarios = outcome, reached_s, scenarios
        run.packed = drawn
        run.shown = None if shown is None else json.loads(shown)

    def newest(self) -> list[RecentRun]:
        for run in self._runs:
            run.number = run.request_id
            self.last_number = max(self.last_number, run.number)
        return sorted(self._runs, key=lambda run: run.number, reverse=True)

    def clear(self) -> None:
        super().clear()
        self._of_others.clear()


def _packed(run: RecentRun, host: HostState) -> tuple[Any, ...]:
    """``run`` as values of ``marshal``'s types: what it drew, where that says all of it, else what
    is shown of it.
    """
    from fake_server.runs.shown import Seen

    state = run.task_id, run.outcome, run.reached_s, run.scenarios
    values = run.drawn()
    if values is not None and run.timeline is None:
        app, streaming, user, inputs, began_at = run.about()
        drawn = (app.app_id, streaming, user, dict(inputs), began_at, values)
        return (*state, drawn, None)
    return (*state, None, json.dumps(Seen.of(run, host).to_json(), default=str))


class OthersRun(RecentRun):
    """A run of another replica."""

    task_id = ""
    packed: tuple[Any, ...] | None = None
    """What it is, and what it drew."""

    def __init__(self, entry: Entry, task_id: str, host: HostState) -> None:
        super().__init__(entry)
        self.task_id, self._host = task_id, host

    def about(self) -> About:
        if self.packed is not None:
            app_id, streaming, user, inputs, began_at, _ = self.packed
            app = next(one for one in self._host.apps.values() if one.app_id == app_id)
            return About(app, streaming, user, inputs, began_at)
        shown: Mapping[str, Any] = self.shown or {}
        app = next(one for one in self._host.apps.values() if one.name == shown["app"])
        streaming = shown["mode"] == "streaming"
        return About(app, streaming, shown["user"], shown["inputs"], shown["started_at"])

    def plan(self) -> Planned:
        from fake_server.compiled.ordinary import planned

        assert self.packed is not None
        return planned(self.about(), self.packed[-1], self._host.spec)
