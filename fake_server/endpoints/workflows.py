"""Running the workflow, with the files of its inputs, and stopping a run."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import ExitStack, aclosing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from starlette.types import ASGIApp, Message

from dify_wire.exchange import AppKind
from fake_server.clock import Wait
from fake_server.host_spec import HostError, HostSpec, PingRule, RecordRules
from fake_server.host_state import HostState
from fake_server.http import error_pages
from fake_server.http.nginx import APP_CRASHED
from fake_server.http.request import ClientLeftError, Request, endpoint
from fake_server.http.responses import Response, proxy_page
from fake_server.runs.engine import plan, with_pings
from fake_server.runs.event_data import EXPIRES_S, RunFacts, event_name
from fake_server.runs.events import (
    Event,
    FileRef,
    HumanInputFilled,
    NodeFinished,
    NodeStarted,
    Ping,
    RunCrashed,
    RunError,
    Timeline,
    Values,
    WorkflowFinished,
    WorkflowPaused,
    WorkflowStarted,
)
from fake_server.runs.file_objects import FileWriter
from fake_server.runs.file_sources import FileSources
from fake_server.runs.playback import Playback, Stretch
from fake_server.runs.random_values import TENANT_ID, RandomValues, end_user_id
from fake_server.runs.records import HumanForm, RunRecord
from fake_server.runs.render import Renderer, of_version
from fake_server.runs.request import AcceptedBody, RunRequest, accepted_body, run_request
from fake_server.runs.signing import FileSigner
from fake_server.runs.snapshot import Part, snapshot
from fake_server.runs.text_chunks import stream_after, with_text_chunks
from fake_server.scenarios.effects import NO_EFFECTS, Effects, Gateway, UrlChange
from fake_server.store import RunningTask, Store, StoredImage
from fake_server.workflow.model import App

EVENT_STREAM = (b"Content-Type", b"text/event-stream; charset=utf-8")
_WRITING_S = 1.0
_WITHOUT_FILES = (WorkflowStarted, NodeStarted, Ping)


@endpoint("runWorkflow")
async def run_workflow(request: Request) -> ASGIApp:
    """``POST /v1/workflows/run``: one timeline, rendered as one response or as a stream."""
    return await _run(request)


@endpoint("runWorkflowById")
async def run_workflow_by_id(request: Request) -> ASGIApp:
    """``POST /v1/workflows/{workflow_id}/run``: a run of that published version."""
    return await _run(request, request.parameters["workflow_id"])


async def _run(request: Request, workflow_id: str | None = None) -> ASGIApp:
    app, host, effects = request.app(), request.host, request.effects
    active, spec = host.store.running_of, request.spec
    body = accepted_body(await request.json(), app, active, spec, workflow_id)
    host.store.see_user(app.app_id, body.user, host.clock.now())
    sources = FileSources(
        host.store.uploads, host.store.images, body.workflow.remote_files, effects.remote_file
    )
    try:
        accepted = run_request(body, sources, request.spec)
    except HostError as error:
        if body.streaming and request.spec.request.silence_s:
            return silent_stream(request, body)
        if error.name == "file_remote_unchecked":
            due = host.clock.ticks() + request.spec.input_files.unreachable_after_s / (
                host.settings.speed or math.inf
            )
            await Wait(host.clock).until(lambda: due, request.receive)
        raise
    if not accepted.workflow.complete and spec.graph.graph_errors["no_nodes"]["report"] == "page":
        return APP_CRASHED
    for respond in effects.responses:
        response = respond(request)
        if response is not None:
            return response
    if accepted.streaming:  # loaded by the first stream, before its time begins to run
        from fake_server.http.event_stream import EventStream
    random = host.random.for_request(app.app_id, accepted.user, accepted.streaming, accepted.inputs)
    planned = prepare(app, accepted, effects, request.spec, random, now=host.clock.now())
    run = start(planned, request)
    if effects.gateway:
        return await run.gateway_page(effects.gateway[0])
    if accepted.streaming:
        return EventStream(run.frames(), request.complete_headers(EVENT_STREAM))
    return await run.response()


def silent_stream(request: Request, body: AcceptedBody) -> ASGIApp:
    """The stream of a run that files or start variables forbid, on versions that find that out in
    the background: a ping, and then nothing until the host gives up [C: stream_prompt_missing].
    """
    from fake_server.http.event_stream import EventStream

    host = request.host
    timeline: Timeline = ((0.0, Ping()), (request.spec.request.silence_s, Ping()))
    playback = Playback(timeline, host.clock, host.settings.speed)
    task = RunningTask(body.app_id, body.user, playback, streaming=True)
    task_id = host.random.for_request(body.app_id, body.user, body.body.inputs).uuid()

    async def frames() -> AsyncGenerator[bytes]:
        with host.store.running(task_id, task):
            yield request.spec.ping.frame
            async with aclosing(playback.events(request.receive)) as due:
                async for _ in due:
                    pass

    return EventStream(frames(), request.complete_headers(EVENT_STREAM))


@endpoint("stopWorkflowTask")
async def stop_workflow_task(request: Request) -> Response:
    """``POST …/tasks/{task_id}/stop``: always a success, whoever may stop the run."""
    app = request.app()
    user = await request.user()
    if app.kind is AppKind.CHAT:
        raise request.spec.errors("not_workflow_app")
    task = request.host.store.task(request.parameters["task_id"])
    anyone = request.spec.run.stopped_by == "anyone"
    if task is not None and (anyone or (task.app_id, task.user) == (app.app_id, user)):
        task.playback.stop()
    return request.json_response({"result": "success"})


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What a run will do, before any of it happens. ``inputs`` are the start variables and the
    system variables of the version.
    """

    app: App
    request: RunRequest
    inputs: Mapping[str, Any]
    effects: Effects
    random: RandomValues
    task_id: str
    run_id: str
    timeline: Timeline
    ping: PingRule
    stretches: Sequence[Stretch]

    @property
    def refused(self) -> bool:
        """Whether the host finds out before the run that it cannot be."""
        return any(isinstance(event, RunError) for _, event in self.timeline)


