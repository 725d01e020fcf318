"""A run that has been started: what it sends, what is written down of it, and its end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import ExitStack, aclosing, contextmanager
from dataclasses import dataclass, replace
from functools import partial

from starlette.types import Message

from fake_server.endpoints.planning import RunPlan, tool_files
from fake_server.host_spec import HostError, RecordRules
from fake_server.host_state import HostState
from fake_server.http import error_pages
from fake_server.http.request import ClientLeftError, Request
from fake_server.http.responses import Response, proxy_page
from fake_server.runs.event_data import EXPIRES_S, RunFacts, event_name
from fake_server.runs.events import (
    Event,
    FileRef,
    HumanInputFilled,
    NodeStarted,
    Ping,
    RunCrashed,
    RunError,
    Values,
    WorkflowFinished,
    WorkflowPaused,
    WorkflowStarted,
)
from fake_server.runs.file_objects import FileWriter
from fake_server.runs.playback import Playback
from fake_server.runs.random_values import TENANT_ID, RandomValues, end_user_id
from fake_server.runs.records import HumanForm, RunRecord
from fake_server.runs.render import Renderer, of_version
from fake_server.runs.signing import FileSigner
from fake_server.runs.snapshot import Part, snapshot
from fake_server.runs.text_chunks import stream_after
from fake_server.scenarios.effects import NO_EFFECTS, Gateway, UrlChange
from fake_server.store import RunningTask, Store, StoredImage

_WRITING_S = 1.0
_WITHOUT_FILES = (WorkflowStarted, NodeStarted, Ping)


def start(plan: RunPlan, request: Request, before: Run | None = None) -> Run:
    """Begin the run of ``plan``, which ``request`` waits for; or go on with the one ``before``."""
    host, effects, spec = request.host, plan.effects, request.spec
    made, sizes, drawing = list(tool_files(plan.timeline)), dict[str, int](), None
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
