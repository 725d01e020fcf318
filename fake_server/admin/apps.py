"""The admin calls for trying an app: what it takes, requests with its key, and programs."""

from __future__ import annotations

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from fake_server.admin.call import Admin, AdminError, Reply, body_of, query_of
from fake_server.examples.requests import KeyExample, curl, key_examples

_PROGRAMS = ("python", "js")

_NOT_PASSED_ON = {b"authorization", b"cookie", b"origin", b"referer", b"x-admin-token"}
"""Headers of the page that calls, and of no client of the host; ``Sec-Fetch-…`` are others."""


async def apps(admin: Admin, request: Request) -> Reply:
    """Every app: its inputs, an example of a request, and why it refuses runs where it does."""
    query_of(request)
    host = admin.host
    once = [one for one in key_examples(host.apps, host.spec) if not one.same_as]
    return Reply({"apps": [_app(one) for one in once]})


def _app(example: KeyExample) -> dict[str, Any]:
    app = example.app
    variables = app.workflow.variables if app.workflow else ()
    return {
        "id": app.app_id,
        "name": app.name,
        "kind": app.kind.value,
        "description": app.description,
        "error": example.error or None,
        "inputs": [
            {
                "name": one.name,
                "label": one.label or one.name,
                "type": one.type,
                "required": one.required,
                "max_length": one.max_length,
                "options": None if one.options is None else list(one.options),
                "default": one.default,
                "file_types": list(one.file_types),
                "upload_methods": list(one.upload_methods),
            }
            for one in variables
        ],
        "example": dict(example.body),
    }


async def as_app(admin: Admin, request: Request) -> ASGIApp:
    """The host's own response to the rest of the path, sent with the key of an app."""
    app_id = request.path_params["app_id"]
    key = next((key for key, app in admin.host.apps.items() if app.app_id == app_id), None)
    if key is None:
        raise AdminError(404, f"no app has the id {app_id!r}; /__admin/apps lists them")
    path = f"/{request.path_params['path']}"
    if f"{path}/".startswith("/__admin/"):
        raise AdminError(404, "the admin API needs no key of an app")
    headers = [
        (name, value)
        for name, value in request.scope["headers"]
        if name not in _NOT_PASSED_ON and not name.startswith(b"sec-")
    ]
    headers.append((b"authorization", f"Bearer {key}".encode("latin-1")))
    inner = {**request.scope, "path": path, "headers": headers}
    if request.scope.get("raw_path"):
        inner["raw_path"] = b"/" + request.scope["raw_path"].split(b"/", 4)[-1]

    async def hosted(_: Scope, receive: Receive, send: Send) -> None:
        await admin.server(inner, receive, send)

    return hosted


async def examples(admin: Admin, request: Request) -> Reply:
    """Programs that send a request; each takes the key from the environment variable API_KEY."""
    from fake_server.examples.programs import LANGUAGES, render

    body = (await body_of(request, "body"))["body"]
    sent = body.mapping()
    if "response_mode" not in sent:
        body.fail("response_mode is needed: blocking or streaming")
    base_url = str(request.base_url).rstrip("/")
    programs = await run_in_threadpool(
        lambda: {one: render(LANGUAGES[one], base_url, None, sent) for one in _PROGRAMS}
    )
    url = f"{base_url}{admin.host.spec.paths['runWorkflow']}"
    return Reply({"curl": curl(url, None, sent, 2), **programs})
