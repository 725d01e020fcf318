"""The table of admin calls, and what all of them have in common: access, errors, redaction."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from dify_wire.strict import did_you_mean
from fake_server.admin import clock, received, rules, server
from fake_server.admin.access import check_access
from fake_server.admin.call import Admin, AdminCall
from fake_server.admin.fields import RefusedError
from fake_server.admin.metrics import metrics
from fake_server.endpoints import Host
from fake_server.journal.reading import reading_of

ROUTES: Mapping[str, Mapping[str, AdminCall]] = {
    "/__admin/health": {"GET": server.health},
    "/__admin/metrics": {"GET": metrics},
    "/__admin/settings": {"GET": server.settings},
    "/__admin/openapi.yaml": {"GET": server.description},
    "/__admin/scenarios": {
        "GET": rules.scenarios,
        "POST": rules.add_scenarios,
        "DELETE": rules.remove_scenarios,
    },
    "/__admin/requests": {"GET": received.requests, "DELETE": received.forget_requests},
    "/__admin/requests/wait": {"POST": received.wait},
    "/__admin/requests/verify": {"POST": received.verify},
    "/__admin/clock": {"GET": clock.clock, "POST": clock.move_clock},
    "/__admin/reset": {"POST": server.reset},
}


def admin_app(host: Host) -> ASGIApp:
    """The admin API of ``host`` as an ASGI app."""
    return _AdminApi(Admin(host, reading_of(host)))


class _AdminApi:
    def __init__(self, admin: Admin) -> None:
        self._admin = admin
        routes = [
            Route(path, self._endpoint(by_method), methods=list(by_method))
            for path, by_method in ROUTES.items()
        ]
        self._router = Router(routes, redirect_slashes=False, default=self._unknown)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("app", self)  # so that a wrong method is raised, not answered
        try:
            response = await self._answered(Request(scope, receive), scope, receive, send)
        except ClientDisconnect:
            return
        if response is not None:
            await response(scope, receive, send)

    async def _answered(
        self, request: Request, scope: Scope, receive: Receive, send: Send
    ) -> Response | None:
        """The answer to a call that is refused; None where the router has answered."""
        try:
            check_access(request, self._admin.host.settings)
            await self._router(scope, receive, send)
        except RefusedError as refused:
            return self._refusal(refused)
        except HTTPException:  # the router's own, for a path with other methods
            allow = ", ".join(sorted(ROUTES[scope["path"]]))
            return self._refusal(
                RefusedError(405, f"{scope['method']} is not taken here; {allow} will do"), allow
            )
        return None

    def _endpoint(
        self, by_method: Mapping[str, AdminCall]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            call = by_method["GET" if request.method == "HEAD" else request.method]
            answer = await call(self._admin, request)
            if isinstance(answer, Response):
                return answer
            value = answer.value if answer.redacted else self._redacted(answer.value)
            return _json(value, answer.status, {})

        return endpoint

    async def _unknown(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        raise RefusedError(
            404,
            f"{path} is no admin path{did_you_mean(path, ROUTES)}; there are: {', '.join(ROUTES)}",
        )

    def _refusal(self, refused: RefusedError, allow: str = "") -> Response:
        place = {} if refused.place is None else {"place": refused.place}
        said = {"error": {"message": refused.message, **place}, **refused.more}
        return _json(self._redacted(said), refused.status, {"Allow": allow} if allow else {})

    def _redacted(self, value: Any) -> Any:
        """An answer as a whole: a call's own words may come back in it."""
        return self._admin.reading.redactor.value(value)


def _json(value: Any, status: int, headers: Mapping[str, str]) -> Response:
    text = json.dumps(value, ensure_ascii=False)
    body = (
        text.encode("utf-8", "backslashreplace") + b"\n"
    )  # of a lone surrogate, that is JSON's own escape
    return Response(body, status, headers, "application/json")
