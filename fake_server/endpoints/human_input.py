"""Forms for which a run waits, and watching a run from outside (FACTS of 1.14.2, 9)."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from starlette.types import ASGIApp

from dify_wire.app_kind import AppKind
from fake_server.http.query import read_query
from fake_server.http.request import Request, endpoint
from fake_server.http.responses import JSON, Response
from fake_server.http.validation_text import Invalid, missing, validation_text
from fake_server.runs.events import HumanInputFilled
from fake_server.runs.records import HumanForm, RunRecord
from fake_server.runs.run_body import database_uuid
from fake_server.runs.snapshot import finished_frame

_PAYLOAD = "HumanInputFormSubmitPayload"
_FIELDS = (("inputs", dict, "dictionary", "dict_type"), ("action", str, "string", "string_type"))
_OUTPUT = re.compile(r"\{\{#\$output\.([^#{}]+)#\}\}")

_PING_S = 10.0
_IDLE_S = 300.0
"""A stream of a watched run ends after that long without an event."""


@endpoint("getHumanInputForm")
async def get_human_input_form(request: Request) -> Response:
    """``GET /v1/form/human_input/{form_token}``: the form, until it is sent."""
    await request.host.store.settled()
    form = _open_form(request)
    values = {
        "form_content": form.values.get("form_content"),
        "inputs": form.values.get("inputs"),
        "resolved_default_values": {
            name: str(value)
            for name, value in (form.values.get("resolved_default_values") or {}).items()
        },
        "user_actions": form.values.get("actions"),
        "expiration_time": int(form.expires_at),
    }
    fields = request.spec.fields["HumanInputForm"]
    text = json.dumps({name: values[name] for name in fields}, ensure_ascii=False)
    return request.response(200, JSON, text.encode("utf-8", "replace"))


@endpoint("submitHumanInputForm")
async def submit_human_input_form(request: Request) -> Response:
    """``POST /v1/form/human_input/{form_token}``: the run goes on by the action."""
    request.app()
    body = await request.json()
    await request.user()
    _check_payload(request, body)
    await request.host.store.settled()
    form = _open_form(request)
    action, inputs, errors = body["action"], body["inputs"], request.spec.errors
    titles = {one["id"]: one["title"] for one in form.values.get("actions") or ()}
    if action not in titles:
        raise errors("form_data_invalid", message=f"Invalid action: {action}")
    names = [one["output_variable_name"] for one in form.values.get("inputs") or ()]
    if absent := [name for name in names if name not in inputs]:
        text = f"Missing required inputs: {', '.join(absent)}"
        raise errors("form_data_invalid", message=text)
    form.submitted = True
    content = str(form.values.get("form_content"))
    rendered = _OUTPUT.sub(lambda found: str(inputs.get(found[1], found[0])), content)
    node_id, title = form.values["node_id"], form.values["node_title"]
    await form.fill(HumanInputFilled(node_id, title, rendered, action, titles[action]), inputs)
    return request.json_response({})


def _check_payload(request: Request, body: Mapping[str, Any]) -> None:
    problems = []
    for name, kind, word, fault in _FIELDS:
        if name not in body:
            problems.append(missing(name, body))
        elif not isinstance(body[name], kind):
            problems.append(Invalid(name, f"Input should be a valid {word}", fault, body[name]))
    if problems:
        raise request.spec.errors("value_error", message=validation_text(_PAYLOAD, problems))


def _open_form(request: Request) -> HumanForm:
    """The form of the path. Raises ``HostError`` where it is not the app's, sent, or expired."""
    app, errors = request.app(), request.spec.errors
    form = request.host.store.forms.get(request.parameters["form_token"])
    if form is None or form.app_id != app.app_id:
        raise errors("form_absent")
    if form.submitted:
        raise errors("form_submitted", form_id=form.values.get("form_id"))
    if form.expires_at <= request.host.clock.now():
        raise errors("form_expired", form_id=form.values.get("form_id"))
    return form


@endpoint("watchWorkflowRun")
async def watch_workflow_run(request: Request) -> ASGIApp:
    """``GET /v1/workflow/{task_id}/events``: what happens in a run of the user from now on."""
    from fake_server.http.event_stream import EventStream

    app, spec = request.app(), request.spec
    user = await request.user()
    if app.kind is AppKind.CHAT:
        raise spec.errors("not_workflow_app")
    run_id = database_uuid(request.parameters["task_id"])
    if run_id is None:
        raise spec.errors("internal_error")
    await request.host.store.settled()
    record = request.host.store.records.get(run_id)
    if record is None or (record.app_id, record.user) != (app.app_id, user):
        raise spec.errors("run_of_user_absent")
    query = read_query(request)
    wanted = {
        name: str(query[name]).lower() == "true"
        for name in ("include_state_snapshot", "continue_on_pause")
    }
    headers = request.complete_headers(
        (b"Content-Type", b"text/event-stream; charset=utf-8"), (b"Cache-Control", b"no-cache")
    )
    if record.finished_at is not None:
        return EventStream(_one_frame(finished_frame(record, spec)), headers)
    return EventStream(_watched(request, record, **wanted), headers)


async def _one_frame(frame: bytes) -> AsyncGenerator[bytes]:
    yield frame


async def _watched(
    request: Request, record: RunRecord, *, include_state_snapshot: bool, continue_on_pause: bool
) -> AsyncGenerator[bytes]:
    """A ping, on demand what has happened so far, then what happens."""
    host, spec, receive = request.host, request.spec, request.receive
    speed = host.settings.speed or 1.0
    last = {"workflow_finished"} | (set() if continue_on_pause else {"workflow_paused"})
    if continue_on_pause and not include_state_snapshot:
        last = set()  # on this host only _IDLE_S without an event ends the stream
    watcher = record.feed.watch(host.clock)
    try:
        yield spec.ping.frame
        if include_state_snapshot and record.live is not None:
            for frame in record.live.snapshot():
                yield frame
            if record.status == "paused" and not continue_on_pause:
                await watcher.pause(spec.stream.closing_s / speed, receive)
                return
        async for event, sent in watcher.frames(_PING_S / speed, _IDLE_S / speed, receive):
            yield spec.ping.frame if sent is None else sent
            if event in last:
                await watcher.pause(spec.stream.closing_s / speed, receive)
                return
    finally:
        record.feed.leave(watcher)
