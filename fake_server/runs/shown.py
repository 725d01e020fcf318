"""A run of late as JSON: where it is, its nodes, its images."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from fake_server.endpoints.running import tool_files
from fake_server.runs.events import (
    ContainerCompleted,
    ContainerStarted,
    NodeFinished,
    NodeRetry,
    NodeStarted,
    Timeline,
    WorkflowFinished,
    WorkflowPaused,
)
from fake_server.runs.recent import RecentRun

if TYPE_CHECKING:
    from fake_server.host_state import HostState

_CLIENT_LEFT = "client left"
_EARLY_S = 0.05
"""A run that ends so shortly before its last second, in seconds of the clock, has ended there."""


class Seen(NamedTuple):
    """A run as it was when somebody looked. ``reached_s`` is None where it went to its end."""

    run: RecentRun
    timeline: Timeline | None
    status: str
    reached_s: float | None
    speed: float | None

    @classmethod
    def of(cls, run: RecentRun, host: HostState) -> Seen:
        speed, task = host.settings.speed, host.store.task(run.task_id)
        if not run.outcome:
            if task is not None:
                playback = task.playback
                return cls(run, playback.timeline, "running", playback.elapsed_s, speed)
            since_s = host.clock.now() - run.about().began_at  # another server plays it
            return cls(run, None, "running", since_s * (speed or 1.0), speed)
        status, reached_s = run.outcome, run.reached_s
        if status in ("succeeded", "partial-succeeded", "failed") and reached_s is not None:
            ends_s = (run.timeline or run.plan().timeline)[-1][0] if run.shown is None else 0.0
            if reached_s < ends_s - _EARLY_S * max(speed or 1.0, 1.0):
                return cls(run, run.timeline, _CLIENT_LEFT, reached_s, speed)
        return cls(run, run.timeline, status, None, speed)

    def to_json(self) -> dict[str, Any]:
        """The run in JSON, secrets included."""
        run = self.run
        if run.shown is not None:
            shown = {**run.shown, "number": run.number, "request_id": run.request_id}
            if self.status == "running" and self.reached_s is not None:
                shown["elapsed_s"] = min(self.reached_s, shown["ends_s"])
            return shown
        plan, about = run.plan(), run.about()
        timeline = self.timeline or plan.timeline
        offset_s = run.earlier[-1][0] if run.earlier else 0.0
        timeline = (*run.earlier, *((offset_s + at_s, event) for at_s, event in timeline))
        end = timeline[-1][1]
        reached_s = timeline[-1][0]
        if self.reached_s is not None:
            reached_s = min(offset_s + self.reached_s, reached_s)
        over = self.status != "running"
        passed = tuple(entry for entry in timeline if entry[0] <= reached_s)
        result = end if over and isinstance(end, WorkflowFinished | WorkflowPaused) else None
        nodes = list(_nodes(timeline, reached_s, over))
        images = {file.file_id: file for _, file in tool_files(passed)}
        inputs = {
            name: value for name, value in about.inputs.items() if not name.startswith("sys.")
        }
        steps = sum(node["status"] != "next" for node in nodes)
        tokens = sum(node["total_tokens"] for node in nodes if not node["inside"])
        return {
            "number": run.number,
            "task_id": run.task_id,
            "run_id": plan.run_id,
            "request_id": run.request_id,
            "app": about.app.name,
            "mode": "streaming" if about.streaming else "blocking",
            "user": about.user,
            "inputs": _plain(inputs),
            "status": self.status,
            "error": getattr(end, "error", None) or getattr(end, "message", None) if over else None,
            "started_at": about.began_at,
            "elapsed_s": reached_s,
            "ends_s": timeline[-1][0],
            "speed": self.speed,
            "total_tokens": result.total_tokens if result else tokens,
            "total_steps": result.total_steps if result else steps,
            "scenarios": list(run.scenarios),
            "nodes": nodes,
            "images": [
                {"file_id": file_id, **file.record._asdict()} for file_id, file in images.items()
            ],
        }


def _nodes(timeline: Timeline, reached_s: float, over: bool) -> Iterator[dict[str, Any]]:
    """The nodes of a run in the order in which they begin; those still to come are "next", and
    left out once the run is over.
    """
    began: dict[str, NodeStarted] = {}
    ended: dict[str, NodeFinished] = {}
    starts_s: dict[str, float] = {}
    tries: dict[str, int] = {}
    for at_s, event in timeline:
        match event:
            case NodeStarted() | ContainerStarted():
                node = event.started if isinstance(event, ContainerStarted) else event
                began.setdefault(node.execution_id, node)
                starts_s.setdefault(node.execution_id, at_s)
            case NodeFinished() | ContainerCompleted():
                finished = event.finished if isinstance(event, ContainerCompleted) else event
                ended[finished.started.execution_id] = finished
            case NodeRetry():
                execution_id = event.attempt.started.execution_id
                tries[execution_id] = tries.get(execution_id, 0) + 1
    for execution_id, node in began.items():
        starts = starts_s[execution_id]
        if over and starts > reached_s:
            continue
        finished_or_not = ended.get(execution_id)
        ends = None
        if finished_or_not is not None:
            took_s = finished_or_not.finished_s - finished_or_not.started.started_s
            ends = starts + max(took_s, 0.0)
        status, is_over = "next", False
        if starts <= reached_s:
            is_over = ends is not None and ends <= reached_s
            status = "stopped" if over else "running"
        end = finished_or_not if is_over else None
        if end is not None:
            status = end.status or "succeeded"
        metadata = (end.execution_metadata if end else None) or {}
        yield {
            "node_id": node.node_id,
            "title": node.title,
            "type": node.node_type,
            "inside": node.place.container,
            "status": status,
            "started_s": starts,
            "elapsed_s": None if ends is None or (over and end is None) else ends - starts,
            "total_tokens": int(metadata.get("total_tokens") or 0),
            "retries": tries.get(execution_id, 0),
            "error": end.error if end else None,
        }


def _plain(value: Any) -> Any:
    """``value`` as JSON has it; a file as its fields."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {key: one for key, one in dataclasses.asdict(value).items() if one is not None}
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value
