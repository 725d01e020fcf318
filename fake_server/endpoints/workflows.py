"""Running the workflow, with the files of its inputs, and stopping a run."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import ExitStack, aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message

from dify_wire.exchange import AppKind
from fake_server.host_spec import HostErrors, HostSpec, PingRule
from fake_server.host_state import HostState
from fake_server.http import error_pages
from fake_server.http.nginx import APP_CRASHED
from fake_server.http.request import ClientLeftError, Request, endpoint
from fake_server.http.responses import Response, proxy_page
from fake_server.runs.engine import plan, with_pings
from fake_server.runs.events import FileRef, InputFile, NodeFinished, NodeStarted, Timeline
from fake_server.runs.playback import Playback, Stretch
from fake_server.runs.random_values import TENANT_ID, RandomValues, end_user_id
from fake_server.runs.render import Renderer, RunFacts
from fake_server.runs.request import RunRequest, check_storable, run_request
from fake_server.runs.signing import FileSigner
from fake_server.scenarios.effects import NO_EFFECTS, Effects, Gateway, UrlChange
from fake_server.store import RunningTask, StoredImage
from fake_server.workflow.model import App

_WRITING_S = 1.0


@endpoint("runWorkflow")
async def run_workflow(request: Request) -> ASGIApp:
    """``POST /v1/workflows/run``: one timeline, rendered as one response or as a stream."""
    app, host, effects = request.app(), request.host, request.effects
    check_files = partial(input_files, request, app)
    accepted = run_request(await request.json(), app, check_files, request.spec)
    if not accepted.workflow.complete:
        return APP_CRASHED
    for respond in effects.responses:
        response = respond(request)
        if response is not None:
            return response
    if accepted.streaming:  # loaded by the first stream, before its time begins to run
        from fake_server.http.event_stream import EventStream
    random = host.random.for_request(app.app_id, accepted.user, accepted.streaming, accepted.inputs)
    run = start(prepare(app, accepted, effects, request.spec, random), request)
    if effects.gateway:
        return await run.gateway_page(effects.gateway[0])
    if accepted.streaming:
        content_type = (b"Content-Type", b"text/event-stream; charset=utf-8")
        return EventStream(run.frames(), request.complete_headers(content_type))
    return await run.response()


@endpoint("stopWorkflowTask")
async def stop_workflow_task(request: Request) -> Response:
    """``POST …/tasks/{task_id}/stop``: always a success; only the run's own user stops it."""
    app = request.app()
    user = await request.user()
    if app.kind is AppKind.CHAT:
        raise request.spec.errors("not_workflow_app")
    task = request.host.store.task(request.parameters["task_id"])
    if task is not None and (task.app_id, task.user) == (app.app_id, user):
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


def start(plan: RunPlan, request: Request) -> Run:
    """Begin the run of ``plan``, which ``request`` waits for."""
    host, effects = request.host, plan.effects
    for _, event in plan.timeline:
        if isinstance(event, NodeFinished) and event.started.node_type == "tool" and event.outputs:
            for value in event.outputs.values():
                for file in value if isinstance(value, list) else ():
                    if isinstance(file, FileRef):
                        image = StoredImage(file.record, effects.image_faults)
                        host.store.images[file.file_id] = image
    speed = host.settings.speed
    endless = plan.ping if effects.endless else None
    playback = Playback(plan.timeline, host.clock, speed, endless, plan.stretches)
    # Back-dated by what the speed will save, so that the run ends now when it ends.
    elapsed_s = plan.timeline[-1][0]
    started_at = host.clock.now() - max(elapsed_s - playback.pace.clock_s(elapsed_s), 0.0)
    host.store.sequence_numbers[plan.app.app_id] += 1
    facts = RunFacts(
        task_id=plan.task_id,
        workflow_run_id=plan.run_id,
        workflow_id=plan.request.workflow.workflow_id,
        tenant_id=TENANT_ID,
        sequence_number=host.store.sequence_numbers[plan.app.app_id],
        end_user_id=end_user_id(plan.app.app_id, plan.request.user),
        user=plan.request.user,
        started_at=started_at,
    )
    origin = request.origin if effects.url else ""
    urls = SignedUrls(host, plan.random, started_at + elapsed_s, effects.url, origin)
    task = RunningTask(plan.app.app_id, plan.request.user, playback, plan.request.streaming)
    return Run(plan, request, task, Renderer(facts, plan.ping.frame, urls, effects.payload))


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
        content_type = self.request.spec.http.run_type.encode()
        return self.request.response(200, content_type, self.renderer.blocking(end))

    async def frames(self) -> AsyncGenerator[bytes]:
        """The stream's chunks: a frame each, or all that need no waiting in one."""
        with self.request.host.store.running(self.plan.task_id, self.task):
            async with aclosing(self.task.playback.events(self.request.receive)) as due:
                async for events in due:
                    self.request.due = self.task.playback.due
                    frames = [self.renderer.frame(event) for event in events]
                    for chunk in frames if self.plan.effects.body_filters else (b"".join(frames),):
                        yield chunk

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

    def tool_file(self, file_id: str) -> str | None:
        path = self.host.spec.paths["getToolFile"].replace("{extension}", "png")
        return self._signed(self.host.signers.tool_file, path, file_id)

    def uploaded_image(self, file_id: str) -> str | None:
        path = self.host.spec.paths["getImagePreview"]
        return self._signed(self.host.signers.uploaded_image, path, file_id)

    def _signed(self, signer: FileSigner, path: str, file_id: str) -> str | None:
        now = self.host.clock.now()
        at = min(now, self.ends_at) if now - self.ends_at < _WRITING_S else now
        base = self.host.settings.files_url
        for change in self.changes:
            at -= change.age_s
            base = base if change.base is None else change.base(base or self.origin)
        query = signer.query(file_id, int(at), self.random.nonce())
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


