"""What a server that remembers heads of requests can ask an app: to respond without a task."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from starlette.types import Receive, Scope, Send

from fake_server.http.responses import RawHeaders, Response

LONGEST_KNOWN = 4096
"""A longer head of a request, in bytes, is remembered by nobody; in a shorter one no value is too
long for the host.
"""


class QuickResponse(NamedTuple):
    """A response that is complete at once, of status 200. ``headers`` lack those that frame the
    body, and are the same object for the same responder and kind of response.

    ``chunked``: ``body`` is one chunk, and has no Content-Length.
    """

    headers: RawHeaders
    body: bytes
    chunked: bool


class PlayedResponse(Protocol):
    """A response of status 200 whose parts are due one after the other, by the fake's clock.

    ``headers`` and ``chunked`` are as those of a ``QuickResponse``; without ``chunked`` there is
    one part. Whoever plays it calls ``part`` when ``delay_s`` has passed, until ``over``, and then
    nothing any more.
    """

    headers: RawHeaders
    chunked: bool
    over: bool
    """Whether there is nothing more to be sent."""

    def begin(
        self, call: Callable[[Callable[[], None]], object], hand_over: Callable[[], None]
    ) -> None:
        """The response begins. ``call`` calls a function in the server's thread, from any thread.

        ``hand_over`` is called once, in the server's thread, by whatever this way of playing does
        not know: a run that is stopped, a clock that is moved, a server that ends. From then on
        ``rest`` responds, and nothing else of this is called any more.
        """
        ...

    def take_over(self) -> None:
        """Have ``hand_over`` called, if it has not been."""
        ...

    def delay_s(self) -> float:
        """In how many seconds the next part is due; 0 or less where it is due now."""
        ...

    def part(self) -> bytes:
        """The next part, which is due; empty where there only is an end."""
        ...

    def left(self) -> None:
        """The client has left."""
        ...

    async def rest(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send what follows, as an ASGI app whose head has been sent if any part has."""
        ...


class QuickResponder(Protocol):
    """Responds to the requests of one head."""

    def respond(
        self, scope: Scope, body: bytes
    ) -> QuickResponse | PlayedResponse | Response | None:
        """The response to a request whose ``body`` has come whole, noted in journal, counters and
        log; None where the ordinary path has to respond, and nothing has been noted.
        """
        ...