def prepare(
    app: App,
    request: RunRequest,
    effects: Effects,
    spec: HostSpec,
    random: RandomValues,
    *,
    now: float,
) -> RunPlan:
    """Plan the run of an accepted request: nothing here waits, reads a clock or is stored."""
    task_id, run_id = random.uuid(), random.uuid()
    system = {
        **request.inputs,
        "sys.user_id": request.user,
        "sys.app_id": app.app_id,
        "sys.timestamp": int(now),
        "sys.workflow_id": request.workflow.workflow_id,
        "sys.workflow_run_id": run_id,
    }
    inputs = {name: value for name, value in request.inputs.items() if name != "sys.files"}
    inputs |= {name: system.get(name) for name in spec.records.system_inputs}
    ping, workflow = spec.ping, request.workflow
    for change_ping in effects.ping:
        ping = change_ping(ping)
    for change_workflow in effects.workflow:
        workflow = change_workflow(workflow)
    timeline = plan(workflow, inputs, random, spec)
    for change_timeline in effects.timeline:
        timeline = change_timeline(timeline, spec)
    stretches: Sequence[Stretch] = ()
    if effects.real_waits:
        takes_s = {
            node.node_id: wait.seconds
            for wait in effects.real_waits
            for node in workflow.select(wait.node)
        }
        stretches = _stretches(takes_s, timeline)
    if request.streaming and not effects.gateway:
        timeline = of_version(with_text_chunks(timeline, workflow, spec), spec)
        timeline = with_pings(timeline, ping)
        for change_stream in effects.stream:
            timeline = change_stream(timeline)
    return RunPlan(
        app, request, inputs, effects, random, task_id, run_id, timeline, ping, stretches
    )


