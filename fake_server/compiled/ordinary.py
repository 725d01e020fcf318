"""Makes of a compiled run the ordinary one, in the middle of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from fake_server.compiled.compile import Part, plan_run
from fake_server.compiled.filling import PING, Filled, Filler
from fake_server.endpoints.running import Run, RunPlan, SignedUrls
from fake_server.host_spec import HostSpec
from fake_server.http.request import Request
from fake_server.runs.frames import FrameRenderer
from fake_server.runs.playback import Playback
from fake_server.runs.random_values import TENANT_ID, RandomValues
from fake_server.runs.recent import About, RecentRun
from fake_server.runs.render import FileWriter, RunFacts
from fake_server.runs.run_body import STREAMING
from fake_server.scenarios.effects import NO_EFFECTS
from fake_server.store import RunningTask


class _Redrawn(RandomValues):
    """Draws once more what has been drawn, and anew what was left out (None)."""

    def __init__(self, drawn: Iterable[Any]) -> None:
        super().__init__()
        self._drawn = iter(drawn)
        self._others = RandomValues()

    def uuid(self) -> str:
        return next(self._drawn) or self._others.uuid()

    def vary(self, value: float, spread: float) -> float:
        drawn = next(self._drawn)
        return self._others.vary(value, spread) if drawn is None else float(drawn)

    def getrandbits(self, k: int, /) -> int:
        drawn = next(self._drawn)
        return self._others.getrandbits(k) if drawn is None else int(drawn)


class _SignedBefore:
    """The URLs of the parts that have been sent, in their order, then others."""

    def __init__(self, sent: Iterator[str], others: SignedUrls) -> None:
        self._sent, self._others = sent, others

    def tool_file(self, file_id: str, extension: str) -> str | None:
        return next(self._sent, None) or self._others.tool_file(file_id, extension)

    def uploaded(self, file_id: str) -> str | None:
        return self._others.uploaded(file_id)


def planned(about: About, drawn: Iterable[Any], spec: HostSpec) -> RunPlan:
    """The plan of a run from the values that it has ``drawn``."""
    mode = STREAMING if about.streaming else "blocking"
    body = {"inputs": about.inputs, "response_mode": mode, "user": about.user}
    random = _Redrawn(drawn)
    return plan_run(about.app, body, spec, NO_EFFECTS, random, now=about.began_at)


def begun_run(
    plan: RunPlan,
    request: Request,
    playback: Playback,
    *,
    filler: Filler,
    run: Filled,
    sent: Sequence[tuple[float, int]],
    recent: RecentRun,
) -> Run:
    """The run of ``plan``, of which the frames of ``sent`` have been sent."""
    form, spec, values = filler.form, filler.host.spec, run.values
    parts: list[Part] = [form.parts[number] for _, number in sent if number != PING]
    urls = _SignedBefore(iter([values[url.slot] for one in parts for url in one.urls]), run.urls)
    facts = RunFacts(
        task_id=plan.task_id,
        workflow_run_id=plan.run_id,
        workflow_id=plan.request.workflow.workflow_id,
        sequence_number=values[form.sequence_number],
        end_user_id=values[form.end_user_id],
        user=run.user,
        started_at=values[form.started_at],
    )
    files = FileWriter(TENANT_ID, spec.fields["File"], spec.files, urls)
    renderer = FrameRenderer(facts, spec, files, plan.ping.frame)
    for _, event in plan.timeline[: len(sent)]:
        renderer.frame(event)  # which shows files of it again, with the same URLs
    task = RunningTask(filler.app.app_id, run.user, playback, form.streaming, recent)
    return Run(plan, request, playback, task, renderer)