_IMAGE = "image"
_REMOTE = "remote_url"
_LOCAL = "local_file"
_ID_NOT_STRING = (
    "1 validation error for FileVar\nrelated_id\n  str type expected (type=type_error.str)"
)
_DATABASE_UUID = re.compile(r"(?i)(\{)?(?:[0-9a-f]{4}-?){7}[0-9a-f]{4}(?(1)\})")
"""What PostgreSQL accepts as a UUID."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+-]*):")
_METHODS = (_REMOTE, _LOCAL, "tool_file")


def input_files(
    request: Request, app: App, user: str, files: Sequence[Any], image: Mapping[str, Any]
) -> list[InputFile]:
    """``sys.files`` of a run. Raises ``HostError`` for the first file that is wrong."""
    errors = request.spec.errors
    for file in files:
        _check_form(file, errors)
    for file in files:
        if file["transfer_method"] == _LOCAL and isinstance(file["upload_file_id"], list | dict):
            raise errors("value_error", message=_ID_NOT_STRING)
    limit = image["number_limits"]
    if len(files) > limit:
        raise errors("files_too_many", limit=limit)
    found = []
    for file in files:
        method = file["transfer_method"]
        if method not in image["transfer_methods"]:
            raise errors("file_method_refused", method=method)
        if method == _REMOTE:
            found.append(_remote(file["url"], request.effects, errors))
        else:
            found.append(_local(file, request.host, app, end_user_id(app.app_id, user)))
    return found


def _remote(address: str, effects: Effects, errors: HostErrors) -> InputFile:
    """The host requests the URL. The fake sends no request anywhere: it goes by the URL alone."""
    if reason := _unusable(address):
        raise errors("file_remote_unchecked", reason=reason)
    for refuse in effects.remote_file:
        raise refuse(address, errors)
    if _only_reachable_from_here(urlsplit(address).hostname or "localhost"):
        raise errors("file_remote_absent")
    return InputFile(_REMOTE, url=address)


def _local(file: Mapping[str, Any], host: HostState, app: App, owner: str) -> InputFile:
    errors = host.spec.errors
    file_id = str(file["upload_file_id"])
    check_storable(file_id, errors)
    if not _DATABASE_UUID.fullmatch(file_id):
        raise errors("internal_server_error")
    upload = host.store.uploads.get(str(uuid.UUID(file_id)))
    if (
        not upload
        or (upload.app_id, upload.end_user_id) != (app.app_id, owner)
        or upload.extension.lower() not in host.spec.image_extensions
    ):
        raise errors("file_upload_invalid")
    return InputFile(
        _LOCAL,
        file_id=upload.file_id,
        filename=upload.name,
        extension=f".{upload.extension}",
        mime_type=upload.mime_type,
    )


def _check_form(file: Any, errors: HostErrors) -> None:
    if not isinstance(file, dict):
        raise errors("file_not_dict")
    if not file.get("type"):
        raise errors("file_type_missing")
    if file["type"] != _IMAGE:
        raise errors("file_type_unknown", value=file["type"])
    method = file.get("transfer_method")
    if not method:
        raise errors("file_method_missing")
    if method not in _METHODS:
        raise errors("file_type_unknown", value=method)
    if method == _REMOTE:
        _check_url(file.get("url"), errors)
    if method == _LOCAL and not file.get("upload_file_id"):
        raise errors("file_upload_id_missing")


def _unusable(address: str) -> str | None:
    """Why the host's client, requests, cannot ask for ``address`` at all; None where it can."""
    scheme = _SCHEME.match(address)
    if not scheme:
        return f"Invalid URL {address!r}: No scheme supplied. Perhaps you meant https://{address}?"
    try:
        url = urlsplit(address)
        host, _ = url.hostname, url.port
    except ValueError:
        return f"Failed to parse: {address}"
    if not host:
        return f"Invalid URL {address!r}: No host supplied"
    if host.startswith(("*", ".")):
        return "URL has an invalid label."
    if scheme[1].lower() not in ("http", "https"):
        return f"No connection adapters were found for {address!r}"
    return None


def _only_reachable_from_here(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _check_url(url: Any, errors: HostErrors) -> None:
    if not url:
        raise errors("file_url_missing")
    if not isinstance(url, str):
        raise errors("internal_server_error")
    if not url.startswith("http"):
        raise errors("file_url_invalid")