def start(plan: RunPlan, request: Request, before: Run | None = None) -> Run:
    """Begin the run of ``plan``, which ``request`` waits for; or go on with the one ``before``."""
    host, effects, spec = request.host, plan.effects, request.spec
    made, sizes, drawing = list(_tool_files(plan.timeline)), dict[str, int](), None
    for file in made:
        host.store.images[file.file_id] = StoredImage(file.record, effects.image_faults)
    if made and "size" in spec.fields["File"]:
        drawing = asyncio.create_task(_measure(made, host.store, sizes))
        host.store.keep_alive(drawing)
    speed = host.settings.speed
    endless = plan.ping if effects.endless else None
    playback = Playback(
        plan.timeline, host.clock, speed, endless, plan.stretches, stop_error=spec.run.stop_error
    )
    # Back-dated by what the speed will save, so that the run ends now when it ends.
    elapsed_s = plan.timeline[-1][0]
    started_at = host.clock.now() - max(elapsed_s - playback.pace.clock_s(elapsed_s), 0.0)
    host.store.sequence_numbers[plan.app.app_id] += 1
    facts = RunFacts(
        task_id=plan.task_id,
        workflow_run_id=plan.run_id,
        workflow_id=plan.request.workflow.workflow_id,
        sequence_number=host.store.sequence_numbers[plan.app.app_id],
        end_user_id=end_user_id(plan.app.app_id, plan.request.user),
        user=plan.request.user,
        started_at=started_at,
    )
    origin = request.origin if effects.url else ""
    urls = SignedUrls(host, plan.random, started_at + elapsed_s, effects.url, origin)
    files = FileWriter(TENANT_ID, spec.fields["File"], spec.files, urls, sizes)
    task = RunningTask(plan.app.app_id, plan.request.user, playback, plan.request.streaming)
    renderer = Renderer(facts, spec, files, plan.ping.frame, effects.payload)
    record = before.record if before else None
    if record is None and "getWorkflowRun" in spec.paths and not plan.refused:
        record = _new_record(plan, renderer, spec.records)
        host.store.records.keep(record)
    return Run(plan, request, task, renderer, record, before, drawing)


async def _measure(files: Sequence[FileRef], store: Store, sizes: dict[str, int]) -> None:
    """Draw images of the run for their sizes, which stand beside their URLs."""
    for file in files:
        sizes[file.file_id] = len(await store.png(file.file_id, file.record))


def _new_record(plan: RunPlan, renderer: Renderer, rules: RecordRules) -> RunRecord:
    facts, app_id = renderer.facts, plan.app.app_id
    return RunRecord(
        facts.workflow_run_id,
        facts.task_id,
        app_id,
        facts.workflow_id,
        facts.user,
        facts.end_user_id,
        facts.started_at,
        json.dumps(renderer.files.value(plan.inputs)),
        logged_at=facts.started_at if rules.logged_at_start else None,
    )


def _tool_files(timeline: Timeline) -> Iterator[FileRef]:
    """The files that the nodes of a run make."""
    pending: list[Any] = [event.outputs for _, event in timeline if isinstance(event, NodeFinished)]
    while pending:
        value = pending.pop()
        if isinstance(value, FileRef):
            yield value
        elif isinstance(value, Mapping):
            pending += value.values()
        elif isinstance(value, list):
            pending += value


