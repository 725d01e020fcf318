"""What the head of a request means to the host, before anything of its body is read: the responses
of nginx, gunicorn and the router, the operation, the app of the key, the headers of a response.

Clients send heads that mean the same again and again, so what the last ones mean is kept. Of a
header that nobody here looks into only its name and its size have a meaning: a client may number
its requests.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from starlette.types import ASGIApp, Scope

from fake_server.bounded import BoundedDict
from fake_server.host_spec import HostError, HostSpec, Operation
from fake_server.host_state import HostState
from fake_server.http import error_pages
from fake_server.http.nginx import APP_CRASHED, Nginx
from fake_server.http.quick import LONGEST_KNOWN, QuickResponder
from fake_server.http.responses import (
    HTML,
    JSON,
    SCENARIO_HEADER,
    HostHeaders,
    RawHeaders,
    Response,
    app_response,
    json_bytes,
)
from fake_server.http.routing import NoMatch, Router
from fake_server.settings import DEFAULT_API_KEY
from fake_server.workflow.model import App

REQUESTS = 256
"""So many heads are known, the newest."""

_MEANINGFUL = frozenset(
    b"host authorization content-type origin access-control-request-method"
    b" access-control-request-headers access-control-request-private-network".split()
) | {SCENARIO_HEADER}
"""Headers whose values decide what is known here."""


@dataclass(slots=True)
class KnownRequest:
    """What a request means by its head."""

    headers: Mapping[bytes, bytes]
    """Those that mean something, ``joined``."""
    added: RawHeaders
    """The headers of CORS and the app, which follow a response's own."""
    refusal: ASGIApp | None
    """The response of nginx or gunicorn, where they do not pass the request on."""
    content_type: str
    unrouted: Response | None = None
    """The app's response where no operation has the path and method."""
    operation: Operation | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    app: App | None = None
    """The app behind the key; None where there is none, and ``app_error`` names the error."""
    app_error: str = ""
    errors: dict[str, Response] = field(default_factory=dict)
    """The responses of errors that are the same each time, by their names, once they were sent."""
    responder: QuickResponder | None = None
    """What responds to it without a task, once that was looked for and found."""

    def authorised(self, host: HostState) -> App:
        """The app behind the key. Raises ``HostError``."""
        if self.app is not None:
            return self.app
        if self.app_error:
            raise host.spec.errors(self.app_error)
        return authorised_app(self.headers.get(b"authorization"), host.apps, host.spec)

    def error_response(self, error: HostError, host: HostState, path: str) -> Response:
        """The response of an error, with what the version adds to errors of its status."""
        if error.fixed and error.name in self.errors:
            return self.errors[error.name]
        rules, body = host.spec.http, dict(error.body)
        own = []
        if error.status == 401 and rules.www_authenticate:
            own = [(b"WWW-Authenticate", rules.www_authenticate.encode())]
        if error.status == 404 and rules.not_found_hints and "message" in body:
            body["message"] = host.hints.added(str(body["message"]), path)
        data = json_bytes(body, rules.error_json)
        response = app_response(error.status, JSON, data, self.added, *own)
        if error.fixed:
            self.errors[error.name] = response
        return response


