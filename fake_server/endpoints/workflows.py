"""Running the workflow, and stopping a run."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from contextlib import aclosing

from starlette.types import ASGIApp

from dify_wire.exchange import AppKind
from fake_server.clock import Wait
from fake_server.endpoints.recorded_runs import recorded
from fake_server.endpoints.running import prepare, start
from fake_server.host_spec import HostError
from fake_server.http.nginx import APP_CRASHED
from fake_server.http.request import Request, endpoint
from fake_server.http.responses import Response
from fake_server.runs.events import Ping, RunError, Timeline
from fake_server.runs.file_sources import FileSources
from fake_server.runs.playback import Playback
from fake_server.runs.request import AcceptedBody, accepted_body, run_request
from fake_server.store import RunningTask

EVENT_STREAM = (b"Content-Type", b"text/event-stream; charset=utf-8")


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
        if accepted.streaming:
            return APP_CRASHED
        raise spec.errors("graph_incomplete")
    for respond in effects.responses:
        response = respond(request)
        if response is not None:
            return response
    if accepted.streaming:  # loaded by the first stream, before its time begins to run
        from fake_server.http.event_stream import EventStream
    random = host.random.for_request(app.app_id, accepted.user, accepted.streaming, accepted.inputs)
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
