"""One line in the log for each request, with nothing in it that opens anything: no key, no signature."""

from __future__ import annotations

import logging
import re
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

access_log = logging.getLogger("fake_server.access")

_SIGNATURE = re.compile(rb"((?:^|&)(?:sign|nonce)=)[^&]*")


_CLIENT_LEFT = 499
"""nginx's own number for a client that left before it was answered."""


class AccessLog:
    """Writes the line when the answer has been sent, or when the client has left."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not access_log.isEnabledFor(logging.INFO):
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        seen = {"status": _CLIENT_LEFT, "bytes": 0}

        async def counting_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen["status"] = message["status"]
            else:
                seen["bytes"] += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, counting_send)
        finally:
            _write(scope, seen, time.perf_counter() - began)


def _write(scope: Scope, seen: dict[str, int], seconds: float) -> None:
    fields = {
        "client": (scope.get("client") or ("-",))[0],
        "method": scope["method"],
        "path": _shown_path(scope),
        "operation": scope.get("operation_id", "-"),
        "status": seen["status"],
        "bytes": seen["bytes"],
        "ms": round(seconds * 1000, 1),
    }
    access_log.info("%(method)s %(path)s %(status)s %(bytes)s B %(ms)s ms", fields, extra={"fields": fields})


def _shown_path(scope: Scope) -> str:
    query = _SIGNATURE.sub(rb"\1***", scope["query_string"])
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    return (path + (b"?" + query if query else b"")).decode("latin-1")
