"""What a server that remembers heads of requests can ask an app: to respond without a task."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from starlette.types import Scope

from fake_server.http.responses import RawHeaders


class QuickResponse(NamedTuple):
    """A response that is complete at once, of status 200. ``headers`` lack those that frame the
    body, and are the same object for the same responder and kind of response.

    ``chunked``: ``body`` is one chunk, and has no Content-Length.
    """

    headers: RawHeaders
    body: bytes
    chunked: bool


class QuickResponder(Protocol):
    """Responds to the requests of one head."""

    def respond(self, scope: Scope, body: bytes) -> QuickResponse | None:
        """The response to a request whose ``body`` has come whole, noted in journal, counters and
        log; None where the ordinary path has to respond, and nothing has been noted.
        """
        ...


class QuickApp(Protocol):
    """An ASGI app that knows quick responses."""

    def quick_responder(self, scope: Scope) -> QuickResponder | None:
        """What responds to requests with the head of ``scope``; None where that needs the
        ordinary path. It depends on method, target, version and headers alone.
        """
        ...
