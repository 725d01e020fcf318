"""What nginx does before the app sees a request, and what it answers by itself (FACTS 2, [C: auth_two_headers]).

An ASGI wrapper: TRACE, a missing or doubled header and a body beyond the limit are refused here; paths outside the
app's prefixes belong to the web container, which is not there, except for ``/``.
"""

from __future__ import annotations

import posixpath
import re
from urllib.parse import unquote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fake_server.edge import pages
from fake_server.edge.answers import ProxyPage, RawHeaders, send_whole
from fake_server.spec import HostSpec

_SINGLE = frozenset(
    {
        b"authorization",
        b"host",
        b"content-length",
        b"content-range",
        b"transfer-encoding",
        b"expect",
        b"if-modified-since",
        b"if-unmodified-since",
        b"if-match",
        b"if-none-match",
        b"if-range",
    }
)
"""Headers that nginx takes only once."""

_LINGER_BYTES = 1 << 30
"""How much of a refused body is read and thrown away, so that its sender gets to read the answer."""


class BodyTooLargeError(Exception):
    """A chunked body grew beyond the proxy's limit while it was read."""


class Front:
    """The proxy in front of ``app``."""

    def __init__(self, app: ASGIApp, spec: HostSpec) -> None:
        self._app = app
        self._limit = spec.limits.request_body_bytes
        self._server = spec.proxy_server
        self._version = spec.version
        self._prefixes = spec.app_prefixes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        page = self._refusal(scope)
        if page is None:
            await self._pass_on(scope, receive, send)
        else:
            await self._send(page, receive, send)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = _CountedBody(receive, self._limit)
        try:
            await self._app(scope, body.receive, send)
        except BodyTooLargeError:
            await self._send(self._page(413, close=True), receive, send)

    def _refusal(self, scope: Scope) -> ProxyPage | None:
        if scope["method"] in ("TRACE", "CONNECT"):
            return self._page(405)
        headers: RawHeaders = scope["headers"]
        if self._malformed(scope, [name for name, _ in headers]):
            return self._page(400, close=True)
        if _content_length(headers) > self._limit:
            return self._page(413, close=True)
        path = location_path(scope["path"])
        if path.startswith(self._prefixes):
            return None
        if path == "/" and scope["method"] in ("GET", "HEAD"):
            return ProxyPage(200, pages.front(self._version))
        return self._page(502)

    @staticmethod
    def _malformed(scope: Scope, names: list[bytes]) -> bool:
        if scope["http_version"] == "1.1" and b"host" not in names:
            return True
        return len(names) != len(set(names)) and any(names.count(name) > 1 for name in _SINGLE)

    def _page(self, status: int, close: bool = False) -> ProxyPage:
        return ProxyPage(status, pages.nginx(status, self._server), close)

    async def _send(self, page: ProxyPage, receive: Receive, send: Send) -> None:
        headers = page_headers(page)
        if not page.close:
            await send_whole(send, page.status, headers, page.body)
            return
        await send({"type": "http.response.start", "status": page.status, "headers": headers})
        await send({"type": "http.response.body", "body": page.body, "more_body": True})
        await _linger(receive)
        await send({"type": "http.response.body", "body": b""})


def page_headers(page: ProxyPage) -> RawHeaders:
    """The few headers of an answer that the app had no part in."""
    headers = [(b"Content-Type", b"text/html"), (b"Content-Length", str(len(page.body)).encode())]
    return [*headers, (b"Connection", b"close")] if page.close else headers


def location_path(path: str) -> str:
    """The path by which nginx chooses who answers: decoded, slashes merged, dots resolved."""
    merged = re.sub("/+", "/", unquote(path))
    if "/." not in merged:
        return merged
    resolved = posixpath.normpath(merged)
    return resolved + "/" if merged.endswith(("/", "/.", "/..")) and resolved != "/" else resolved


def _content_length(headers: RawHeaders) -> int:
    for name, value in headers:
        if name == b"content-length":
            return int(value) if value.isdigit() else 0
    return 0


class _CountedBody:
    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._left = limit

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                raise BodyTooLargeError
        return message


async def _linger(receive: Receive) -> None:
    """Read on and throw away: a connection closed on unread data is reset, and the answer is lost with it."""
    left = _LINGER_BYTES
    while left > 0:
        message = await receive()
        if message["type"] != "http.request" or not message.get("more_body"):
            return
        left -= len(message.get("body", b""))
