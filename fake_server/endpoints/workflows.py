"""Running the workflow, and stopping a run.

Later versions keep a record of each run, and go on without its client: ``RecordedRun`` writes the
record, sends events to those who watch the run, and goes on once a form is filled in.
"""

from __future__ import annotations

import json
import math
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import ExitStack, aclosing
from dataclasses import dataclass
from functools import partial

from starlette.types import ASGIApp

from dify_wire.app_kind import AppKind
from fake_server.clock import Wait
from fake_server.endpoints.running import Run, prepare, start
from fake_server.host_spec import HostError
from fake_server.host_state import HostState
from fake_server.http.known import KnownRequest
from fake_server.http.nginx import APP_CRASHED
from fake_server.http.request import Request, endpoint, json_object
from fake_server.http.responses import Response
from fake_server.runs.events import (
    Event,
    HumanInputFilled,
    Ping,
    RunError,
    Timeline,
    WorkflowFinished,
    WorkflowPaused,
)
from fake_server.runs.file_sources import FileSources
from fake_server.runs.frames import event_name, of_version
from fake_server.runs.playback import Playback
from fake_server.runs.records import HumanForm, RunRecord
from fake_server.runs.render import EXPIRES_S
from fake_server.runs.request import AcceptedBody, RunRequest, accepted_body, run_request
from fake_server.runs.snapshot import Part, snapshot
from fake_server.runs.text_chunks import stream_after
from fake_server.runs.values import Values
from fake_server.scenarios.effects import NO_EFFECTS, Effects
from fake_server.store import RunningTask
from fake_server.workflow.model import App

EVENT_STREAM = (b"Content-Type", b"text/event-stream; charset=utf-8")

_UNCHECKED = "file_remote_unchecked"
"""The error of a file that the host has tried to reach for some time."""


@endpoint("runWorkflow")
@endpoint("runWorkflowById")
async def run_workflow(request: Request) -> ASGIApp:
    """``POST /v1/workflows/run``: one timeline, rendered as one response or as a stream; and
    ``POST /v1/workflows/{workflow_id}/run``: a run of that published version.
    """
    app, host, effects = request.app(), request.host, request.effects
    workflow_id, spec = request.parameters.get("workflow_id"), request.spec
    body, accepted = _checked(await request.json(), app, host, effects, workflow_id)
    if isinstance(accepted, HostError) and host.store.replica is not None:
        await host.store.settled()  # a file may have been uploaded elsewhere just now
        body, accepted = _checked(await request.json(), app, host, effects, workflow_id)
    if isinstance(accepted, HostError):
        return await _refused(request, body, accepted)
    if not accepted.workflow.complete and spec.graph.graph_errors["no_nodes"]["report"] == "page":
        if accepted.streaming:
            return APP_CRASHED
        raise spec.errors("graph_incomplete")
    for respond in effects.responses:
        response = respond(request)
        if response is not None:
            return response
    if accepted.streaming:  # loaded by the first stream, before its time begins to run
        from fake_server.http.event_stream import EventStream
    random = await host.random.of_occurrence(
        app.app_id, accepted.user, accepted.streaming, accepted.inputs
    )
    planned = prepare(app, accepted, effects, request.spec, random, now=host.clock.now())
    refused = isinstance(planned.timeline[-1][1], RunError)
    if refused and "error" not in spec.events:  # [C of 0.6.9: g_nonodes_stream]
        raise spec.errors("internal_server_error")
    run = start(planned, request)
    if "getWorkflowRun" in spec.paths and not refused:
        run = recorded(run)
    if effects.gateway:
        return await run.gateway_page(effects.gateway[0])
    if accepted.streaming:
        return EventStream(run.frames(), request.complete_headers(EVENT_STREAM))
    return await run.response()


def _checked(
    content: Values, app: App, host: HostState, effects: Effects, workflow_id: str | None
) -> tuple[AcceptedBody, RunRequest | HostError]:
    """The body ``content``, and the run that it asks for, or the error of its files or start
    variables. Raises ``HostError`` for what is checked before these.
    """
    body = accepted_body(content, app, host.store.running_of, host.spec, workflow_id)
    host.store.see_user(app.app_id, body.user, host.clock.now())
    sources = FileSources(
        host.store.uploads, host.store.images, body.workflow.remote_files, effects.remote_file
    )
    try:
        return body, run_request(body, sources, host.spec)
    except HostError as error:
        return body, error.with_traceback(None)  # which would hold whoever holds the error


