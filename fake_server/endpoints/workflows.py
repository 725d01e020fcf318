"""Running the workflow, and stopping a run."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, aclosing
from typing import TYPE_CHECKING, Any

from starlette.types import Message

from dify_wire.app_kind import AppKind
from fake_server.apps import App
from fake_server.endpoints.call import Call, Host
from fake_server.endpoints.input_files import InputFiles
from fake_server.endpoints.scenario_effects import answered_instead
from fake_server.http import error_pages, gunicorn
from fake_server.http.request_body import ClientLeftError
from fake_server.http.responses import JSON, Answer, ProxyPage, json_answer
from fake_server.http.scope import DUE
from fake_server.runs.engine import Timeline, plan, with_pings
from fake_server.runs.events import FileRef, NodeFinished, NodeStarted
from fake_server.runs.playback import Pace, Playback, Stretch
from fake_server.runs.random_values import Draw
from fake_server.runs.render import Renderer, RunFacts
from fake_server.runs.request import RunRequest, run_request
from fake_server.runs.signing import FileSigner
from fake_server.scenarios.behaviours.nodes import meant
from fake_server.scenarios.effects import (
    NO_EFFECTS,
    Effects,
    Gateway,
    RealWait,
    UrlSigning,
    changed,
)
from fake_server.store import KeptPicture, RunningTask
from fake_server.workflow.model import Workflow

if TYPE_CHECKING:
    from fake_server.http.event_stream import HostEventStream

_WRITING_S = 1.0


async def run_workflow(call: Call) -> Answer | ProxyPage | HostEventStream:
    """``POST /v1/workflows/run``: the same timeline told in one piece or as a stream."""
    app = call.app()
    body = await call.json()
    request = run_request(body, app, InputFiles(call.host, app, call.effects).check, call.host.spec)
    if not request.workflow.complete:
        return gunicorn.BROKEN
    if call.effects.answer and (answer := answered_instead(call)) is not None:
        return answer
    run = _Run(call.host, app, request, call.effects, call.origin)
    if call.effects.gateway:
        return await run.given_up_on(call, call.effects.gateway[0])
    if request.streaming:
        from fake_server.http.event_stream import (
            HostEventStream,
        )  # with the first stream, for the start's sake

        content_type = (b"Content-Type", b"text/event-stream; charset=utf-8")
        headers = call.host.headers.complete([content_type], call.request_headers, shared=True)
        return HostEventStream(run.frames(call), headers)
    return await run.answer(call)


async def stop_workflow_task(call: Call) -> Answer:
    """``POST /v1/workflows/tasks/{task_id}/stop``: always a success, with effect for the run's own
    user only.
    """
    app = call.app()
    user = await call.user()
    if app.kind is AppKind.CHAT:
        raise call.host.spec.errors("not_workflow_app")
    task = call.host.store.task(call.parameters["task_id"])
    if task is not None and (task.app_id, task.user) == (app.app_id, user):
        task.playback.stop()
    return json_answer({"result": "success"})


class _Run:
    """One accepted request being played."""

    def __init__(
        self, host: Host, app: App, request: RunRequest, effects: Effects, origin: str
    ) -> None:
        self._host = host
        self._app = app
        self._request = request
        self._effects = effects
        self._draw = host.draws.for_request(_identity(app, request))
        self._task_id, run_id = self._draw.uuid(), self._draw.uuid()
        ping = changed(host.spec.ping, effects.ping)
        workflow = changed(request.workflow, effects.workflow)
        story = self._story(workflow)
        is_told = request.streaming and not effects.gateway
        timeline = changed(with_pings(story, ping), effects.events) if is_told else story
        self._keep_pictures(timeline)
        stretches = _stretches(effects.real_waits, workflow, story)
        endless = ping if effects.endless else None
        self._playback = Playback(timeline, host.clock, host.settings.speed, endless, stretches)
        facts = RunFacts(
            task_id=self._task_id,
            workflow_run_id=run_id,
            workflow_id=request.workflow.workflow_id,
            tenant_id=host.tenant_id,
            sequence_number=host.store.next_sequence_number(app.app_id),
            end_user_id=host.end_user_id(app, request.user),
            user=request.user,
            started_at=_started_at(host, timeline, Pace(host.settings.speed, stretches)),
        )
        urls = SignedUrls(host, self._draw, facts.started_at + timeline[-1][0], effects.url, origin)
        self._renderer = Renderer(facts, ping.frame, urls, effects.told)

    def _story(self, workflow: Workflow) -> Timeline:
        """The run without pings."""
        return changed(
            plan(workflow, self._request.inputs, self._draw, self._host.spec.limits),
            self._effects.story,
        )

    async def answer(self, call: Call) -> Answer | ProxyPage:
        """The blocking answer, once the run has ended."""
        with self._playing():
            end = await self._playback.end(call.receive)
        if end is None:
            return self._cut_short(call)
        call.scope[DUE] = self._playback.due
        return Answer(200, JSON, self._renderer.blocking(end))

    async def frames(self, call: Call) -> AsyncGenerator[bytes]:
        """The stream's chunks: a frame each, or all that need no waiting in one."""
        with self._playing():
            async with aclosing(self._playback.events(call.receive)) as told:
                async for events in told:
                    call.scope[DUE] = self._playback.due
                    frames = [self._renderer.frame(event) for event in events]
                    for chunk in frames if self._effects.pieces else (b"".join(frames),):
                        yield chunk

    async def given_up_on(self, call: Call, gateway: Gateway) -> ProxyPage:
        """The page of a proxy that waits no longer; the run is played on without it."""
        with ExitStack() as until_played:
            until_played.enter_context(self._playing())
            reached = await self._playback.reaches(gateway.after_s, call.receive)
            goes_on = until_played.pop_all()
        self._host.store.keep(asyncio.create_task(self._play_on(goes_on)))
        if not reached:
            return self._cut_short(call)
        return ProxyPage(gateway.status, gateway.page(self._host.spec.proxy_server))

    def _cut_short(self, call: Call) -> ProxyPage:
        """The proxy's answer when the server ends before the run does. Raises ``ClientLeftError``
        if nobody gets it.
        """
        if not self._playback.abandoned:
            raise ClientLeftError
        call.effects = NO_EFFECTS  # the server's own end is not told more slowly than it comes
        return ProxyPage(502, error_pages.nginx(502, self._host.spec.proxy_server))

    async def _play_on(self, until_played: ExitStack) -> None:
        with until_played:
            await self._playback.end(_nobody_leaves)

    def _playing(self) -> AbstractContextManager[None]:
        """Known to the server while it plays, so that it can be stopped."""
        task = RunningTask(
            self._app.app_id, self._request.user, self._playback, self._request.streaming
        )
        return self._host.store.running(self._task_id, task)

    def _keep_pictures(self, timeline: Timeline) -> None:
        for _, event in timeline:
            if isinstance(event, NodeFinished):
                for ref in _pictures(event.outputs):
                    kept = KeptPicture(ref.picture, self._effects.blobs)
                    self._host.store.pictures[ref.file_id] = kept


