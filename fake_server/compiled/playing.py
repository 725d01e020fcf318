"""Plays compiled runs by timers, without a task; the ordinary path takes over where that is not
enough.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any

from starlette.types import Receive, Scope, Send

from fake_server.compiled.filling import Filled, Filler
from fake_server.http.request import ClientLeftError, Request
from fake_server.http.responses import RawHeaders
from fake_server.journal.entry import Entry
from fake_server.runs.playback import Playback
from fake_server.runs.recent import About, RecentRun
from fake_server.store import RunningTask

if TYPE_CHECKING:
    from fake_server.compiled.responder import CompiledRuns
    from fake_server.endpoints.running import RunPlan

_END = -2
"""Closes a stream, some time after its last frame."""


def with_length(headers: RawHeaders, body: bytes) -> RawHeaders:
    """``headers`` as those of a response that is ``body``."""
    return [headers[0], (b"Content-Length", b"%d" % len(body)), *headers[1:]]


class FormRun(RecentRun):
    """A run from a form, for those who look at it."""

    def __init__(self, filler: Filler, run: Filled, entry: Entry) -> None:
        super().__init__(entry)
        self._filler, self._run = filler, run

    @property
    def task_id(self) -> str:
        return str(self._run.values[self._filler.form.task_id])

    def about(self) -> About:
        run, filler = self._run, self._filler
        return About(filler.app, filler.form.streaming, run.user, run.inputs, run.now)

    def plan(self) -> RunPlan:
        from fake_server.compiled.ordinary import planned  # which few runs need

        return planned(self.about(), self.drawn(), self._filler.host.spec)

    def drawn(self) -> tuple[Any, ...]:
        """The values that it has drawn, in order."""
        values = self._run.values
        return tuple([values[draw.slot] for draw in self._filler.form.draws])


class PlayedRun:
    """A run that is being played, as ``PlayedResponse`` says. It waits for the clock, and the store
    knows it as a run that can be stopped.
    """

    __slots__ = (
        "_call", "_entry", "_filler", "_hand_over", "_handed_over", "_known", "_log", "_next",
        "_plan", "_playback", "_recent", "_run", "_running", "_started", "_task", "_timeline",
        "chunked", "headers", "over",
    )  # fmt: skip

    def __init__(
        self, runs: CompiledRuns, filler: Filler, run: Filled, entry: Entry, headers: RawHeaders
    ) -> None:
        self._log, self._known = runs.log, runs.known
        self._filler, self._run, self._entry = filler, run, entry
        self.headers, self.chunked, self.over = headers, filler.form.streaming, False
        self._next, self._running, self._handed_over = 0, True, False
        self._started = filler.host.clock.ticks()
        self._plan: RunPlan | None = None
        self._playback: Playback | None = None
        """With the plan that of the ordinary path, once it takes over from a run."""
        ends_s = run.values[filler.form.ends]
        self._timeline: Sequence[tuple[float, int]] = [(ends_s, 0)]
        if self.chunked:
            closes_s = ends_s + filler.host.spec.stream.closing_s
            self._timeline = [*filler.timeline(run.values), (closes_s, _END)]
        self._recent = FormRun(filler, run, entry)
        self._task = RunningTask(filler.app.app_id, run.user, self, self.chunked, self._recent)

    # As a response
    # ------------------------------------------------------------------------------------------

    def begin(
        self, call: Callable[[Callable[[], None]], object], hand_over: Callable[[], None]
    ) -> None:
        self._call, self._hand_over = call, hand_over
        if self.chunked:
            self._entry.response_head({"status": 200, "headers": self.headers})
            self._log.counters.streams_open += 1
        self._filler.host.clock.add_wait(self)
        self._filler.host.store.begin(self._task_id, self._task)
        self._filler.host.store.recent.add(self._recent)

    def delay_s(self) -> float:
        due_s = self._filler.pace.clock_s(self._timeline[self._next][0])
        return self._started + due_s - self._filler.host.clock.ticks()

    def part(self) -> bytes:
        filler, number = self._filler, self._timeline[self._next][1]
        self._next += 1
        if number == _END:
            self._entry.response_chunk({"body": b""})
            self._close()
            return b""
        data = filler.part(number, self._run)
        if not self.chunked:
            headers = with_length(self.headers, data)
            self._entry.response_head({"status": 200, "headers": headers})
        self._entry.response_chunk({"body": data, "more_body": self.chunked})
        if number == len(filler.form.parts) - 1:
            self._end_run()
            if not self.chunked:
                self._close()
        return data

    def left(self) -> None:
        self._entry.request_chunk({"type": "http.disconnect"})
        self._end_run()
        self._close()

    async def rest(self, scope: Scope, receive: Receive, send: Send) -> None:
        known = self._known.of(scope)
        host = self._filler.host
        request = Request(host, self._log, scope, receive, send, known=known, entry=self._entry)
        with request, suppress(ClientLeftError):
            if self._plan is not None and self._playback is not None:
                host.store.release(self._task_id, self._task)
                del self._task
                from fake_server.compiled.ordinary import begun_run

                run = begun_run(
                    self._plan,
                    request,
                    self._playback,
                    filler=self._filler,
                    run=self._run,
                    sent=self._timeline[: self._next],
                    recent=self._recent,
                )
                if not self.chunked:
                    await (await run.response())(scope, request.receive, request.send)
                    return
                async with aclosing(run.frames(self._next)) as frames:
                    async for chunk in frames:
                        body = {"type": "http.response.body", "body": chunk, "more_body": True}
                        await request.send(body)
            await request.send({"type": "http.response.body", "body": b""})

    # As a run that the store and the clock know
    # ------------------------------------------------------------------------------------------

    @property
    def outcome(self) -> str:
        return self._filler.form.status

    @property
    def elapsed_s(self) -> float:
        filler = self._filler
        since_s = filler.host.clock.ticks() - self._started
        return filler.pace.timeline_s(since_s, self._run.values[filler.form.ends])

    @property
    def timeline(self) -> None:
        return None

    def stop(self) -> None:
        self.take_over()
        if self._playback is not None:
            self._playback.stop()

    def abandon(self) -> None:
        """From any thread."""
        self._call(self._abandon)

    def wake(self) -> None:
        """From any thread."""
        self._call(self.take_over)

    def end(self) -> None:
        """From any thread."""
        self._call(self._abandon)

    def _abandon(self) -> None:
        self.take_over()
        if self._playback is not None:
            self._playback.abandon()

    def take_over(self) -> None:
        """Let the ordinary path go on, once."""
        host = self._filler.host
        if self.over or self._handed_over:
            return
        self._handed_over = True
        host.clock.remove_wait(self)
        if self._running:
            self._plan = self._recent.plan()
            self._playback = Playback(
                self._plan.timeline,
                host.clock,
                host.settings.speed,
                stop_error=host.spec.run.stop_error,
                started=self._started,
            )
        self._hand_over()

    @property
    def _task_id(self) -> str:
        return str(self._run.values[self._filler.form.task_id])

    def _end_run(self) -> None:
        """The run is over, or nobody waits for it any more."""
        if self._running:
            self._running = False
            self._filler.host.store.end(self._task_id, self._task)

    def _close(self) -> None:
        self.over = True
        del self._task  # which knows this run: a cycle would keep both
        self._filler.host.clock.remove_wait(self)
        self._log.end(self._entry)
