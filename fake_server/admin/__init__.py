"""The API of the fake itself, under ``/__admin/``: nothing of it is the host's. ``admin.yaml``
describes it.

    call     what a call reads, checked, and what it gives back
    calls    health, settings, metrics, scenarios, clock, reset, and the journal's requests
    runs     the runs of late, their images, and stopping one
    apps     the apps, requests with the key of one, and programs that send them
    changes  the stream that tells a console when to look again
    reference  the document, what its version does otherwise, the last report, what is replayed

Here are the table of calls and what all of them share: access, errors, redaction. The package is
imported with the first call, so a fake without admin calls does not pay for it.

``fake_server.access`` decides who may call. Only responses to an origin of ``--admin-origin`` carry
CORS headers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from dify_wire.strict import unknown
from fake_server import console
from fake_server.access import AccessDeniedError, check_access
from fake_server.admin import apps, calls, reference, runs
from fake_server.admin.call import Admin, AdminCall, AdminError, Reply, json_bytes
from fake_server.admin.changes import Changes
from fake_server.commands import Commands
from fake_server.host_state import HostState
from fake_server.journal.reading import JournalReader
from fake_server.scenarios.rules import RuleBook
from fake_server.settings import Settings
from fake_server.shared.log import LogError

if TYPE_CHECKING:
    from fake_server.replay import Replay

INDEX = "/__admin/"


async def index(admin: Admin, request: Request) -> Reply:
    """These calls; for a browser the console."""
    listed = [
        {"method": method, "path": path, "summary": (call.__doc__ or "").partition("\n")[0]}
        for path, methods in ROUTES.items()
        for method, call in methods.items()
    ]
    return Reply({"calls": listed})


ROUTES: Mapping[str, Mapping[str, AdminCall]] = {
    INDEX: {"GET": index},
    "/__admin/health": {"GET": calls.health},
    "/__admin/metrics": {"GET": calls.metrics},
    "/__admin/settings": {"GET": calls.settings},
    "/__admin/openapi.yaml": {"GET": calls.description},
    "/__admin/events": {"GET": calls.changes},
    "/__admin/runs": {"GET": runs.runs},
    "/__admin/runs/{task_id}": {"GET": runs.run},
    "/__admin/runs/{task_id}/stop": {"POST": runs.stop_run},
    "/__admin/images/{file_id}": {"GET": runs.image},
    "/__admin/apps": {"GET": apps.apps},
    "/__admin/as/{app_id}/{path}": {"GET": apps.as_app, "POST": apps.as_app},
    "/__admin/examples": {"POST": apps.examples},
    "/__admin/behaviours": {"GET": calls.behaviours},
    "/__admin/spec": {"GET": reference.spec},
    "/__admin/profile": {"GET": reference.profile},
    "/__admin/report": {"GET": reference.report},
    "/__admin/recordings": {"GET": reference.recordings},
    "/__admin/scenarios": {
        "GET": calls.scenarios,
        "POST": calls.add_scenarios,
        "DELETE": calls.remove_scenarios,
    },
    "/__admin/requests": {"GET": calls.requests, "DELETE": calls.forget_requests},
    "/__admin/requests/wait": {"POST": calls.wait},
    "/__admin/requests/verify": {"POST": calls.verify},
    "/__admin/requests/{id}": {"GET": calls.one_request},
    "/__admin/clock": {"GET": calls.clock, "POST": calls.move_clock},
    "/__admin/reset": {"POST": calls.reset},
}


_PATTERNS = [
    (compile_path(path.replace("{path}", "{path:path}"))[0], methods)
    for path, methods in ROUTES.items()
]


def admin_app(
    host: HostState,
    rules: RuleBook,
    commands: Commands,
    server: ASGIApp,
    *,
    replay: Replay | None,
    create_app: Callable[[Settings], ASGIApp],
) -> ASGIApp:
    """The admin API of ``host`` as an ASGI app. For the rest see ``Admin``."""
    reading, changes = JournalReader(host), Changes(host, rules)
    admin = Admin(host, rules, commands, server, reading, changes, replay, create_app)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        file = console.file_of(request)
        try:
            response = await _respond(admin, request) if file is None else console.response(file)
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    origins = host.settings.admin_origins
    with_cors = CORSMiddleware(
        app, origins, ["GET", "POST", "DELETE"], ["Content-Type", "X-Admin-Token"]
    )

    async def with_cors_for_origins(scope: Scope, receive: Receive, send: Send) -> None:
        chosen = with_cors if Headers(scope=scope).get("origin") in origins else app
        await chosen(scope, receive, send)

    return with_cors_for_origins if origins else app


async def _respond(admin: Admin, request: Request) -> ASGIApp:
    headers: dict[str, str] = {}
    try:
        try:
            check_access(request, admin.host.settings)
        except AccessDeniedError as error:
            raise AdminError(403, str(error)) from None
        path, method = request.scope["path"], request.method
        path = INDEX if path == INDEX.rstrip("/") else path
        methods = None
        for pattern, found in _PATTERNS:
            if match := pattern.match(path):
                methods, request.scope["path_params"] = found, match.groupdict()
                break
        if methods is None:
            raise AdminError(404, unknown("admin path", path, ROUTES))
        call = methods.get("GET" if method == "HEAD" else method)
        if call is None:
            headers["Allow"] = ", ".join(sorted(methods))
            raise AdminError(405, f"{method} is not allowed here; use {headers['Allow']}")
        try:
            await admin.host.store.settled()
            reply = await call(admin, request)
        except LogError as error:
            if call is not calls.health:
                raise AdminError(503, f"the store cannot be reached: {error}") from None
            reply = await call(admin, request)
    except AdminError as error:
        place = {} if error.place is None else {"place": error.place}
        value = {"error": {"message": error.message, **place}, **error.fields}
        return _json(json_bytes(admin.reading.redactor.value(value)), error.status, headers)
    if not isinstance(reply, Reply):
        return reply
    body = reply.value
    if not isinstance(body, bytes):
        body = json_bytes(admin.reading.redactor.value(body))
    return _json(body, reply.status, headers)


def _json(body: bytes, status: int, headers: Mapping[str, str]) -> Response:
    return Response(body + b"\n", status, headers, "application/json")
