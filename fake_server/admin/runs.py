"""The admin calls for the runs of late: where each is, its nodes, its images; and stopping one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from fake_server.admin.call import Admin, AdminError, Reply, json_bytes, number_of, query_of
from fake_server.endpoints.running import tool_files
from fake_server.journal.matching import in_turns
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

MOST_RUNS = 200
"""The most runs that one call gives."""

_CLIENT_LEFT = "client left"
_EARLY_S = 0.05
"""A run that ends so shortly before its last second, in seconds of the clock, has ended there."""


async def runs(admin: Admin, request: Request) -> Reply:
    """The runs of late, the newest first."""
    query = query_of(request, "limit", "before", "app", "status", "text")
    limit = number_of(query["limit"]).whole(1, MOST_RUNS) if "limit" in query else 50
    before = number_of(query["before"]).whole(0) if "before" in query else None
    app = query["app"].text() if "app" in query else None
    status = query["status"].text() if "status" in query else None
    text = query["text"].text().casefold() if "text" in query else ""
    recent, found = admin.host.store.recent, []
    for run in recent.newest():
        if (
            (before is None or run.number < before)
            and (app is None or app in (run.about().app.name, run.about().app.app_id))
            and (not text or _has(run, text))
        ):
            seen = _Seen.of(run, admin)
            if status in (None, seen.status):
                found.append(seen)
        if len(found) == limit:
            break
    last, forgotten = recent.last_number, recent.forgotten
    return Reply(await run_in_threadpool(_as_json, admin, found, last, forgotten))


def _has(run: RecentRun, text: str) -> bool:
    """Whether ``text`` stands in the user or an input of the run, or begins its id."""
    if run.task_id.startswith(text):
        return True
    about = run.about()
    return any(text in str(one).casefold() for one in (about.user, *about.inputs.values()))


def _as_json(admin: Admin, found: Sequence[_Seen], last: int, forgotten: int) -> bytes:
    shown = b", ".join(json_bytes(_shown(admin, seen)) for seen in in_turns(found))
    return b'{"runs": [%b], "last": %d, "forgotten": %d}' % (shown, last, forgotten)


async def run(admin: Admin, request: Request) -> Reply:
    """One run."""
    seen = _Seen.of(_recent(admin, request), admin)
    return Reply(json_bytes(await run_in_threadpool(_shown, admin, seen)))


async def stop_run(admin: Admin, request: Request) -> Reply:
    """Stop a run, as its own app and user can."""
    run = _recent(admin, request)
    status = _Seen.of(run, admin).status
    if status != "running":
        raise AdminError(409, f"the run has ended: {status}")
    await admin.commands.everywhere("stop", run.task_id)
    return Reply({"stopped": True})


async def image(admin: Admin, request: Request) -> Response:
    """An image, drawn when it is first needed."""
    file_id, store = request.path_params["file_id"], admin.host.store
    stored = store.images.get(file_id)
    if stored is None:
        raise AdminError(404, f"no image has the id {file_id!r}")
    png = await store.png(file_id, stored.record)
    return Response(png, media_type="image/png")


def _recent(admin: Admin, request: Request) -> RecentRun:
    task_id = request.path_params["task_id"]
    found = admin.host.store.recent.get(task_id)
    if found is None:
        raise AdminError(404, f"no run of late has the task id {task_id!r}")
    return found


class _Seen(NamedTuple):
    """A run as it was when somebody looked. ``reached_s`` is None where it went to its end."""

    run: RecentRun
    timeline: Timeline | None
    status: str
    reached_s: float | None
    request_id: int

    @classmethod
    def of(cls, run: RecentRun, admin: Admin) -> _Seen:
        task = admin.host.store.task(run.task_id)
        if not run.outcome and task is not None:
            playback = task.playback
            return cls(run, playback.timeline, "running", playback.elapsed_s, run.request_id)
        status, reached_s = run.outcome or "running", run.reached_s
        if status in ("succeeded", "partial-succeeded", "failed") and reached_s is not None:
            timeline = run.timeline or run.plan().timeline
            speed = admin.host.settings.speed or 1.0
            if reached_s < timeline[-1][0] - _EARLY_S * max(speed, 1.0):
                return cls(run, timeline, _CLIENT_LEFT, reached_s, run.request_id)
        return cls(run, run.timeline, status, None, run.request_id)


def _shown(admin: Admin, seen: _Seen) -> dict[str, Any]:
    """The run as JSON, without secrets."""
    run, plan, about = seen.run, seen.run.plan(), seen.run.about()
    timeline = seen.timeline or plan.timeline
    offset_s = run.earlier[-1][0] if run.earlier else 0.0
    timeline = (*run.earlier, *((offset_s + at_s, event) for at_s, event in timeline))
    end = timeline[-1][1]
    reached_s = timeline[-1][0] if seen.reached_s is None else offset_s + seen.reached_s
    over = seen.status != "running"
    passed = tuple(entry for entry in timeline if entry[0] <= reached_s)
    result = end if over and isinstance(end, WorkflowFinished | WorkflowPaused) else None
    nodes = list(_nodes(timeline, reached_s, over))
    images = {file.file_id: file for _, file in tool_files(passed)}
    inputs = {name: value for name, value in about.inputs.items() if not name.startswith("sys.")}
    value = {
        "number": run.number,
        "task_id": run.task_id,
        "run_id": plan.run_id,
        "request_id": seen.request_id,
        "app": about.app.name,
        "mode": "streaming" if about.streaming else "blocking",
        "user": about.user,
        "inputs": _plain(inputs),
        "status": seen.status,
        "error": getattr(end, "error", None) or getattr(end, "message", None) if over else None,
        "started_at": about.began_at,
        "elapsed_s": reached_s,
        "ends_s": timeline[-1][0],
        "speed": admin.host.settings.speed,
        "total_tokens": (
            sum(node["total_tokens"] for node in nodes if not node["inside"])
            if result is None
            else result.total_tokens
        ),
        "total_steps": result.total_steps if result else sum(n["status"] != "next" for n in nodes),
        "scenarios": list(run.scenarios),
        "nodes": nodes,
        "images": [
            {"file_id": file_id, **file.record._asdict()} for file_id, file in images.items()
        ],
    }
    return _redacted(admin, value)


_TEXTS = ("app", "user", "inputs", "error", "scenarios")
_TEXTS_INSIDE = {"nodes": ("title", "error"), "images": ("prompt", "negative_prompt", "model")}


def _redacted(admin: Admin, value: Mapping[str, Any]) -> dict[str, Any]:
    """``value`` without secrets in what clients and files of apps wrote; to search ids, times and
    numbers of our own as well takes five times as long.
    """
    texts = {name: value[name] for name in _TEXTS}
    for name, keys in _TEXTS_INSIDE.items():
        texts[name] = [{key: one[key] for key in keys} for one in value[name]]
    shown = admin.reading.redactor.value(texts)
    for name in _TEXTS_INSIDE:
        shown[name] = [{**one, **text} for one, text in zip(value[name], shown[name], strict=True)]
    return {**value, **shown}


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
