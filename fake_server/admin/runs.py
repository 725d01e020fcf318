"""The admin calls for the runs of late: where each is, its nodes, its images; and stopping one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from fake_server.admin.call import Admin, AdminError, Reply, json_bytes, number_of, query_of
from fake_server.journal.matching import in_turns
from fake_server.runs.recent import RecentRun
from fake_server.runs.shown import Seen

MOST_RUNS = 200
"""The most runs that one call gives."""


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
            seen = Seen.of(run, admin.host)
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


def _as_json(admin: Admin, found: Sequence[Seen], last: int, forgotten: int) -> bytes:
    shown = b", ".join(json_bytes(_shown(admin, seen)) for seen in in_turns(found))
    return b'{"runs": [%b], "last": %d, "forgotten": %d}' % (shown, last, forgotten)


async def run(admin: Admin, request: Request) -> Reply:
    """One run."""
    seen = Seen.of(_recent(admin, request), admin.host)
    return Reply(json_bytes(await run_in_threadpool(_shown, admin, seen)))


async def stop_run(admin: Admin, request: Request) -> Reply:
    """Stop a run, as its own app and user can."""
    run = _recent(admin, request)
    status = Seen.of(run, admin.host).status
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


def _shown(admin: Admin, seen: Seen) -> dict[str, Any]:
    return _redacted(admin, seen.to_json())


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
