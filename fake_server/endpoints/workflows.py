"""Running the workflow, with the files of its inputs, and stopping a run."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import ExitStack, aclosing
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Message

from dify_wire.exchange import AppKind
from fake_server.clock import Wait
from fake_server.host_spec import HostError, HostSpec, PingRule
from fake_server.host_state import HostState
from fake_server.http import error_pages
from fake_server.http.nginx import APP_CRASHED
from fake_server.http.request import ClientLeftError, Request, endpoint
from fake_server.http.responses import Response, proxy_page
from fake_server.runs.engine import plan, with_pings
from fake_server.runs.event_data import RunFacts
from fake_server.runs.events import (
    Event,
    FileRef,
    NodeFinished,
    NodeStarted,
    Ping,
    RunCrashed,
    RunError,
    Timeline,
    WorkflowFinished,
    WorkflowPaused,
)
from fake_server.runs.file_objects import FileWriter
from fake_server.runs.file_sources import FileSources
from fake_server.runs.playback import Playback, Stretch
from fake_server.runs.random_values import TENANT_ID, RandomValues, end_user_id
from fake_server.runs.render import Renderer, of_version
from fake_server.runs.request import AcceptedBody, RunRequest, accepted_body, run_request
from fake_server.runs.signing import FileSigner
from fake_server.runs.text_chunks import with_text_chunks
from fake_server.scenarios.effects import NO_EFFECTS, Effects, Gateway, UrlChange
from fake_server.store import RunningTask, StoredImage
from fake_server.workflow.model import App

EVENT_STREAM = (b"Content-Type", b"text/event-stream; charset=utf-8")
_WRITING_S = 1.0


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
    run = await start(prepare(app, accepted, effects, request.spec, random), request)
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
    """What a run will do, before any of it happens."""

    app: App
    request: RunRequest
    effects: Effects
    random: RandomValues
    task_id: str
    run_id: str
    timeline: Timeline
    ping: PingRule
    stretches: Sequence[Stretch]


def prepare(
    app: App, request: RunRequest, effects: Effects, spec: HostSpec, random: RandomValues
) -> RunPlan:
    """Plan the run of an accepted request: nothing here waits, reads a clock or is stored."""
    task_id, run_id = random.uuid(), random.uuid()
    ping, workflow = spec.ping, request.workflow
    for change_ping in effects.ping:
        ping = change_ping(ping)
    for change_workflow in effects.workflow:
        workflow = change_workflow(workflow)
    timeline = plan(workflow, request.inputs, random, spec)
    if request.streaming and not effects.gateway:
        timeline = of_version(with_text_chunks(timeline, workflow, spec), spec)
    for change_timeline in effects.timeline:
        timeline = change_timeline(timeline)
    stretches: Sequence[Stretch] = ()
    if effects.real_waits:
        takes_s = {
            node.node_id: wait.seconds
            for wait in effects.real_waits
            for node in workflow.select(wait.node)
        }
        stretches = _stretches(takes_s, timeline)
    if request.streaming and not effects.gateway:
        timeline = with_pings(timeline, ping)
        for change_timeline in effects.stream:
            timeline = change_timeline(timeline)
    return RunPlan(app, request, effects, random, task_id, run_id, timeline, ping, stretches)


async def start(plan: RunPlan, request: Request) -> Run:
    """Begin the run of ``plan``, which ``request`` waits for."""
    host, effects, spec = request.host, plan.effects, request.spec
    sizes = {}
    for file in _tool_files(plan.timeline):
        host.store.images[file.file_id] = StoredImage(file.record, effects.image_faults)
        if "size" in spec.fields["File"]:
            sizes[file.file_id] = len(await host.store.png(file.file_id, file.record))
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
    return Run(plan, request, task, Renderer(facts, spec, files, plan.ping.frame, effects.payload))


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
    """A run that has been started."""

    plan: RunPlan
    request: Request
    task: RunningTask
    renderer: Renderer

    async def response(self) -> Response:
        """The blocking response, once the run has ended."""
        with self.request.host.store.running(self.plan.task_id, self.task):
            end = await self.task.playback.end(self.request.receive)
        if end is None:
            return self._cut_short()
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
        playback, last = self.task.playback, None
        with self.request.host.store.running(self.plan.task_id, self.task):
            async with aclosing(playback.events(self.request.receive)) as due:
                async for events in due:
                    self.request.due = playback.due
                    frames = [self.renderer.frame(event) for event in events]
                    for chunk in frames if self.plan.effects.body_filters else (b"".join(frames),):
                        if chunk:
                            yield chunk
                    last = events[-1]
        if isinstance(last, RunCrashed):
            await self.request.break_off()
        elif last is not None and not playback.abandoned:
            await playback.reaches(self._closes_s(last), self.request.receive)

    def _closes_s(self, last: Event | None) -> float:
        """The second of the run at which its connection is closed."""
        spec, ended_s = self.request.spec, self.task.playback.ended_s
        if isinstance(last, RunError):
            return max(spec.request.silence_s, ended_s)
        return ended_s + spec.stream.closing_s

    async def gateway_page(self, gateway: Gateway) -> Response:
        """The page of a proxy that waits no longer; the run goes on without it."""
        with ExitStack() as while_played:
            while_played.enter_context(
                self.request.host.store.running(self.plan.task_id, self.task)
            )
            reached = await self.task.playback.reaches(gateway.after_s, self.request.receive)
            rest = self._play_on(while_played.pop_all())
        self.request.host.store.keep_alive(asyncio.create_task(rest))
        if not reached:
            return self._cut_short()
        return proxy_page(gateway.status, gateway.page(self.request.spec.proxy_server))

    def _cut_short(self) -> Response:
        """The proxy's response when the server ends first. Raises ``ClientLeftError``."""
        if not self.task.playback.abandoned:
            raise ClientLeftError
        self.request.effects = NO_EFFECTS  # a server that ends has no time for faults
        return proxy_page(502, error_pages.nginx(502, self.request.spec.proxy_server))

    async def _play_on(self, while_played: ExitStack) -> None:
        with while_played:
            await self.task.playback.end(_never_leaves)


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
    """The parts of the timeline in which nodes take ``takes_s``, whatever the speed."""
    ended_s = {
        event.started.execution_id: at_s
        for at_s, event in timeline
        if isinstance(event, NodeFinished)
    }
    return tuple(
        Stretch(at_s, ended_s.get(event.execution_id, timeline[-1][0]), takes_s[event.node_id])
        for at_s, event in timeline
        if isinstance(event, NodeStarted) and event.node_id in takes_s
    )
