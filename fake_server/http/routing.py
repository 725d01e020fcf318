"""Which operation a path and a method mean, as Werkzeug decides it on the host (FACTS 2).

Differences from a usual router, each of them visible: an unknown path is an HTML page, a known path
with another method is JSON with ``Allow``, slashes in a row are redirected and not accepted, a
missing final slash is redirected only for a method that the path has, and a superfluous one is
simply unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import NamedTuple

from fake_server.host_spec import PATH_PARAMETER, Operation

_UUID = r"[A-Fa-f0-9]{8}-[A-Fa-f0-9]{4}-[A-Fa-f0-9]{4}-[A-Fa-f0-9]{4}-[A-Fa-f0-9]{12}"
_ANY_SEGMENT = r"[^/]+"
_LISTED = ("POST", "OPTIONS", "GET", "HEAD", "PUT", "DELETE", "PATCH", "TRACE")
_CACHED_ROUTES = 512


class Match(NamedTuple):
    """The operation of a request and the parameters of its path."""

    operation: Operation
    parameters: Mapping[str, str]


class NoMatch(NamedTuple):
    """No operation has this path and method; without any attribute, no route has the path.

    ``allow``: the methods of a known path; OPTIONS lists them, any other method is refused.
    ``page``: the path is that of a view beside the API.
    ``redirect``: the known path of which this is another spelling.
    ``crash``: the path is known in another spelling, but not for this method. flask-restful asks
    for the route of a method that the path has, to find out whose error it is, and is redirected.
    """

    allow: str | None = None
    page: bool = False
    redirect: str | None = None
    crash: bool = False


class _Route:
    """The operations of one path. ``expression`` has a group for each of the ``names``."""

    def __init__(self, expression: str, names: Sequence[str]) -> None:
        self._expression = expression
        self.names = names
        self.operations: dict[str, Operation] = {}

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(self._expression)  # when a path first needs it: there are many

    @property
    def methods(self) -> set[str]:
        return {*self.operations, "OPTIONS", *(("HEAD",) if "GET" in self.operations else ())}

    @property
    def page(self) -> bool:
        return any(one.page for one in self.operations.values())

    @property
    def allow(self) -> str:
        """As Flask lists it; its order is a set's, so this is one of its orders (FACTS 1.9)."""
        return ", ".join(sorted(self.methods, key=_LISTED.index))


class Router:
    """The routes of the spec."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        routes: dict[str, _Route] = {}
        for operation in operations:
            route = routes.setdefault(operation.path, _Route(*_expression(operation)))
            route.operations[operation.method] = operation
        self._fixed = {path: route for path, route in routes.items() if "{" not in path}
        self._patterns = [route for path, route in routes.items() if "{" in path]
        self.route = lru_cache(_CACHED_ROUTES)(self._route)

    def _route(self, method: str, path: str) -> Match | NoMatch:
        """What ``method`` on ``path`` (decoded) means."""
        path = "/" + path.lstrip("/")
        found = self._find(path)
        if found is not None and method in found[0].methods:
            route, parameters = found
            if method == "OPTIONS":
                return NoMatch(allow=route.allow)
            return Match(route.operations["GET" if method == "HEAD" else method], parameters)
        with_slash = self._find(path + "/")
        if with_slash is not None and method in with_slash[0].methods:
            return NoMatch(redirect=path + "/")
        if found is not None:
            return NoMatch(allow=found[0].allow, page=found[0].page)
        # Werkzeug makes each pair of slashes one, once over: three in a row stay unknown.
        merged = path.replace("//", "/")
        found = self._find(merged) if merged != path else None
        if found is None:
            return NoMatch()
        return NoMatch(redirect=merged) if method in found[0].methods else NoMatch(crash=True)

    def _find(self, path: str) -> tuple[_Route, dict[str, str]] | None:
        if (route := self._fixed.get(path)) is not None:
            return route, {}
        for route in self._patterns:
            if (match := route.pattern.fullmatch(path)) is not None:
                return route, dict(zip(route.names, match.groups(), strict=True))
        return None


def _expression(operation: Operation) -> tuple[str, Sequence[str]]:
    """The regular expression of a path, with a group for each parameter, and their names."""
    parts = PATH_PARAMETER.split(operation.path)
    names = parts[1::2]
    groups = [f"({_UUID if name in operation.uuids else _ANY_SEGMENT})" for name in names]
    literals = [re.escape(part) for part in parts[::2]]
    pattern = "".join(part for pair in zip(literals, [*groups, ""], strict=True) for part in pair)
    return pattern, names
