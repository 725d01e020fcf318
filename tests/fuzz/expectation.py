"""What the host would do with a request, up to the operation that answers it.

First nginx: it refuses what it cannot read, and gives the app only the paths under the app's
prefixes. Then Flask: which route, if any. The routing is not imitated but done by Werkzeug, which
does it on the host too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from werkzeug.exceptions import MethodNotAllowed, NotFound
from werkzeug.routing import Map, RequestRedirect, Rule

from tests.fuzz.message import Request

METHODS = ("get", "put", "post", "delete", "patch")
_PARAMETER = re.compile(r"\{(\w+)\}")
_ONCE = (
    b"authorization", b"host", b"content-length", b"transfer-encoding", b"expect", b"content-range",
    b"if-range",
)  # fmt: skip
"""Headers that nginx refuses to take twice, of those that are sent here."""


@dataclass(frozen=True, slots=True)
class ProxyPage:
    """A page of nginx. ``title`` and ``detail`` differ from the usual only for a head that is too
    large.
    """

    status: int
    phrase: str
    title: str = ""
    detail: str = ""

    def body(self, server: str) -> bytes:
        phrase = f"{self.status} {self.phrase}"
        return (
            f"<html>\r\n<head><title>{self.title or phrase}</title></head>\r\n<body>\r\n"
            f"<center><h1>{phrase}</h1></center>\r\n{self.detail}<hr><center>{server}</center>\r\n"
            "</body>\r\n</html>\r\n"
        ).encode()


BAD_REQUEST = ProxyPage(400, "Bad Request")
NOT_ALLOWED = ProxyPage(405, "Not Allowed")
TOO_LARGE = ProxyPage(413, "Request Entity Too Large")
URI_TOO_LONG = ProxyPage(414, "Request-URI Too Large")
BAD_GATEWAY = ProxyPage(502, "Bad Gateway")
HEAD_TOO_LARGE = ProxyPage(
    400,
    "Bad Request",
    "400 Request Header Or Cookie Too Large",
    "<center>Request Header Or Cookie Too Large</center>\r\n",
)


@dataclass(frozen=True, slots=True)
class FrontPage:
    """``/``, where the host has its web interface and the fake a page of its own."""


@dataclass(frozen=True, slots=True)
class NoRoute:
    """Flask's page for a path that no route has."""


@dataclass(frozen=True, slots=True)
class Moved:
    """Flask's redirect to another spelling of the path."""

    location: str


@dataclass(frozen=True, slots=True)
class NoMethod:
    """A path that has other methods."""

    allow: frozenset[str]


@dataclass(frozen=True, slots=True)
class AppFailed:
    """gunicorn's page: Werkzeug failed over a wrong method on a path with two slashes (FACTS
    12.16).
    """


