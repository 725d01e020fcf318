"""What nginx does before the app sees a request, and what it answers by itself (FACTS 2, [C:
auth_two_headers]).

An ASGI wrapper: TRACE, a missing or doubled header and a body beyond the limit are refused here;
paths outside the app's prefixes belong to the web container, which is not there, except for ``/``.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import quote, unquote_to_bytes

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fake_server.http import error_pages, gunicorn
from fake_server.http.request_body import ClientLeftError
from fake_server.http.responses import ProxyPage, RawHeaders, send_whole
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

_METHOD = re.compile("[A-Z_-]+")
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})|%00")


class BodyTooLargeError(Exception):
    """A chunked body grew beyond the proxy's limit while it was read."""


class Front:
    """The proxy in front of ``app``."""

    def __init__(self, app: ASGIApp, spec: HostSpec) -> None:
        self._app = app
        self._limit = spec.limits.request_body_bytes
        self._server = spec.proxy_server
        routes = [f"{one.method} {one.path}" for one in spec.operations if one.refusal is None]
        self._front_page = error_pages.front(spec.version, routes)
        self._prefixes = tuple(prefix.encode() for prefix in spec.app_prefixes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        page = self._refusal(scope)
        if page is None:
            await self._pass_on(scope, receive, send)
        else:
            await self._send(page, send)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = _CountedBody(receive, self._limit)
        try:
            await self._app(scope, body.receive, send)
        except ClientLeftError:
            return  # it left before it had said everything
        except BodyTooLargeError:
            await self._send(self._page(413, close=True), send)

    def _refusal(self, scope: Scope) -> ProxyPage | None:
        headers: RawHeaders = scope["headers"]
        raw_path = scope.get("raw_path") or quote(scope["path"]).encode()
        path = location_path(raw_path)
        if path is None or self._malformed(scope, headers):
            return self._page(400, close=True)
        if scope["method"] in ("TRACE", "CONNECT"):
            return self._page(405, close=True)
        if _content_length(headers) > self._limit:
            return self._page(413, close=True)
        if path.startswith(self._prefixes):
            return gunicorn.refusal(scope, raw_path)
        if path == b"/" and scope["method"] in ("GET", "HEAD"):
            return ProxyPage(200, self._front_page)
        return self._page(502)

    @staticmethod
    def _malformed(scope: Scope, headers: RawHeaders) -> bool:
        names = [name for name, _ in headers]
        if scope["http_version"] == "1.1" and b"host" not in names:
            return True
        hosts = [value for name, value in headers if name == b"host"]
        if not _METHOD.fullmatch(scope["method"]) or not all(map(_is_host, hosts)):
            return True
        return len(names) != len(set(names)) and any(names.count(name) > 1 for name in _SINGLE)

    def _page(self, status: int, close: bool = False) -> ProxyPage:
        return ProxyPage(status, error_pages.nginx(status, self._server), close)

    @staticmethod
    async def _send(page: ProxyPage, send: Send) -> None:
        await send_whole(send, page.status, page_headers(page), page.body, page.reason)


def page_headers(page: ProxyPage) -> RawHeaders:
    """The few headers of an answer that the app had no part in."""
    length = str(len(page.body)).encode()
    headers = [(b"Content-Type", page.content_type), (b"Content-Length", length), *page.headers]
    return [*headers, (b"Connection", b"close")] if page.close else headers


def location_path(path: bytes) -> bytes | None:
    """The path by which nginx chooses who answers: decoded, slashes merged, dots resolved.

    None where nginx refuses it: no slash at its start, a broken escape, an encoded NUL, dots that
    lead above the root.
    """
    if not path.startswith(b"/") or _BAD_ESCAPE.search(path):
        return None
    path = unquote_to_bytes(path)
    if b"//" not in path and b"/." not in path:
        return path
    kept: list[bytes] = []
    segments = path.split(b"/")[1:]
    for segment in segments:
        if segment == b"..":
            if not kept:
                return None
            kept.pop()
        elif segment not in (b"", b"."):
            kept.append(segment)
    end = b"/" if kept and segments[-1] in (b"", b".", b"..") else b""
    return b"/" + b"/".join(kept) + end


@lru_cache(maxsize=64)
def _is_host(host: bytes) -> bool:
    """Whether nginx takes the value of a Host header: a name that is not empty, without slashes,
    controls or "..".
    """
    name = host if host.endswith(b"]") else re.sub(rb":[^:]*\Z", b"", host)
    return (
        bool(name.strip(b".")) and b".." not in name and not re.search(rb"[\x00-\x20\x7f/]", host)
    )


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
