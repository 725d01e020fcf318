"""What the host keeps: runs, their logs, and the users of an app."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any

from dify_wire.app_kind import AppKind
from fake_server.host_spec import HostSpec
from fake_server.http.query import read_query
from fake_server.http.request import Request, endpoint
from fake_server.http.responses import Response
from fake_server.runs.random_values import TENANT_ID, uuid4_for
from fake_server.runs.records import RunRecord
from fake_server.runs.run_body import database_uuid

OWNER_EMAIL = "owner@example.com"
"""The only account of the workspace; no run of the API is by an account."""

_PUBLISHED = "2024-04-24 06:00:00.000000"
"""The version of every workflow: the host gives the time at which it was published."""

_KEYWORD_CHARACTERS = 30


@endpoint("getWorkflowRun")
async def get_workflow_run(request: Request) -> Response:
    """``GET /v1/workflows/run/{workflow_run_id}``: what the host keeps of a run."""
    app, rules = request.app(), request.spec.records
    if app.kind is AppKind.CHAT:
        raise request.spec.errors("not_workflow_app")
    run_id = database_uuid(request.parameters["workflow_run_id"])
    if run_id is None:
        raise request.spec.errors("internal_error")
    await request.host.store.settled()
    record = request.host.store.records.get(run_id)
    if record is not None and record.app_id != app.app_id and not rules.any_app:
        record = None
    if record is None and rules.absent_error is not None:
        raise request.spec.errors(rules.absent_error)
    fields = request.spec.fields["WorkflowRun"]
    if record is None:
        counts = ("total_steps", "total_tokens")
        nothing = {name: rules.absent_count if name in counts else None for name in fields}
        return request.json_response(nothing)
    values = _run(record, request.spec)
    return request.json_response({name: values[name] for name in fields})


def _run(record: RunRecord, spec: HostSpec) -> Mapping[str, Any]:
    rules = spec.records
    outputs: Any = record.outputs
    if outputs is None and record.status == "running":
        outputs = rules.begun_outputs
    if rules.outputs == "object":
        outputs = json.loads(outputs) if outputs else {}
    when: Callable[[float], Any] = int if rules.times == "unix" else formatdate
    return {
        "id": record.run_id,
        "workflow_id": record.workflow_id,
        "status": record.status,
        "inputs": record.inputs,
        "outputs": outputs,
        "error": record.error or None,
        "total_steps": record.total_steps,
        "total_tokens": record.total_tokens,
        "created_at": when(record.started_at),
        "finished_at": None if record.finished_at is None else when(record.finished_at),
        "elapsed_time": record.elapsed_s,
    }


@endpoint("listWorkflowLogs")
async def list_workflow_logs(request: Request) -> Response:
    """``GET /v1/workflows/logs``: the app's runs, the last first, a page of them."""
    app, spec = request.app(), request.spec
    query = read_query(request)
    before, after = (
        _time(query[f"created_at__{side}"], spec) if query[f"created_at__{side}"] else None
        for side in ("before", "after")
    )
    account = query.get("created_by_account")
    if account and account != OWNER_EMAIL:
        raise spec.errors("account_absent", account=account)
    await request.host.store.settled()
    found = [
        record
        for record in request.host.store.records.logged(app.app_id)
        if not account
        and query["status"] in (None, record.status)
        and query.get("created_by_end_user_session_id") in (None, "", record.user)
        and (before is None or record.started_at <= before)
        and (after is None or record.started_at >= after)
        and _has(record, query["keyword"])
    ]
    page, limit = query["page"], query["limit"]
    shown = found[(page - 1) * limit : page * limit]
    page_of_runs = {
        "page": page,
        "limit": limit,
        "total": len(found),
        "has_more": len(found) > page * limit,
        "data": [_ordered(_log(record, spec), spec) for record in shown],
    }
    return request.json_response(page_of_runs)


def _ordered(log: Mapping[str, Any], spec: HostSpec) -> Mapping[str, Any]:
    run = log["workflow_run"]
    values = {**log, "workflow_run": {name: run[name] for name in spec.fields["LoggedRun"]}}
    return {name: values[name] for name in spec.fields["WorkflowLog"]}


def _log(record: RunRecord, spec: HostSpec) -> Mapping[str, Any]:
    finished_at = record.finished_at
    return {
        "id": uuid4_for("log", record.run_id),
        "workflow_run": {
            "id": record.run_id,
            "version": _PUBLISHED,
            "status": record.status,
            "triggered_from": "app-run",
            "error": record.error or None,
            "elapsed_time": record.elapsed_s,
            "total_tokens": record.total_tokens,
            "total_steps": record.total_steps,
            "created_at": int(record.started_at),
            "finished_at": None if finished_at is None else int(finished_at),
            "exceptions_count": record.exceptions,
        },
        "details": None,
        "created_from": "service-api",
        "created_by_role": "end_user",
        "created_by_account": None,
        "created_by_end_user": {
            "id": record.end_user_id,
            "type": spec.records.end_user_type,
            "is_anonymous": False,
            "session_id": record.user,
        },
        "created_at": int((record.logged_at or 0.0) + 0.5),  # rounded by the database
    }


def _has(record: RunRecord, keyword: str | None) -> bool:
    """Whether the host's search finds the record: in the JSON texts, or in the user."""
    word = (keyword or "")[:_KEYWORD_CHARACTERS].lower()
    escaped = json.dumps(word)[1:-1]
    texts = (record.inputs.lower(), (record.outputs or "").lower(), record.user.lower())
    return any(word in text or escaped in text for text in texts)


def _time(text: str, spec: HostSpec) -> float:
    """The unix time of an ISO 8601 text. Raises ``HostError`` as its parser would say it."""
    if len(text) < 4:
        raise spec.errors("value_error", message="ISO string too short")
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        year = text[:4].encode("ascii", "replace")
        message = "Unused components in ISO string"
        if not year.isdigit():
            message = f"invalid literal for int() with base 10: {year!r}"
        raise spec.errors("value_error", message=message) from None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


@endpoint("getEndUser")
async def get_end_user(request: Request) -> Response:
    """``GET /v1/end-users/{end_user_id}``: a user whom a request of the app has named."""
    app, spec = request.app(), request.spec
    await request.host.store.settled()
    user = request.host.store.end_users.get(request.parameters["end_user_id"].lower())
    if user is None or user.app_id != app.app_id:
        raise spec.errors("end_user_absent")
    seen_at = datetime.fromtimestamp(int(user.seen_at), UTC).replace(tzinfo=None).isoformat()
    values = {
        "id": user.end_user_id,
        "tenant_id": TENANT_ID,
        "app_id": user.app_id,
        "type": spec.records.end_user_type,
        "external_user_id": user.name,
        "name": None,
        "is_anonymous": user.anonymous,
        "session_id": user.name,
        "created_at": seen_at,
        "updated_at": seen_at,
    }
    return request.json_response({name: values[name] for name in spec.fields["EndUser"]})
