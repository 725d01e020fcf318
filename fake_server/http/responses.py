"""Responses as ASGI apps, and the headers that the host puts around its own (FACTS 1.1 and 1.8)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from starlette.types import Receive, Scope, Send

from fake_server.host_spec import PATH_PARAMETER, HostSpec
from fake_server.http.error_pages import nginx_reason

RawHeaders = list[tuple[bytes, bytes]]

SCENARIO_HEADER = b"x-fake-scenario"
"""Names scenarios for one request. CORS allows it, since no page sends it to a real host."""

TRANSPORT = "fake_server.transport"
"""The ASGI extension by which our own server gives the transport of a request's connection."""

HTML = b"text/html; charset=utf-8"
JSON = b"application/json"


@dataclass(frozen=True, slots=True)
class Response:
    """A whole response: its exact head and body. ``reason`` None is spelled as the app does it."""

    status: int
    headers: RawHeaders
    body: bytes
    reason: bytes | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": self.status, "headers": self.headers}
        if self.reason:
            start["reason"] = self.reason
        await send(start)
        await send({"type": "http.response.body", "body": self.body})


def proxy_page(
    status: int,
    body: bytes,
    content_type: bytes = b"text/html",
    headers: Iterable[tuple[bytes, bytes]] = (),
    close: bool = False,
) -> Response:
    """A response of nginx, gunicorn or another proxy: it has none of the app's headers."""
    length = str(len(body)).encode()
    own = [(b"Content-Type", content_type), (b"Content-Length", length), *headers]
    if close:
        own.append((b"Connection", b"close"))
    return Response(status, own, body, nginx_reason(status).encode())


def app_response(
    status: int, content_type: bytes, body: bytes, added: RawHeaders, *own: tuple[bytes, bytes]
) -> Response:
    """A response of the app with its ``own`` headers; those of CORS and all responses are
    ``added``.
    """
    headers = [(b"Content-Type", content_type), (b"Content-Length", b"%d" % len(body)), *own]
    return Response(status, headers + added, body)


def json_bytes(value: object, style: str = "spaced") -> bytes:
    """The body of any JSON response but a run's: it ends with a newline (FACTS 1.7).

    ``compact`` is how ujson writes it [C: ct_text of 1.10.1].
    """
    if style == "compact":
        text = json.dumps(value, separators=(",", ":")).replace("/", "\\/")
    else:
        text = json.dumps(value)
    return text.encode("ascii") + b"\n"


class HostHeaders:
    """Completes the headers of a response: what the app adds to each, and CORS."""

    def __init__(self, spec: HostSpec) -> None:
        self.always = [
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in spec.headers
        ]
        cors = spec.cors
        self._cors_methods = ", ".join(cors.methods).encode()
        self._allowed_headers, self._allowed_with_files = (
            frozenset((*(name.lower().encode() for name in names), SCENARIO_HEADER))
            for names in (cors.headers, cors.file_headers)
        )
        exposed = (cors.exposed or "").encode()
        self._exposed = [(b"Access-Control-Expose-Headers", exposed)] if exposed else []
        self._private_network = cors.private_network.encode()
        vary = [value for name, value in self.always if name == b"Vary"]
        self._vary = (b"Vary", b", ".join([b"Origin", *vary]))
        self._always_beside_vary = [pair for pair in self.always if pair[0] != b"Vary"]

    def complete(
        self,
        own: Iterable[tuple[bytes, bytes]],
        request: Mapping[bytes, bytes],
        granted: Iterable[tuple[bytes, bytes]] = (),
    ) -> RawHeaders:
        """``own`` headers, then those of CORS for the ``request`` headers, then the app's."""
        origin = request.get(b"origin")
        headers = [*own, (b"Access-Control-Allow-Origin", origin or b"*"), *self._exposed]
        if request.get(b"access-control-request-private-network") == b"true":
            headers.append((b"Access-Control-Allow-Private-Network", self._private_network))
        headers += granted
        if origin:
            return [*headers, self._vary, *self._always_beside_vary]
        return headers + self.always

    def preflight(self, request: Mapping[bytes, bytes], path: str) -> RawHeaders:
        """What CORS adds to the response to OPTIONS [C: cors_preflight_otherhdr]."""
        method = request.get(b"access-control-request-method", b"").upper()
        if not method or method not in self._cors_methods:
            return []  # Flask-CORS looks for it in the joined text, so "P" is enough
        requested = [
            name.strip() for name in request.get(b"access-control-request-headers", b"").split(b",")
        ]
        of_files = path.startswith("/files/")
        allowed = self._allowed_with_files if of_files else self._allowed_headers
        granted = sorted(name for name in requested if name.lower() in allowed)
        headers = [(b"Access-Control-Allow-Headers", b", ".join(granted))] if granted else []
        return [*headers, (b"Access-Control-Allow-Methods", self._cors_methods)]


class NotFoundHints:
    """The routes that a JSON 404 names because the path resembles one of them, as Flask-RESTX
    chooses them [C: human_form_get_unknown, human_form_get_otherapp].
    """

    def __init__(self, spec: HostSpec) -> None:
        own: Iterable[str] = dict.fromkeys(one.path for one in spec.operations)
        own = (PATH_PARAMETER.sub(r"<string:\1>", path) for path in own)
        routes = [*own, *spec.http.hinted_routes]
        self._routes = {_CONVERTERS.sub("", route): route for route in routes}

    def added(self, message: str, path: str) -> str:
        """``message`` with the hint for ``path``, if there is one."""
        import difflib  # the first 404 needs it, and no start

        found = difflib.get_close_matches(path, self._routes)
        if not found:
            return message
        text = " or ".join(self._routes[one] for one in found)
        hint = f"You have requested this URI [{path}] but did you mean {text} ?"
        return f"{message.rstrip('.')}. {hint}"


_CONVERTERS = re.compile("<.*>")
