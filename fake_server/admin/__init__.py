"""The API of the fake itself, under ``/__admin/``: nothing of it is the host's. ``admin.yaml``
describes it.

    call   what a call reads, checked, and what it gives back
    calls  health, settings, metrics, scenarios, clock, reset, and the journal's requests

Here are the table of calls and what all of them share: access, errors, redaction. The package is
imported with the first call, so a fake without admin calls does not pay for it.

The API is open to this machine, or with the token, and to no web page of another origin that
``--admin-origin`` does not name. A page in a browser on this machine can send requests to loopback
addresses too, under its own name's address as well (DNS rebinding): so the ``Host`` header has to
name this machine, and a page's origin has to be this server's own or a named one. Only responses to
a named one carry CORS headers.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from dify_wire.strict import unknown
from fake_server.admin import calls
from fake_server.admin.call import Admin, AdminCall, AdminError, json_bytes
from fake_server.host_state import HostState
from fake_server.journal.reading import JournalReader
from fake_server.scenarios.rules import RuleBook
from fake_server.settings import Settings

ROUTES: Mapping[str, Mapping[str, AdminCall]] = {
    "/__admin/health": {"GET": calls.health},
    "/__admin/metrics": {"GET": calls.metrics},
    "/__admin/settings": {"GET": calls.settings},
    "/__admin/openapi.yaml": {"GET": calls.description},
    "/__admin/scenarios": {
        "GET": calls.scenarios,
        "POST": calls.add_scenarios,
        "DELETE": calls.remove_scenarios,
    },
    "/__admin/requests": {"GET": calls.requests, "DELETE": calls.forget_requests},
    "/__admin/requests/wait": {"POST": calls.wait},
    "/__admin/requests/verify": {"POST": calls.verify},
    "/__admin/clock": {"GET": calls.clock, "POST": calls.move_clock},
    "/__admin/reset": {"POST": calls.reset},
}


def admin_app(host: HostState, rules: RuleBook, reset: Callable[[int | None], None]) -> ASGIApp:
    """The admin API of ``host`` as an ASGI app."""
    admin = Admin(host, rules, reset, JournalReader(host))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = await _respond(admin, Request(scope, receive))
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


async def _respond(admin: Admin, request: Request) -> Response:
    headers: dict[str, str] = {}
    try:
        check_access(request, admin.host.settings)
        path, method = request.scope["path"], request.method
        if path not in ROUTES:
            raise AdminError(404, unknown("admin path", path, ROUTES))
        call = ROUTES[path].get("GET" if method == "HEAD" else method)
        if call is None:
            headers["Allow"] = ", ".join(sorted(ROUTES[path]))
            raise AdminError(405, f"{method} is not allowed here; use {headers['Allow']}")
        reply = await call(admin, request)
    except AdminError as error:
        place = {} if error.place is None else {"place": error.place}
        value = {"error": {"message": error.message, **place}, **error.fields}
        return _json(json_bytes(admin.reading.redactor.value(value)), error.status, headers)
    if isinstance(reply, Response):
        return reply
    body = reply.value
    if not isinstance(body, bytes):
        body = json_bytes(admin.reading.redactor.value(body))
    return _json(body, reply.status, headers)


def _json(body: bytes, status: int, headers: Mapping[str, str]) -> Response:
    return Response(body + b"\n", status, headers, "application/json")


def check_access(request: Request, settings: Settings) -> None:
    """Raise ``AdminError`` (403) where ``request`` may not call the admin API."""
    _check_origin(request, settings.admin_origins)
    tokens = request.headers.getlist("x-admin-token")
    if tokens:
        _check_token(tokens, settings.admin_token)
        return
    hosts = request.headers.getlist("host")
    hint = "send the admin token as X-Admin-Token"
    if not settings.admin_token:
        hint = "start the server with --admin-token and send that token as X-Admin-Token"
    if not is_loopback(settings.host):
        raise AdminError(403, f"the server listens on {settings.host}, not only loopback; {hint}")
    if len(hosts) != 1 or not is_loopback(re.sub(r":\d*\Z", "", hosts[0])):
        raise AdminError(
            403,
            f"the Host header ({', '.join(hosts) or 'missing'}) is not a loopback name; "
            f"use localhost or 127.0.0.1, or {hint}",
        )


def is_loopback(name: str) -> bool:
    """Whether ``name`` (an address or a host's name, without a port) can only mean this machine."""
    name = name.lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False


def _check_origin(request: Request, allowed: Sequence[str]) -> None:
    origins = request.headers.getlist("origin")
    if len(origins) == 1 and origins[0] in allowed:
        return
    own = f"{request.url.scheme}://{request.headers.get('host', '')}".lower()
    found = [f"Origin: {one}; ours: {own}" for one in origins if one.lower() != own]
    site = request.headers.get("sec-fetch-site", "none")
    if site not in ("same-origin", "none"):
        found.append(f"Sec-Fetch-Site: {site}")
    if found:
        raise AdminError(
            403,
            f"a web page of another origin may not call this ({found[0]}); "
            "if the page is yours, start the server with --admin-origin and its origin",
        )


def _check_token(tokens: list[str], expected: str | None) -> None:
    if expected is None:
        raise AdminError(
            403,
            "an X-Admin-Token is sent, but the server has none; "
            "leave it out, or start with --admin-token",
        )
    token = tokens[0].encode("latin-1")
    if len(tokens) != 1 or not hmac.compare_digest(token, expected.encode("ascii")):
        raise AdminError(403, "the X-Admin-Token is not the one of --admin-token")
