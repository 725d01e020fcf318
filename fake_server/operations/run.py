"""Running the workflow, and stopping a run."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import AbstractContextManager, aclosing
from typing import Any

from starlette.requests import ClientDisconnect

from fake_server.apps import App, AppKind
from fake_server.draw import Draw
from fake_server.edge import pages
from fake_server.edge.answers import JSON, Answer, ProxyPage, json_answer
from fake_server.edge.stream import HostEventStream
from fake_server.engine import Timeline, plan
from fake_server.events import FileRef, NodeFinished
from fake_server.operations.call import Call, Host
from fake_server.operations.input_files import InputFiles
from fake_server.playback import Playback
from fake_server.render import Renderer, RunFacts
from fake_server.requests import RunRequest, run_request
from fake_server.signing import FileSigner
from fake_server.store import RunningTask

_WRITING_S = 1.0


async def run_workflow(call: Call) -> Answer | ProxyPage | HostEventStream:
    """``POST /v1/workflows/run``: the same timeline told in one piece or as a stream."""
    app = call.app()
    body = await call.json()
    request = run_request(body, app, InputFiles(call.host, app).check, call.host.spec)
    if request.workflow.nodes is None:
        return ProxyPage(500, pages.GUNICORN_500)
    run = _Run(call.host, app, request)
    if request.streaming:
        content_type = (b"Content-Type", b"text/event-stream; charset=utf-8")
        headers = call.host.headers.complete([content_type], call.request_headers, shared=True)
        return HostEventStream(run.frames(call), headers)
    return await run.answer(call)


async def stop_workflow_task(call: Call) -> Answer:
    """``POST /v1/workflows/tasks/{task_id}/stop``: always a success, with effect for the run's own user only."""
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

    def __init__(self, host: Host, app: App, request: RunRequest) -> None:
        self._host = host
        self._app = app
        self._request = request
        self._draw = host.draws.for_request(_identity(app, request))
        self._task_id, run_id = self._draw.uuid(), self._draw.uuid()
        timeline = plan(request.workflow, request.inputs, self._draw, host.spec.ping, host.spec.limits)
        self._keep_pictures(timeline)
        self._playback = Playback(timeline, host.clock, host.settings.speed)
        facts = RunFacts(
            task_id=self._task_id,
            workflow_run_id=run_id,
            workflow_id=request.workflow.workflow_id,
            tenant_id=host.tenant_id,
            sequence_number=host.store.next_sequence_number(app.app_id),
            end_user_id=host.end_user_id(app, request.user),
            user=request.user,
            started_at=_started_at(host, timeline),
        )
        self._renderer = Renderer(
            facts, host.spec.ping.frame, SignedUrls(host, self._draw, facts.started_at + timeline[-1][0])
        )

    async def answer(self, call: Call) -> Answer | ProxyPage:
        """The blocking answer, once the run has ended."""
        with self._playing():
            end = await self._playback.end(call.receive)
        if end is None and not self._playback.abandoned:
            raise ClientDisconnect
        if end is None:
            return ProxyPage(502, pages.nginx(502, self._host.spec.proxy_server))
        return Answer(200, JSON, self._renderer.blocking(end))

    async def frames(self, call: Call) -> AsyncGenerator[bytes]:
        """The stream's chunks: a frame each, or all that need no waiting in one."""
        with self._playing():
            async with aclosing(self._playback.events(call.receive)) as told:
                async for events in told:
                    yield b"".join(self._renderer.frame(event) for event in events)

    def _playing(self) -> AbstractContextManager[None]:
        """Known to the server while it plays, so that it can be stopped."""
        task = RunningTask(self._app.app_id, self._request.user, self._playback)
        return self._host.store.running(self._task_id, task)

    def _keep_pictures(self, timeline: Timeline) -> None:
        for _, event in timeline:
            if isinstance(event, NodeFinished):
                for ref in _pictures(event.outputs):
                    self._host.store.pictures.put(ref.file_id, ref.picture)


class SignedUrls:
    """The URLs of files, signed with the time at which they are asked for (FACTS 6.1).

    That is never after the run's end by the little time that writing the answer takes: on the host a URL's timestamp is
    ``finished_at`` or the second before (FACTS 4).
    """

    def __init__(self, host: Host, draw: Draw, ends_at: float) -> None:
        self._host = host
        self._draw = draw
        self._ends_at = ends_at

    def tool_file(self, file_id: str) -> str:
        path = self._host.spec.path("getToolFile", file_id=file_id, extension="png")
        return self._signed(self._host.signers.tool_file, path, file_id)

    def uploaded_image(self, file_id: str) -> str:
        path = self._host.spec.path("getImagePreview", file_id=file_id)
        return self._signed(self._host.signers.uploaded_image, path, file_id)

    def _signed(self, signer: FileSigner, path: str, file_id: str) -> str:
        now = self._host.clock.now()
        at = min(now, self._ends_at) if now - self._ends_at < _WRITING_S else now
        query = signer.query(file_id, int(at), self._draw.nonce())
        return f"{self._host.settings.files_url}{path}?{query}"


def _identity(app: App, request: RunRequest) -> str:
    """What tells requests apart for a server with a seed."""
    return json.dumps([app.app_id, request.user, request.streaming, request.inputs], default=repr)


def _started_at(host: Host, timeline: Timeline) -> float:
    """The unix time of second 0: back-dated by what the speed will save, so that the run ends now when it ends."""
    elapsed_s = timeline[-1][0]
    saved_s = elapsed_s - elapsed_s / host.settings.speed if host.settings.speed else elapsed_s
    return host.clock.now() - max(saved_s, 0.0)


def _pictures(outputs: Any) -> Iterator[FileRef]:
    for value in (outputs or {}).values():
        if isinstance(value, list):
            yield from (entry for entry in value if isinstance(entry, FileRef))