async def _nobody_leaves() -> Message:
    """The ``receive`` of a run that nobody listens to."""
    await asyncio.get_running_loop().create_future()
    raise AssertionError("the future is never done")


class SignedUrls:
    """The URLs of files, signed with the time at which they are asked for (FACTS 6.1).

    That is never after the run's end by the little time that writing the answer takes: on the host
    a URL's timestamp is ``finished_at`` or the second before (FACTS 4).
    """

    def __init__(
        self,
        host: Host,
        draw: Draw,
        ends_at: float,
        changes: Sequence[UrlSigning] = (),
        origin: str = "",
    ) -> None:
        self._host = host
        self._draw = draw
        self._ends_at = ends_at
        self._changes = changes
        self._origin = origin

    def tool_file(self, file_id: str) -> str | None:
        path = self._host.spec.path("getToolFile", file_id=file_id, extension="png")
        return self._signed(self._host.signers.tool_file, path, file_id)

    def uploaded_image(self, file_id: str) -> str | None:
        path = self._host.spec.path("getImagePreview", file_id=file_id)
        return self._signed(self._host.signers.uploaded_image, path, file_id)

    def _signed(self, signer: FileSigner, path: str, file_id: str) -> str | None:
        now = self._host.clock.now()
        at = min(now, self._ends_at) if now - self._ends_at < _WRITING_S else now
        at -= sum(change.age_s for change in self._changes)
        query = signer.query(file_id, int(at), self._draw.nonce())
        base = self._host.settings.files_url
        for change in self._changes:
            base = base if change.base is None else change.base(base or self._origin)
        url: str | None = f"{base}{path}?{query}"
        for change in self._changes:
            url = None if url is None else change.change(url)
        return url


def _identity(app: App, request: RunRequest) -> str:
    """What tells requests apart for a server with a seed."""
    return json.dumps([app.app_id, request.user, request.streaming, request.inputs], default=repr)


def _stretches(
    waits: Sequence[RealWait], workflow: Workflow, story: Timeline
) -> tuple[Stretch, ...]:
    """Where the timeline has nodes that take their time at any speed: from their start to their
    end, or the run's.
    """
    takes_s = {node.node_id: wait.seconds for wait in waits for node in meant(workflow, wait.node)}
    if not takes_s:
        return ()
    ended_s = {
        event.started.execution_id: at_s for at_s, event in story if isinstance(event, NodeFinished)
    }
    return tuple(
        Stretch(at_s, ended_s.get(event.execution_id, story[-1][0]), takes_s[event.node_id])
        for at_s, event in story
        if isinstance(event, NodeStarted) and event.node_id in takes_s
    )


def _started_at(host: Host, timeline: Timeline, pace: Pace) -> float:
    """The unix time of second 0: back-dated by what the speed will save, so that the run ends now
    when it ends.
    """
    elapsed_s = timeline[-1][0]
    return host.clock.now() - max(elapsed_s - pace.clock_s(elapsed_s), 0.0)


def _pictures(outputs: Any) -> Iterator[FileRef]:
    for value in (outputs or {}).values():
        if isinstance(value, list):
            yield from (entry for entry in value if isinstance(entry, FileRef))
