"""A run from its plan to its end: what happens in it, and what its response or stream sends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import ExitStack, aclosing
from dataclasses import dataclass
from math import floor
from typing import Any, NamedTuple

from starlette.types import Message

from fake_server.host_spec import HostError, HostSpec, PingRule
from fake_server.host_state import HostState
from fake_server.http import error_pages
from fake_server.http.request import ClientLeftError, Request
from fake_server.http.responses import Response, app_response, proxy_page
from fake_server.runs.engine import plan, with_pings
from fake_server.runs.events import (
    Event,
    NodeFinished,
    NodeStarted,
    Ping,
    RunCrashed,
    RunError,
    Timeline,
    WorkflowFinished,
    WorkflowPaused,
    WorkflowStarted,
)
from fake_server.runs.frames import FrameRenderer, of_version
from fake_server.runs.playback import Playback, Stretch
from fake_server.runs.random_values import TENANT_ID, RandomValues, end_user_id
from fake_server.runs.recent import About, PlannedRun, RecentRun
from fake_server.runs.render import PLAIN, FileWriter, RunFacts
from fake_server.runs.request import RunRequest
from fake_server.runs.signing import FileSigner
from fake_server.runs.text_chunks import with_text_chunks
from fake_server.runs.values import FileRef
from fake_server.scenarios.effects import NO_EFFECTS, Effects, Gateway, UrlChange
from fake_server.store import RunningTask, Store, StoredImage
from fake_server.workflow.model import App

_WRITING_S = 1.0
_WITHOUT_FILES = (WorkflowStarted, NodeStarted, Ping)


class RunPlan(NamedTuple):
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
        "sys.files": request.inputs["sys.files"],
        "sys.user_id": request.user,
        "sys.app_id": app.app_id,
        "sys.timestamp": floor(now),
        "sys.workflow_id": request.workflow.workflow_id,
        "sys.workflow_run_id": run_id,
    }
    inputs = dict(request.inputs)
    del inputs["sys.files"]  # which stands among the others, in the version's order
    for name in spec.records.system_inputs:
        inputs[name] = system.get(name)
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


def start(plan: RunPlan, request: Request, before: RecentRun | None = None) -> Run:
    """Begin the run of ``plan``, which ``request`` waits for; it goes on from ``before``."""
    host, effects, spec = request.host, plan.effects, request.spec
    made = tool_files(plan.timeline)
    for _, file in made:
        host.store.images[file.file_id] = StoredImage(file.record, effects.image_faults)
    drawing = Drawing(made, host.store) if made and "size" in spec.fields["File"] else None
    if drawing is not None and not plan.request.streaming:
        drawing.begin()
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
    began_at = host.clock.now() if before is None else before.about().began_at
    wanted = plan.request
    about = About(plan.app, wanted.streaming, wanted.user, wanted.inputs, began_at)
    recent = PlannedRun(about, plan, request.entry)
    if before is None:
        host.store.recent.add(recent)
    else:
        host.store.recent.go_on(recent, before)
    urls = SignedUrls(host, plan.random, started_at + elapsed_s, effects.url, origin)
    sizes = {} if drawing is None else drawing.sizes
    files = FileWriter(TENANT_ID, spec.fields["File"], spec.files, urls, sizes)
    task = RunningTask(plan.app.app_id, plan.request.user, playback, plan.request.streaming, recent)
    renderer = FrameRenderer(facts, spec, files, plan.ping.frame, effects.payload)
    return Run(plan, request, playback, task, renderer, drawing)


def tool_files(timeline: Timeline) -> list[tuple[str, FileRef]]:
    """The files in the outputs of a run's nodes, with the node's execution."""
    found: list[tuple[str, FileRef]] = []
    for _, event in timeline:
        if not isinstance(event, NodeFinished):
            continue
        pending: list[Any] = [event.outputs]
        while pending:
            value = pending.pop()
            if isinstance(value, FileRef):
                found.append((event.started.execution_id, value))
            elif isinstance(value, list):
                pending += value
            elif type(value) is dict or isinstance(value, Mapping):  # the first is quicker
                for one in value.values():
                    if type(one) not in PLAIN:
                        pending.append(one)
    return found


class Drawing:
    """Images of a run, which are drawn for their sizes: these stand beside their URLs. A stream
    begins it with the first node that has an image: drawing would hold up the frames before.
    """

    def __init__(self, made: Sequence[tuple[str, FileRef]], store: Store) -> None:
        self.sizes: dict[str, int] = {}
        self._made, self._store = made, store
        self._nodes = {execution_id for execution_id, _ in made}
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._draw())
            self._store.keep_alive(self._task)

    async def _draw(self) -> None:
        for _, file in self._made:
            self.sizes[file.file_id] = len(await self._store.png(file.file_id, file.record))

    async def done(self) -> None:
        if self._task is not None:
            await asyncio.shield(self._task)

    async def due(self, events: Sequence[Event]) -> None:
        """Know the sizes of the images in ``events``, which a stream shows now."""
        for event in events:
            node = event.started if isinstance(event, NodeFinished) else event
            if isinstance(node, NodeStarted) and node.execution_id in self._nodes:
                self.begin()
        if not all(isinstance(one, _WITHOUT_FILES) for one in events):
            await self.done()


@dataclass(frozen=True, slots=True)
class Run:
    """A run that has been started, to be entered while it is played; with ``drawing`` where the
    version shows sizes of images.
    """

    plan: RunPlan
    request: Request
    playback: Playback
    task: RunningTask
    renderer: FrameRenderer
    drawing: Drawing | None = None

    def __enter__(self) -> None:
        self.request.host.store.begin(self.plan.task_id, self.task)

    def __exit__(self, *_: object) -> None:
        self.request.host.store.end(self.plan.task_id, self.task)

    async def response(self) -> Response:
        """The blocking response, once the run has ended."""
        end = await self._ended()
        if end is None:
            return self._cut_short()
        self.request.due = self.playback.due
        match end:
            case WorkflowFinished() | WorkflowPaused():
                content_type = self.request.spec.http.run_type.encode()
                data = self.renderer.blocking(end)
                return app_response(200, content_type, data, self.request.known.added)
            case RunError(code, status, message):
                body = {"code": code, "message": message, "status": status}
                raise HostError("run_error", status, body)
        raise self.request.spec.errors("internal_server_error")

    async def _ended(self) -> Event | None:
        """Wait for the end of a blocking run; None when its client has left."""
        with self:
            end = await self.playback.end(self.request.receive)
            if end is not None and self.drawing is not None:
                await self.drawing.done()
            return end

    async def frames(self, emitted: int = 0) -> AsyncGenerator[bytes]:
        """The stream's chunks after the first ``emitted`` events: a frame each, or all that need no
        waiting in one.
        """
        playback, last = self.playback, None
        with ExitStack() as while_played:
            while_played.enter_context(self)
            async with aclosing(playback.events(self.request.receive, emitted)) as due:
                async for events in due:
                    self.request.due = playback.due
                    frames = await self.rendered(events)
                    for chunk in frames if self.plan.effects.body_filters else (b"".join(frames),):
                        if chunk:
                            yield chunk
                    last = events[-1]
                    emitted += len(events)
            self._left(while_played, emitted)
        if isinstance(last, RunCrashed):
            await self.request.break_off()
        elif last is not None and not playback.abandoned:
            await playback.reaches(self._closes_s(last), self.request.receive)

    def _left(self, while_played: ExitStack, emitted: int) -> None:
        """The stream is over after ``emitted`` events, or its client has left."""

    def play_on(self, while_played: ExitStack | None = None, emitted: int = 0) -> None:
        """Play what follows the first ``emitted`` events in the background."""

        async def rest() -> None:
            with while_played or self:
                async with aclosing(self.playback.events(_never_leaves, emitted)) as due:
                    async for events in due:
                        await self.rendered(events)

        self.request.host.store.keep_alive(asyncio.create_task(rest()))

    async def rendered(self, events: Sequence[Event]) -> list[bytes]:
        """The frames of ``events``, which are due, with the sizes of files that stand in them."""
        if self.drawing is not None:
            await self.drawing.due(events)
        return [self.renderer.frame(event) for event in events]

    def _closes_s(self, last: Event | None) -> float:
        """The second of the run at which its connection is closed."""
        spec, ended_s = self.request.spec, self.playback.ended_s
        if isinstance(last, RunError):
            return max(spec.request.silence_s, ended_s)
        return ended_s + spec.stream.closing_s

    async def gateway_page(self, gateway: Gateway) -> Response:
        """The page of a proxy that waits no longer; the run goes on without it."""
        with ExitStack() as while_played:
            while_played.enter_context(self)
            reached = await self.playback.reaches(gateway.after_s, self.request.receive)
            self.play_on(while_played.pop_all())
        if not reached:
            return self._cut_short()
        return proxy_page(gateway.status, gateway.page(self.request.spec.proxy_server))

    def _cut_short(self) -> Response:
        """The proxy's response when the server ends first. Raises ``ClientLeftError``."""
        if not self.playback.abandoned:
            raise ClientLeftError
        self.request.effects = NO_EFFECTS  # a server that ends has no time for faults
        return proxy_page(502, error_pages.nginx(502, self.request.spec.proxy_server))


async def _never_leaves() -> Message:
    """The ``receive`` of a run that no client waits for."""
    await asyncio.get_running_loop().create_future()
    raise AssertionError("the future is never done")


class SignedUrls(NamedTuple):
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
        at = self.host.clock.now()
        if 0 < at - self.ends_at < _WRITING_S:
            at = self.ends_at
        base = self.host.settings.files_url
        for change in self.changes:
            at -= change.age_s
            base = base if change.base is None else change.base(base or self.origin)
        query = signer.query(file_id, int(at), self.random.nonce(), quoted)
        url: str | None = f"{base}{path.replace('{file_id}', file_id)}?{query}"
        for change in self.changes:
            url = None if url is None else change.rewrite(url)
        return url