class KnownRequests:
    """What the heads of requests to one host mean."""

    def __init__(
        self, spec: HostSpec, apps: Mapping[str, App], headers: HostHeaders, nginx: Nginx
    ) -> None:
        self._spec = spec
        self._apps = apps
        self._headers = headers
        self._nginx = nginx
        self._most_bytes = spec.limits.request_body_bytes
        self._router = Router(spec.operations)
        self._known: BoundedDict[object, KnownRequest] = BoundedDict(REQUESTS)

    def of(self, scope: Scope) -> KnownRequest:
        """What the head of the request in ``scope`` means."""
        size = len(scope["path"]) + len(scope["query_string"])
        parts = [scope["method"], scope["path"], scope.get("raw_path"), scope["http_version"]]
        parts.append(scope["query_string"])
        for name, value in scope["headers"]:
            size += len(name) + len(value)
            parts.append(name)
            if name in _MEANINGFUL:
                parts.append(value)
            elif name == b"content-length":
                parts.append(value.isdigit() and int(value) > self._most_bytes)
        if size > LONGEST_KNOWN:
            return self._read(scope)
        key = tuple(parts)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._read(scope)
        return known

    def _read(self, scope: Scope) -> KnownRequest:
        headers = joined(pair for pair in scope["headers"] if pair[0] in _MEANINGFUL)
        added, refusal = self._headers.complete((), headers), self._nginx.response(scope)
        content_type = headers.get(b"content-type", b"").decode("latin-1")
        known = KnownRequest(headers, added, refusal, content_type)
        match = self._router.route(scope["method"], scope["path"])
        if isinstance(match, NoMatch):
            known.unrouted = self._response_without_operation(match, scope, headers)
        else:
            known.operation, known.parameters = match.operation, match.parameters
        with contextlib.suppress(ValueError):  # which the app meets again
            try:
                known.app = authorised_app(headers.get(b"authorization"), self._apps, self._spec)
            except HostError as error:
                known.app_error = error.name
        return known

    def _response_without_operation(
        self, match: NoMatch, scope: Scope, headers: Mapping[bytes, bytes]
    ) -> Response:
        """The response to a request whose path and method no operation has."""
        if match.crash:
            return APP_CRASHED
        if match.allow is None:
            status, content_type, body, own = 404, HTML, error_pages.NOT_FOUND, []
            if match.redirect is not None:
                location = _location(match.redirect, scope, headers)
                status, body = 308, error_pages.redirect(location)
                own = [(b"Location", location.encode("latin-1"))]
        elif scope["method"] == "OPTIONS":
            granted = self._headers.preflight(headers, scope["path"])
            length = (b"Content-Length", b"0")
            own = [(b"Content-Type", HTML), length, (b"Allow", match.allow.encode())]
            return Response(200, self._headers.complete(own, headers, granted), b"")
        elif match.page:
            status, content_type, body = 405, HTML, error_pages.METHOD_NOT_ALLOWED
            own = [(b"Allow", match.allow.encode())]
        else:
            error, rules = self._spec.errors("method_not_allowed"), self._spec.http
            status, content_type = error.status, JSON
            body = json_bytes(dict(error.body), rules.error_json)
            own = [(b"Allow", match.allow.encode())] if rules.allow_with_405 else []
        own = [(b"Content-Type", content_type), (b"Content-Length", b"%d" % len(body)), *own]
        return Response(status, own + self._headers.always, body)  # without CORS


def joined(lines: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Headers as gunicorn joins them: lines of one name with a comma, the last Content-Type
    alone.
    """
    headers: dict[bytes, bytes] = {}
    for name, value in lines:
        joins = name in headers and name != b"content-type"
        headers[name] = headers[name] + b"," + value if joins else value
    return headers


def _location(path: str, scope: Scope, headers: Mapping[bytes, bytes]) -> str:
    """``path`` at the same host without its port, which the proxy does not pass on (FACTS 2)."""
    host = headers.get(b"host", b"_").decode("latin-1").lower()
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    query = scope["query_string"].decode("latin-1")
    quoted = quote(path, safe="!$&'()*+,/:;=@")
    location = f"http://{name}{quoted}"
    return f"{location}?{query}" if query else location


def authorised_app(header: bytes | None, apps: Mapping[str, App], spec: HostSpec) -> App:
    """The app whose key the ``Authorization`` header carries. Raises ``HostError``: 401, or the
    version's error of an app that is not served (FACTS 3, steps 1 to 3).
    """
    errors = spec.errors
    text = (header or b"").decode("latin-1").lstrip(" \t").rstrip(" ")  # as nginx leaves it
    if " " not in text:
        raise errors("auth_header_missing")
    scheme, key = text.split(None, 1)
    if scheme.lower() != "bearer":
        raise errors("auth_scheme_wrong")
    app = apps.get(key)
    if app is None:
        raise errors("token_unknown")
    if app.kind.value in spec.request.app_errors:
        raise errors(spec.request.app_errors[app.kind.value])
    return app


_KEY_ERRORS = {
    "auth_header_missing": "no API key was sent",
    "auth_scheme_wrong": "the API key was not sent as Bearer",
    "token_unknown": "the API key is unknown",
}
_SHOWN_OF_KEY = 8


def key_hint(scope: Scope, apps: Mapping[str, App], spec: HostSpec) -> str:
    """Why the host refuses the key of a request and which one it takes, for the log; empty where it
    takes it.

    Of a key that somebody has chosen only the beginning is shown: it may be a real host's.
    """
    header = joined(scope["headers"]).get(b"authorization")
    try:
        authorised_app(header, apps, spec)
    except HostError as error:
        key = next(iter(apps))
        if key != DEFAULT_API_KEY:
            key = f"{key[: min(_SHOWN_OF_KEY, len(key) // 2)]}…"
        cause = _KEY_ERRORS.get(error.name)
        return f"{cause}; Authorization: Bearer {key} would work" if cause else ""
    return ""
