"""Plans a run: from an accepted request and its scenarios to what a stream or a response shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fake_server.host_spec import HostSpec, PingRule
from fake_server.runs.engine import plan, with_pings
from fake_server.runs.events import FileRef, NodeFinished, NodeStarted, RunError, Timeline
from fake_server.runs.playback import Stretch
from fake_server.runs.random_values import RandomValues
from fake_server.runs.render import of_version
from fake_server.runs.request import RunRequest
from fake_server.runs.text_chunks import with_text_chunks
from fake_server.scenarios.effects import Effects
from fake_server.workflow.model import App


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


def tool_files(timeline: Timeline) -> Iterator[FileRef]:
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
