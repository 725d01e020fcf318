"""Responses as ASGI apps, and the headers that the host puts around its own (FACTS 1.1 and 1.8)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from starlette.types import Receive, Scope, Send

from fake_server.host_spec import HostSpec
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


def json_bytes(value: object) -> bytes:
    """The body of any JSON response but a run's: it ends with a newline (FACTS 1.7)."""
    return json.dumps(value).encode("ascii") + b"\n"


class HostHeaders:
    """Completes the headers of a response: what the app adds to each, and CORS."""

    def __init__(self, spec: HostSpec) -> None:
        self.always = [
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in spec.headers
        ]
        self._cors_methods = ", ".join(spec.cors_methods).encode()
        self._allowed_headers = frozenset(
            (*(name.lower().encode() for name in spec.cors_headers), SCENARIO_HEADER)
        )

    def complete(
        self,
        own: Iterable[tuple[bytes, bytes]],
        request: Mapping[bytes, bytes],
        granted: Iterable[tuple[bytes, bytes]] = (),
    ) -> RawHeaders:
        """``own`` headers, then those of CORS for the ``request`` headers, then the app's."""
        headers = [*own, (b"Access-Control-Allow-Origin", request.get(b"origin") or b"*")]
        if request.get(b"access-control-request-private-network") == b"true":
            headers.append((b"Access-Control-Allow-Private-Network", b"true"))
        headers += granted
        if request.get(b"origin"):
            headers.append((b"Vary", b"Origin"))
        return headers + self.always

    def preflight(self, request: Mapping[bytes, bytes]) -> RawHeaders:
        """What CORS adds to the response to OPTIONS [C: cors_preflight_otherhdr]."""
        method = request.get(b"access-control-request-method", b"").upper()
        if not method or method not in self._cors_methods:
            return []  # Flask-CORS looks for it in the joined text, so "P" is enough
        requested = [
            name.strip() for name in request.get(b"access-control-request-headers", b"").split(b",")
        ]
        granted = sorted(name for name in requested if name.lower() in self._allowed_headers)
        headers = [(b"Access-Control-Allow-Headers", b", ".join(granted))] if granted else []
        return [*headers, (b"Access-Control-Allow-Methods", self._cors_methods)]
