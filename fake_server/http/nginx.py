"""What nginx and gunicorn do before the app gets a request, and the responses that they give
themselves (FACTS 2, [C: auth_two_headers]).

Paths outside the app's prefixes belong to the web container, which is not there, except for ``/``.
"""

from __future__ import annotations

import re
from functools import lru_cache
from http import HTTPStatus
from urllib.parse import quote, unquote_to_bytes

from starlette.types import ASGIApp, Scope

from fake_server.host_spec import HostSpec
from fake_server.http import error_pages
from fake_server.http.responses import RawHeaders, Response, proxy_page

_SINGLE = frozenset(
    b"authorization host content-length content-range transfer-encoding expect if-modified-since"
    b" if-unmodified-since if-match if-none-match if-range".split()
)
"""Headers that nginx accepts only once."""

_METHOD = re.compile("[A-Z_-]+")
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})|%00")

REQUEST_LINE_BYTES = 4094
"""gunicorn refuses a longer request line, without its line end, with 400."""

HEADER_LINES = 100
"""gunicorn refuses more header lines than these, as the proxy sends them on, with 431."""

HEADER_LINE_BYTES = 8190
"""gunicorn refuses a longer header line, with its line end, with 431."""

_METHOD_CHARACTERS = range(3, 21)

_NOT_FORWARDED = frozenset(
    b"host connection content-length transfer-encoding te keep-alive expect upgrade"
    b" x-forwarded-for".split()
)
"""Headers of the client that the proxy replaces or leaves out."""

_ADDED = 2
"""``Host`` and ``X-Forwarded-For`` are on every request that reaches the app."""


class Nginx:
    """The proxy in front of the app."""

    def __init__(self, spec: HostSpec, front_page: ASGIApp) -> None:
        self._front_page = front_page
        self._limit = spec.limits.request_body_bytes
        self._server = spec.proxy_server
        self._spec = spec
        self._prefixes = tuple(prefix.encode() for prefix in spec.app_prefixes)

    def page(self, status: int, close: bool = False) -> Response:
        """nginx's own page."""
        return proxy_page(status, error_pages.nginx(status, self._server), close=close)

    def response(self, scope: Scope) -> ASGIApp | None:
        """The response that the app has no part in; None where it gets the request."""
        method, headers = scope["method"], scope["headers"]
        raw_path = scope.get("raw_path") or quote(scope["path"]).encode()
        path = location_path(raw_path)
        seen: set[bytes] = set()
        length = longest_header = 0
        malformed = path is None or not _METHOD.fullmatch(method)
        for name, value in headers:
            longest_header = max(longest_header, len(name) + len(value))
            if name == b"host":
                malformed = malformed or not _is_host(value)
            elif name == b"content-length":
                length = int(value) if value.isdigit() else 0
            if name in seen and name in _SINGLE:
                malformed = True
            seen.add(name)
        if malformed or (scope["http_version"] == "1.1" and b"host" not in seen):
            return self.page(400, close=True)
        if method in ("TRACE", "CONNECT"):
            return self.page(405, close=True)
        if length > self._limit:
            return self.page(413, close=True)
        assert path is not None
        if path.startswith(self._prefixes):
            return _gunicorn_refusal(scope, raw_path, longest_header)
        if path == b"/" and method in ("GET", "HEAD"):
            return self._front_page
        return self.page(502)


@lru_cache(maxsize=256)
def location_path(path: bytes) -> bytes | None:
    """The path by which nginx chooses a location: decoded, slashes merged, dots resolved.

    None where nginx refuses it: no slash at its start, a broken escape, an encoded NUL, dots that
    lead above the root.
    """
    if not path.startswith(b"/") or _BAD_ESCAPE.search(path):
        return None
    path = unquote_to_bytes(path)
    if b"//" not in path and b"/." not in path:
        return path
    resolved: list[bytes] = []
    segments = path.split(b"/")[1:]
    for segment in segments:
        if segment == b"..":
            if not resolved:
                return None
            resolved.pop()
        elif segment not in (b"", b"."):
            resolved.append(segment)
    end = b"/" if resolved and segments[-1] in (b"", b".", b"..") else b""
    return b"/" + b"/".join(resolved) + end


@lru_cache(maxsize=64)
def _is_host(host: bytes) -> bool:
    """Whether nginx accepts a Host header: a name without slashes, controls or ".."."""
    name = host if host.endswith(b"]") else re.sub(rb":[^:]*\Z", b"", host)
    return (
        bool(name.strip(b".")) and b".." not in name and not re.search(rb"[\x00-\x20\x7f/]", host)
    )


def gunicorn_page(status: HTTPStatus, message: str = "") -> Response:
    """gunicorn's page for a request that it refuses, or without ``message`` for a crash."""
    reason = status.phrase
    body = (
        f"<html>\n  <head>\n    <title>{reason}</title>\n  </head>\n  <body>\n    "
        f"<h1><p>{reason}</p></h1>\n"
        f"    {message and error_pages.escaped(message)}\n  </body>\n</html>\n"
    )
    return proxy_page(status, body.encode())


APP_CRASHED = gunicorn_page(HTTPStatus.INTERNAL_SERVER_ERROR)
"""The app crashed outside its own handling of errors [C: g_nonodes_stream]."""


def _gunicorn_refusal(scope: Scope, path: bytes, longest_header: int) -> Response | None:
    """The page for what gunicorn 22 refuses (``gunicorn/http/message.py``); ``path`` is raw."""
    method, query = scope["method"], scope["query_string"]
    line_bytes = len(f"{method}  HTTP/1.1") + len(path) + (1 + len(query) if query else 0)
    if line_bytes > REQUEST_LINE_BYTES:
        message = f"Request Line is too large ({line_bytes} > {REQUEST_LINE_BYTES})"
        return gunicorn_page(HTTPStatus.BAD_REQUEST, message)
    if len(method) not in _METHOD_CHARACTERS:
        message = f"Invalid Method 'Invalid HTTP method: {method!r}'"
        return gunicorn_page(HTTPStatus.BAD_REQUEST, message)
    if longest_header + len(b": \r\n") > HEADER_LINE_BYTES:
        message = "limit request headers fields size"
    elif len(scope["headers"]) + _ADDED > HEADER_LINES < _forwarded_lines(scope["headers"]):
        message = "limit request headers fields"
    else:
        return None
    return gunicorn_page(
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"Error parsing headers: '{message}'"
    )


def _forwarded_lines(headers: RawHeaders) -> int:
    """How many header lines the proxy sends to the app; a chunked body gets a length."""
    names = [name for name, _ in headers]
    with_body = b"content-length" in names or b"transfer-encoding" in names
    return _ADDED + with_body + sum(name not in _NOT_FORWARDED for name in names)