async def _refused(request: Request, body: AcceptedBody, error: HostError) -> ASGIApp:
    """What a client gets whose files or start variables are refused, when it is due."""
    host, spec = request.host, request.spec
    if body.streaming and spec.request.silence_s:
        return await silent_stream(request, body)
    if error.name == _UNCHECKED:
        due = host.clock.ticks() + spec.input_files.unreachable_after_s / (
            host.settings.speed or math.inf
        )
        await Wait(host.clock).until(lambda: due, request.receive)
    return request.error_response(error)


def refusal(known: KnownRequest, body: bytes, host: HostState) -> HostError | None:
    """The error of a ``POST /v1/workflows/run`` that is refused at once; None for any other."""
    spec = host.spec
    try:
        app = known.authorised(host)
        content = json_object(body, known.content_type, spec.errors, spec.http.strict_json)
        read, accepted = _checked(content, app, host, NO_EFFECTS, None)
    except HostError as error:
        return error.with_traceback(None)
    except Exception:  # which the ordinary path meets again
        return None
    if not isinstance(accepted, HostError) or accepted.name == _UNCHECKED:
        return None
    return None if read.streaming and spec.request.silence_s else accepted


async def silent_stream(request: Request, body: AcceptedBody) -> ASGIApp:
    """The stream of a run that files or start variables forbid, on versions that find that out in
    the background: a ping, and then nothing until the host gives up [C: stream_prompt_missing].
    """
    from fake_server.http.event_stream import EventStream

    host = request.host
    timeline: Timeline = ((0.0, Ping()), (request.spec.request.silence_s, Ping()))
    playback = Playback(timeline, host.clock, host.settings.speed)
    task = RunningTask(body.app_id, body.user, playback, streaming=True)
    random = await host.random.of_occurrence(body.app_id, body.user, body.body.inputs)
    task_id = random.uuid()

    async def frames() -> AsyncGenerator[bytes]:
        with host.store.running(task_id, task):
            yield request.spec.ping.frame
            async with aclosing(playback.events(request.receive)) as due:
                async for _ in due:
                    pass

    return EventStream(frames(), request.complete_headers(EVENT_STREAM))


@endpoint("stopWorkflowTask")
async def stop_workflow_task(request: Request) -> Response:
    """``POST …/tasks/{task_id}/stop``: always a success, also where nothing is stopped."""
    app = request.app()
    user = await request.user()
    if app.kind is AppKind.CHAT:
        raise request.spec.errors("not_workflow_app")
    task_id, store = request.parameters["task_id"], request.host.store
    stopper = None if request.spec.run.stopped_by == "anyone" else (app.app_id, user)
    if store.replica is None or store.task(task_id) is not None:
        store.stop(task_id, stopper)
    else:
        await store.replica.everywhere("stop", task_id, stopper)
    return request.json_response({"result": "success"})


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
    parts = (run.plan, run.request, run.playback, run.task, run.renderer, run.drawing)
    return RecordedRun(*parts, record=record, before=before)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRun(Run):
    """A run with its ``record``; it has gone on after a pause of the one ``before``, if any."""

    record: RunRecord
    before: RecordedRun | None = None

    def __enter__(self) -> None:
        self.record.live = self
        Run.__enter__(self)

    async def _ended(self) -> Event | None:
        with ExitStack() as while_played:
            while_played.enter_context(self)
            end = await self.playback.end(self.request.receive)
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
        endless = self.playback.abandoned or self.plan.effects.endless
        if self.record.live is self and not endless:
            self.play_on(while_played.pop_all(), emitted)

    async def rendered(self, events: Sequence[Event]) -> list[bytes]:
        """Also writes what the events say into the record, and sends it to those who watch."""
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
                record.end(event._replace(elapsed_s=elapsed_s), outputs, ended_at)
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
        plan = self.plan._replace(timeline=of_version(rest, spec), stretches=())
        run = _with(start(plan, self.request, self.task.recent), self.record, before=self)
        self.record.status = "running"
        run.play_on()

    def parts(self) -> list[Part]:
        """What the run has done so far, before and after each pause."""
        earlier = self.before.parts() if self.before else []
        return [*earlier, (self.renderer, self.playback.passed())]

    def snapshot(self) -> Iterator[bytes]:
        return snapshot(self.record, self.parts(), self.plan.request.workflow, self.request.spec)
