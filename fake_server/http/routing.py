"""Which operation a path and a method mean, as Werkzeug decides it on the host (FACTS 2).

Differences from a usual router, each of them visible: an unknown path is an HTML page, a known path
with another method is JSON with ``Allow``, slashes in a row are redirected and not accepted, a
missing final slash is redirected only for a method that the path has, and a superfluous one is
simply unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from fake_server.spec import PATH_PARAMETER, Operation

_UUID = r"[A-Fa-f0-9]{8}-[A-Fa-f0-9]{4}-[A-Fa-f0-9]{4}-[A-Fa-f0-9]{4}-[A-Fa-f0-9]{12}"
_ANY_SEGMENT = r"[^/]+"
_LISTED = ("POST", "OPTIONS", "GET", "HEAD", "PUT", "DELETE", "PATCH", "TRACE")


@dataclass(frozen=True, slots=True)
class Match:
    """The operation of a request and the values that its path gives."""

    operation: Operation
    parameters: dict[str, str]


@dataclass(frozen=True, slots=True)
class OtherMethod:
    """The path is known, the method is not; OPTIONS is answered from this, anything else
    refused.
    """

    allow: str


@dataclass(frozen=True, slots=True)
class Redirect:
    """The path is known in another spelling."""

    path: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """No route has this path."""


@dataclass(frozen=True, slots=True)
class Breaking:
    """The path is known in another spelling, and not for this method.

    flask-restful asks for the route of a method that the path has, to find out whose error it is,
    and is redirected.
    """


Routed = Match | OtherMethod | Redirect | Unknown | Breaking


@dataclass(slots=True)
class _Route:
    pattern: re.Pattern[str]
    names: Sequence[str]
    operations: dict[str, Operation] = field(default_factory=dict)

    @property
    def methods(self) -> set[str]:
        return {*self.operations, "OPTIONS", *(("HEAD",) if "GET" in self.operations else ())}

    @property
    def allow(self) -> str:
        """As Flask lists it; its order is a set's, so this is one of its orders (FACTS 1.9)."""
        return ", ".join(sorted(self.methods, key=_LISTED.index))


class Router:
    """The routes of the spec."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        routes: dict[str, _Route] = {}
        for operation in operations:
            route = routes.setdefault(operation.path, _Route(*_compiled(operation)))
            route.operations[operation.method] = operation
        self._fixed = {path: route for path, route in routes.items() if "{" not in path}
        self._patterns = [route for path, route in routes.items() if "{" in path]

    def route(self, method: str, path: str) -> Routed:
        """What ``method`` on ``path`` (decoded) means."""
        path = "/" + path.lstrip("/")
        found = self._find(path)
        if found is not None and method in found[0].methods:
            return _matched(method, *found)
        with_slash = self._find(path + "/")
        if with_slash is not None and method in with_slash[0].methods:
            return Redirect(path + "/")
        if found is not None:
            return OtherMethod(found[0].allow)
        return self._merged(method, path)

    def _merged(self, method: str, path: str) -> Routed:
        """Each pair of slashes made one, once over, as Werkzeug does it: three in a row stay
        unknown.
        """
        merged = path.replace("//", "/")
        found = self._find(merged) if merged != path else None
        if found is None:
            return Unknown()
        return Redirect(merged) if method in found[0].methods else Breaking()

    def _find(self, path: str) -> tuple[_Route, dict[str, str]] | None:
        if (route := self._fixed.get(path)) is not None:
            return route, {}
        for route in self._patterns:
            if (match := route.pattern.fullmatch(path)) is not None:
                return route, dict(zip(route.names, match.groups(), strict=True))
        return None


def _matched(method: str, route: _Route, parameters: dict[str, str]) -> Routed:
    if method == "OPTIONS":
        return OtherMethod(route.allow)
    operation = route.operations.get("GET" if method == "HEAD" else method)
    assert operation is not None
    return Match(operation, parameters)


def _compiled(operation: Operation) -> tuple[re.Pattern[str], Sequence[str]]:
    """The pattern of a path with a group for each parameter, and the names of these in order."""
    parts = PATH_PARAMETER.split(operation.path)
    names = parts[1::2]
    groups = [f"({_UUID if name in operation.uuids else _ANY_SEGMENT})" for name in names]
    literals = [re.escape(part) for part in parts[::2]]
    pattern = "".join(part for pair in zip(literals, [*groups, ""], strict=True) for part in pair)
    return re.compile(pattern), names
