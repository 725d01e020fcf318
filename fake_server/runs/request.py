"""The checks of a run's request in the host's order (FACTS 3), up to a frozen ``RunRequest``.

    key -> app -> JSON -> user -> (end user is written) -> app mode -> inputs, files,
    response_mode -> limit of active runs -> published -> files -> variables

The first error wins, and its text is the host's. What is checked before the files is refused at
once; from the files on, later versions check a stream in the background, where no error reaches the
client.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from dify_wire.app_kind import AppKind
from fake_server.host_spec import HostErrors, HostSpec
from fake_server.runs.file_sources import FileSources, Owner
from fake_server.runs.input_files import FileFinder
from fake_server.runs.inputs import cleaned_inputs
from fake_server.runs.random_values import end_user_id
from fake_server.runs.run_body import RunBody, run_body, user_text
from fake_server.workflow.model import App, Workflow


class ActiveRuns(Protocol):
    """How many runs of an app are being played; with ``blocking`` those without a stream."""

    def __call__(self, app_id: str, *, blocking: bool) -> int: ...


class AcceptedBody(NamedTuple):
    """A request whose body is right, for an app that has a workflow."""

    app_id: str
    workflow: Workflow
    user: str
    body: RunBody

    @property
    def streaming(self) -> bool:
        return self.body.streaming


class RunRequest(NamedTuple):
    """A request that the host would run; ``inputs`` are cleaned, ``sys.files`` last."""

    workflow: Workflow
    inputs: Mapping[str, Any]
    user: str
    streaming: bool


def accepted_body(
    body: Mapping[str, Any],
    app: App,
    active: ActiveRuns,
    spec: HostSpec,
    workflow_id: str | None = None,
) -> AcceptedBody:
    """Check the parsed ``body`` of a run for ``app``, of the version ``workflow_id`` of its
    workflow where that is given. Raises ``HostError``.
    """
    user = user_text(body.get("user"), True, spec)
    assert user is not None
    if app.kind is AppKind.CHAT:
        raise spec.errors("not_workflow_app")
    fields = run_body(body, spec)
    if app.workflow is not None and app.workflow.max_active_requests:
        _check_active(app.app_id, app.workflow.max_active_requests, fields.streaming, active, spec)
    return AcceptedBody(app.app_id, _published(app, workflow_id, spec.errors), user, fields)


def _published(app: App, workflow_id: str | None, errors: HostErrors) -> Workflow:
    if workflow_id is None:
        if app.workflow is None:
            raise errors("workflow_unpublished")
        return app.workflow
    try:
        wanted = str(uuid.UUID(workflow_id))
    except ValueError:
        raise errors("workflow_id_malformed", workflow_id=workflow_id) from None
    if wanted not in app.versions:
        raise errors("workflow_absent", workflow_id=workflow_id)
    return app.versions[wanted]


def _check_active(
    app_id: str, limit: int, streaming: bool, active: ActiveRuns, spec: HostSpec
) -> None:
    """Refuse a run beyond the limit of the app [C: limited_second_block].

    ``streams_twice``: with a limit of 1 no stream ever runs, and those that run do not count
    [C: limited_first_stream, limit2_second_stream].
    """
    rule = spec.request.active_runs
    if rule == "unlimited":
        return
    running = active(app_id, blocking=rule == "streams_twice")
    if running + (streaming and rule == "streams_twice") >= limit:
        raise spec.errors("too_many_requests", app=app_id, limit=limit)


def run_request(accepted: AcceptedBody, sources: FileSources, spec: HostSpec) -> RunRequest:
    """Check files and start variables of a request. Raises ``HostError``."""
    app_id, workflow, user, body = accepted

    def finder() -> FileFinder:
        return FileFinder(sources, Owner(app_id, end_user_id(app_id, user)), spec)

    files = finder().body_files(body.files, workflow.features) if body.files else []
    inputs = cleaned_inputs(workflow.variables, body.inputs, finder, spec)
    inputs["sys.files"] = files
    return RunRequest(workflow, inputs, user, body.streaming)