@dataclass(frozen=True, slots=True)
class Options:
    """Flask's own answer to OPTIONS."""

    allow: frozenset[str]


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of the spec: its entry there, and what the path says."""

    entry: Mapping[str, Any]
    parameters: Mapping[str, str]

    @property
    def name(self) -> str:
        return str(self.entry["operationId"])


Expected = ProxyPage | FrontPage | NoRoute | Moved | NoMethod | AppFailed | Options | Operation


class Oracle:
    """Says for a request who answers it, by the merged document of spec and overlay."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._limits: Mapping[str, int] = document["x-host"]["limits"]
        self._prefixes = tuple(prefix.encode() for prefix in document["x-host"]["app_prefixes"])
        self._paths = document["paths"]
        self._map = Map([_rule(path, item) for path, item in self._paths.items()])

    def expected(self, request: Request) -> Expected:
        page = self._refused(request)
        if page is not None:
            return page
        path = nginx_path(request.path)
        if path is None:
            return BAD_REQUEST
        if request.method in ("TRACE", "CONNECT"):
            return NOT_ALLOWED
        if len(request.body) > self._limits["request_body_bytes"]:
            return TOO_LARGE
        if path.startswith(self._prefixes):
            return self._routed(request)
        return FrontPage() if path == b"/" and request.method in ("GET", "HEAD") else BAD_GATEWAY

    def _refused(self, request: Request) -> ProxyPage | None:
        """What nginx refuses while it reads the head: first what does not fit, then what
        contradicts itself.
        """
        if not request.readable:
            return BAD_REQUEST
        lines = request.raw.partition(b"\r\n\r\n")[0].split(b"\r\n")
        if len(lines[0]) >= self._limits["request_line_bytes"]:
            return URI_TOO_LONG
        if any(len(line) >= self._limits["header_line_bytes"] for line in lines[1:]):
            return HEAD_TOO_LARGE
        return None if self._consistent(request) else BAD_REQUEST

    @staticmethod
    def _consistent(request: Request) -> bool:
        hosts = request.all(b"host")
        if (request.minor and not hosts) or not all(_is_host(host) for host in hosts):
            return False
        if any(len(request.all(name)) > 1 for name in _ONCE):
            return False
        length, coding = request.header(b"content-length"), request.header(b"transfer-encoding")
        if length is not None and (not length.isdigit() or coding is not None):
            return False
        return coding is None or request.minor == 1

    def _routed(self, request: Request) -> Expected:
        """Flask's word: gunicorn decodes the path, Werkzeug finds the rule."""
        path = "/" + unquote_to_bytes(request.path).decode("utf-8", "replace").lstrip("/")
        if "///" in path:
            # The host's Werkzeug, 3.0.2, makes one slash of two, once; newer ones merge them all.
            return NoRoute()
        name = (request.header(b"host") or b"_").decode("latin-1").lower()
        name = name.rsplit(":", 1)[0] if not name.endswith("]") else name
        adapter = self._map.bind(name, query_args=request.query.decode("latin-1"))
        try:
            endpoint, parameters = adapter.match(path, request.method)
        except RequestRedirect as redirect:
            return Moved(redirect.new_url)
        except MethodNotAllowed as error:
            return AppFailed() if "//" in path else NoMethod(frozenset(error.valid_methods or ()))
        except NotFound:
            return NoRoute()
        if request.method == "OPTIONS":
            return Options(frozenset(adapter.allowed_methods(path)))
        entry = self._paths[endpoint]["get" if request.method == "HEAD" else request.method.lower()]
        return Operation(entry, {key: str(value) for key, value in parameters.items()})


def _rule(path: str, item: Mapping[str, Any]) -> Rule:
    """The rule by which Dify registers ``path`` with Flask."""
    methods = [name.upper() for name in METHODS if name in item]
    operation = next(item[name] for name in METHODS if name in item)
    kinds = {
        entry["name"]: entry["schema"].get("format", "string")
        for entry in operation.get("parameters", ())
    }
    rule = _PARAMETER.sub(lambda match: f"<{kinds.get(match[1], 'string')}:{match[1]}>", path)
    return Rule(rule, methods=[*methods, "OPTIONS"], endpoint=path)


def nginx_path(path: bytes) -> bytes | None:
    """The path by which nginx chooses: decoded once, slashes merged, dots resolved; None for one
    that it refuses.
    """
    if not path.startswith(b"/") or re.search(rb"%(?![0-9A-Fa-f]{2})|%00", path):
        return None
    kept: list[bytes] = []
    segments = unquote_to_bytes(path).split(b"/")[1:]
    for segment in segments:
        if segment == b"..":
            if not kept:
                return None
            kept.pop()
        elif segment not in (b"", b"."):
            kept.append(segment)
    end = b"/" if kept and segments[-1] in (b"", b".", b"..") else b""
    return b"/" + b"/".join(kept) + end


def _is_host(host: bytes) -> bool:
    name = (
        host.rpartition(b":")[0]
        if re.search(rb":\d*\Z", host) and not host.endswith(b"]")
        else host
    )
    return (
        bool(name.strip(b".")) and b".." not in name and not re.search(rb"[\x00-\x20\x7f/]", host)
    )