@dataclass(frozen=True, slots=True)
class Run:
    """A run that has been started, or has gone on after a pause of the one ``before``. ``record``
    is None in versions that show none.
    """

    plan: RunPlan
    request: Request
    task: RunningTask
    renderer: Renderer
    record: RunRecord | None = None
    before: Run | None = None
    drawing: asyncio.Task[None] | None = None
    """Finds the sizes of the run's images, where the version shows them."""

    async def response(self) -> Response:
        """The blocking response, once the run has ended."""
        with self._playing() as while_played:
            end = await self.task.playback.end(self.request.receive)
            if end is None:
                self._leave(while_played, 0)
                return self._cut_short()
            await self._measured(end)
            self._write(end)
        self.request.due = self.task.playback.due
        match end:
            case WorkflowFinished() | WorkflowPaused():
                content_type = self.request.spec.http.run_type.encode()
                return self.request.response(200, content_type, self.renderer.blocking(end))
            case RunError(code, status, message):
                body = {"code": code, "message": message, "status": status}
                raise HostError("run_error", status, body)
        raise self.request.spec.errors("internal_server_error")

    async def frames(self) -> AsyncGenerator[bytes]:
        """The stream's chunks: a frame each, or all that need no waiting in one."""
        playback, last, emitted = self.task.playback, None, 0
        with self._playing() as while_played:
            async with aclosing(playback.events(self.request.receive)) as due:
                async for events in due:
                    self.request.due = playback.due
                    await self._measured(*events)
                    frames = self._rendered(events)
                    for chunk in frames if self.plan.effects.body_filters else (b"".join(frames),):
                        if chunk:
                            yield chunk
                    last = events[-1]
                    emitted += len(events)
            if self.request.spec.records.left_stream == "finishes":
                self._leave(while_played, emitted)
        if isinstance(last, RunCrashed):
            await self.request.break_off()
        elif last is not None and not playback.abandoned:
            await playback.reaches(self._closes_s(last), self.request.receive)

    @contextmanager
    def _playing(self) -> Iterator[ExitStack]:
        """Keep the run known while it is played, or for as long as the stack that is taken."""
        with ExitStack() as while_played:
            store = self.request.host.store
            while_played.enter_context(store.running(self.plan.task_id, self.task))
            if self.record is not None:
                self.record.live = self
            yield while_played

    def _leave(self, while_played: ExitStack, emitted: int) -> None:
        """Let the run go on without its client, where it has not ended and is recorded."""
        ended = self.record is None or self.record.live is not self
        if not ended and not self.task.playback.abandoned and not self.plan.effects.endless:
            self.play_on(while_played.pop_all(), emitted)

    def play_on(self, while_played: ExitStack | None = None, emitted: int = 0) -> None:
        """Play what follows the first ``emitted`` events in the background."""

        async def rest() -> None:
            with while_played or self._playing():
                async with aclosing(self.task.playback.events(_never_leaves, emitted)) as due:
                    async for events in due:
                        await self._measured(*events)
                        self._rendered(events)

        self.request.host.store.keep_alive(asyncio.create_task(rest()))

    async def _measured(self, *events: Event) -> None:
        """Wait for the sizes of files that may stand in ``events``."""
        if self.drawing is not None and not all(isinstance(one, _WITHOUT_FILES) for one in events):
            await asyncio.shield(self.drawing)

    def _rendered(self, events: Sequence[Event]) -> list[bytes]:
        """The frames of ``events``, which are due; what they say is written down."""
        frames = []
        for event in events:
            frames.append(frame := self.renderer.frame(event))
            if self.record is not None and not isinstance(event, Ping):
                self.record.feed.publish(event_name(event), frame)
                self._write(event)
        return frames

    def _write(self, event: Event) -> None:
        """Write the end of the run, or its pause, into its record."""
        record, spec = self.record, self.request.spec
        if record is None or not isinstance(event, WorkflowFinished | WorkflowPaused):
            return
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
        assert self.record is not None
        earlier = [event for _, events in self.parts() for event in events]
        workflow, spec = self.plan.request.workflow, self.request.spec
        rest = stream_after(earlier, paused.resume(filled, sent), workflow, spec)
        plan = replace(self.plan, timeline=of_version(rest, spec), stretches=())
        run = start(plan, self.request, self)
        self.record.status = "running"
        run.play_on()

    def parts(self) -> list[Part]:
        """What the run has done so far, before and after each pause."""
        earlier = self.before.parts() if self.before else []
        return [*earlier, (self.renderer.data, self.task.playback.passed())]

    def snapshot(self) -> Iterator[bytes]:
        assert self.record is not None
        return snapshot(self.record, self.parts(), self.plan.request.workflow, self.request.spec)

    def _closes_s(self, last: Event | None) -> float:
        """The second of the run at which its connection is closed."""
        spec, ended_s = self.request.spec, self.task.playback.ended_s
        if isinstance(last, RunError):
            return max(spec.request.silence_s, ended_s)
        return ended_s + spec.stream.closing_s

    async def gateway_page(self, gateway: Gateway) -> Response:
        """The page of a proxy that waits no longer; the run goes on without it."""
        with self._playing() as while_played:
            reached = await self.task.playback.reaches(gateway.after_s, self.request.receive)
            self.play_on(while_played.pop_all())
        if not reached:
            return self._cut_short()
        return proxy_page(gateway.status, gateway.page(self.request.spec.proxy_server))

    def _cut_short(self) -> Response:
        """The proxy's response when the server ends first. Raises ``ClientLeftError``."""
        if not self.task.playback.abandoned:
            raise ClientLeftError
        self.request.effects = NO_EFFECTS  # a server that ends has no time for faults
        return proxy_page(502, error_pages.nginx(502, self.request.spec.proxy_server))


