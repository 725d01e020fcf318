"""Runs of versions that keep a record of each, and go on without their clients: what is written
down of a run, who watches it, and how it goes on once a form is filled in.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from functools import partial

from fake_server.endpoints.running import Run, start
from fake_server.runs.events import (
    Event,
    HumanInputFilled,
    Ping,
    Values,
    WorkflowFinished,
    WorkflowPaused,
)
from fake_server.runs.frames import event_name, of_version
from fake_server.runs.records import HumanForm, RunRecord
from fake_server.runs.render import EXPIRES_S
from fake_server.runs.snapshot import Part, snapshot
from fake_server.runs.text_chunks import stream_after


def recorded(run: Run) -> RecordedRun:
    """``run`` with a record, from its beginning."""
    facts, rules = run.renderer.facts, run.request.spec.records
    record = RunRecord(
        facts.workflow_run_id,
        facts.task_id,
        run.plan.app.app_id,
        facts.workflow_id,
        facts.user,
        facts.end_user_id,
        facts.started_at,
        json.dumps(run.renderer.files.value(run.plan.inputs)),
        logged_at=facts.started_at if rules.logged_at_start else None,
    )
    run.request.host.store.records.keep(record)
    return _with(run, record)


def _with(run: Run, record: RunRecord, before: RecordedRun | None = None) -> RecordedRun:
    parts = (run.plan, run.request, run.task, run.renderer, run.drawing)
    return RecordedRun(*parts, record=record, before=before)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRun(Run):
    """A run with its ``record``; it has gone on after a pause of the one ``before``, if any."""

    record: RunRecord
    before: RecordedRun | None = None

    def playing(self) -> AbstractContextManager[None]:
        self.record.live = self
        return Run.playing(self)

    async def _ended(self) -> Event | None:
        with ExitStack() as while_played:
            while_played.enter_context(self.playing())
            end = await self.task.playback.end(self.request.receive)
            if end is None:
                self._go_on_alone(while_played, 0)
                return None
            if self.drawing is not None:
                await self.drawing.done()
            if isinstance(end, WorkflowFinished | WorkflowPaused):
                self._write(end)
            return end

    def _left(self, while_played: ExitStack, emitted: int) -> None:
        if self.request.spec.records.left_stream == "finishes":
            self._go_on_alone(while_played, emitted)

    def _go_on_alone(self, while_played: ExitStack, emitted: int) -> None:
        """Go on without the client, where the run has not ended."""
        endless = self.task.playback.abandoned or self.plan.effects.endless
        if self.record.live is self and not endless:
            self.play_on(while_played.pop_all(), emitted)

    async def rendered(self, events: Sequence[Event]) -> list[bytes]:
        """What the events say is written down and shown to whoever watches."""
        frames = await Run.rendered(self, events)
        for event, frame in zip(events, frames, strict=True):
            if not isinstance(event, Ping):
                self.record.feed.publish(event_name(event), frame)
            if isinstance(event, WorkflowFinished | WorkflowPaused):
                self._write(event)
        return frames

    def _write(self, event: WorkflowFinished | WorkflowPaused) -> None:
        """Write the end of the run, or its pause, into its record."""
        record, spec = self.record, self.request.spec
        if isinstance(event, WorkflowPaused):
            record.pause(event)
            self._open_forms(event)
        else:
            record.live = None
            if event.status != "stopped" or spec.records.after_stop == "stopped":
                outputs = self.renderer.files.value(event.outputs)
                digits = spec.run.elapsed_digits
                elapsed_s = event.elapsed_s if digits is None else round(event.elapsed_s, digits)
                ended_at = self.renderer.facts.started_at + elapsed_s
                record.end(replace(event, elapsed_s=elapsed_s), outputs, ended_at)
        if record.logged_at is None:
            record.logged_at = self.request.host.clock.now()
        self.request.host.store.records.keep(record)

    def _open_forms(self, paused: WorkflowPaused) -> None:
        """Keep the forms that the run waits for."""
        for form in paused.reasons:
            self.request.host.store.forms[form["form_token"]] = HumanForm(
                self.plan.app.app_id,
                form,
                self.renderer.facts.started_at + form[EXPIRES_S],
                partial(self._go_on, paused),
            )

    async def _go_on(self, paused: WorkflowPaused, filled: HumanInputFilled, sent: Values) -> None:
        """Play what follows the form that is filled in, in the background."""
        earlier = [event for _, events in self.parts() for event in events]
        workflow, spec = self.plan.request.workflow, self.request.spec
        rest = stream_after(earlier, paused.resume(filled, sent), workflow, spec)
        plan = replace(self.plan, timeline=of_version(rest, spec), stretches=())
        run = _with(start(plan, self.request), self.record, before=self)
        self.record.status = "running"
        run.play_on()

    def parts(self) -> list[Part]:
        """What the run has done so far, before and after each pause."""
        earlier = self.before.parts() if self.before else []
        return [*earlier, (self.renderer, self.task.playback.passed())]

    def snapshot(self) -> Iterator[bytes]:
        return snapshot(self.record, self.parts(), self.plan.request.workflow, self.request.spec)
