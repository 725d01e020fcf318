"""The HTTP/1 protocols of uvicorn, made to fail as nginx fails and to take what nginx takes.

httptools parses what is common and fast. Whatever it cannot do as the host does is handed to h11, as uvicorn itself
hands a connection to a WebSocket protocol: HTTP/1.0 (whose answers must not be chunked), unusual methods, and requests
that offer to upgrade (whose bodies httptools would drop), and several requests in one piece (any may be such a one).
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from fake_server.scope import CONNECTION
from fake_server.serving.refusing import HEAD_TOO_LARGE, refuse, spec_of

if TYPE_CHECKING:
    from uvicorn.protocols.http.h11_impl import H11Protocol

_COMMON = re.compile(rb"(?:GET|POST|HEAD|PUT|DELETE|OPTIONS|PATCH) [!-~]* HTTP/1\.1\r\n")
_UPGRADE = re.compile(rb"\r\nupgrade:", re.IGNORECASE)


def _is_common(data: bytes) -> bool:
    """Whether ``data`` begins one request of the kind that httptools takes as the host does."""
    return bool(_COMMON.match(data)) and data.count(b" HTTP/1.") == 1 and not _UPGRADE.search(data)


class _TooLongError(Exception):
    """Raised into the parser to end a request whose head is over the proxy's limits."""


class CommonProtocol(HttpToolsProtocol):
    """httptools for common requests; a connection with anything else is handed to ``fallback``."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, {**app_state}, _loop)  # each connection has a state of its own
        self._in_message = False

    @staticmethod
    def fallback() -> type[H11Protocol]:
        """What takes a connection over; imported only then."""
        from uvicorn.protocols.http.h11_impl import H11Protocol

        return H11Protocol

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state[CONNECTION] = transport

    def data_received(self, data: bytes) -> None:
        if self._between_requests() and not _is_common(data):
            self._hand_over(data)
            return
        super().data_received(data)

    def _between_requests(self) -> bool:
        # A body may still be on its way when its request has been answered, as with a refused key.
        answered = self.cycle is None or (self.cycle.response_complete and not self.pipeline)
        return answered and not self._in_message

    def _hand_over(self, data: bytes) -> None:
        self.connections.discard(self)
        self._unset_keepalive_if_required()
        fallback = self.fallback()(self.config, self.server_state, self.app_state, self.loop)
        fallback.connection_made(self.transport)
        self.transport.set_protocol(fallback)
        fallback.data_received(data)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_message = True

    def on_message_complete(self) -> None:
        self._in_message = False
        super().on_message_complete()


class Protocol(CommonProtocol):
    """The protocol of the fake: with the proxy's limits."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._spec = spec_of(config)
        self._refusal = 400
        self._in_head = 0

    @staticmethod
    def fallback() -> type[H11Protocol]:
        """h11 with the same limits."""
        from fake_server.serving.fallback import Fallback

        return Fallback

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._refusal = 400
        self._in_head = 0

    def on_url(self, url: bytes) -> None:
        self._in_head += len(url)
        if self._in_head > self._spec.limits.request_line_bytes:
            self._refusal = 414
            raise _TooLongError
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        limits = self._spec.limits
        line_bytes = len(name) + len(b": ") + len(value)
        self._in_head += line_bytes
        if line_bytes > limits.header_line_bytes or self._in_head > limits.headers_bytes:
            self._refusal = HEAD_TOO_LARGE
            raise _TooLongError
        super().on_header(name, value)

    def send_400_response(self, msg: str) -> None:
        refuse(self.transport, self.config, self._refusal)