async def _never_leaves() -> Message:
    """The ``receive`` of a run that no client waits for."""
    await asyncio.get_running_loop().create_future()
    raise AssertionError("the future is never done")


@dataclass(frozen=True, slots=True)
class SignedUrls:
    """The URLs of files, signed with the time at which they are rendered (FACTS 6.1).

    That is never after the run's end by the little time that writing the response takes: on the
    host a URL's timestamp is ``finished_at`` or the second before (FACTS 4).
    """

    host: HostState
    random: RandomValues
    ends_at: float
    changes: Sequence[UrlChange] = ()
    origin: str = ""

    def tool_file(self, file_id: str, extension: str) -> str | None:
        path = self.host.spec.paths["getToolFile"]
        path = path.replace("{extension}", extension.removeprefix("."))
        return self._signed(self.host.signers.tool_file, path, file_id)

    def uploaded(self, file_id: str) -> str | None:
        rules = self.host.spec.files
        signer = self.host.signers.of(rules.upload_url.rpartition("/")[2])
        return self._signed(signer, rules.upload_url, file_id, rules.upload_sign_quoted)

    def _signed(
        self, signer: FileSigner, path: str, file_id: str, quoted: bool = False
    ) -> str | None:
        now = self.host.clock.now()
        at = min(now, self.ends_at) if now - self.ends_at < _WRITING_S else now
        base = self.host.settings.files_url
        for change in self.changes:
            at -= change.age_s
            base = base if change.base is None else change.base(base or self.origin)
        query = signer.query(file_id, int(at), self.random.nonce())
        if quoted:  # the padding alone: the query has an = of its own after each name
            query = f"{query[:-1]}%3D"
        url: str | None = f"{base}{path.replace('{file_id}', file_id)}?{query}"
        for change in self.changes:
            url = None if url is None else change.rewrite(url)
        return url


def _stretches(takes_s: dict[str, float], timeline: Timeline) -> tuple[Stretch, ...]:
    """The parts of the timeline in which nodes take ``takes_s``, whatever the speed; nodes that
    overlap share one.
    """
    ended_s = {
        event.started.execution_id: at_s
        for at_s, event in timeline
        if isinstance(event, NodeFinished)
    }
    found: list[Stretch] = []
    for at_s, event in timeline:
        if isinstance(event, NodeStarted) and event.node_id in takes_s:
            until_s = ended_s.get(event.execution_id, timeline[-1][0])
            stretch = Stretch(at_s, until_s, takes_s[event.node_id])
            if found and at_s < found[-1].to_s:
                last = found.pop()
                takes = max(last.takes_s, stretch.takes_s)
                stretch = Stretch(last.from_s, max(last.to_s, until_s), takes)
            found.append(stretch)
    return tuple(found)
