"""The HTTP/1 protocols of uvicorn, made to fail as nginx fails and to take what nginx takes.

httptools parses what is common and fast. Whatever it cannot do as the host does is handed to h11, as uvicorn itself
hands a connection to a WebSocket protocol: HTTP/1.0 (whose answers must not be chunked), unusual methods, and requests
that offer to upgrade (whose bodies httptools would drop), and several requests in one piece (any may be such a one).
"""

from __future__ import annotations

import asyncio
import re
from email.utils import formatdate
from typing import Any

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from fake_server.edge import pages
from fake_server.spec import HostSpec

_COMMON = re.compile(rb"(?:GET|POST|HEAD|PUT|DELETE|OPTIONS|PATCH) [!-~]* HTTP/1\.1\r\n")
_UPGRADE = re.compile(rb"\r\nupgrade:", re.IGNORECASE)


def _is_common(data: bytes) -> bool:
    """Whether ``data`` begins one request of the kind that httptools takes as the host does."""
    return bool(_COMMON.match(data)) and data.count(b" HTTP/1.") == 1 and not _UPGRADE.search(data)


class _TooLongError(Exception):
    """Raised into the parser to end a request whose head is over the proxy's limits."""


class Fallback(H11Protocol):
    """h11 as the proxy would have it: slower, and able to take whatever nginx takes."""

    def data_received(self, data: bytes) -> None:
        if self.conn.their_state is h11.IDLE:
            refusal = _refusal(self.conn.trailing_data[0] + data, _spec(self.config))
            if refusal:
                _refuse(self.transport, _spec(self.config), refusal)
                return
        super().data_received(data)

    def send_400_response(self, msg: str) -> None:
        _refuse(self.transport, _spec(self.config), 400)


class Protocol(HttpToolsProtocol):
    """httptools for common requests, with the proxy's limits; anything else is handed to ``Fallback``."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._spec = _spec(config)
        self._app_state = app_state
        self._refusal = 400
        self._in_head = 0
        self._in_message = False

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
        fallback = Fallback(self.config, self.server_state, self._app_state, self.loop)
        fallback.connection_made(self.transport)
        self.transport.set_protocol(fallback)
        fallback.data_received(data)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._refusal = 400
        self._in_head = 0
        self._in_message = True

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
            self._refusal = _HEAD_TOO_LARGE
            raise _TooLongError
        super().on_header(name, value)

    def on_message_complete(self) -> None:
        self._in_message = False
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        _refuse(self.transport, self._spec, self._refusal)


def _spec(config: Config) -> HostSpec:
    """The spec of the fake that ``config`` serves: uvicorn hands a protocol nothing else."""
    spec: HostSpec = config.app.host.spec  # type: ignore[union-attr]  # the app is always a FakeServer
    return spec


def _refusal(data: bytes, spec: HostSpec) -> int | None:
    """What of the head at the start of ``data`` the proxy refuses, where h11 would not."""
    limits = spec.limits
    first, *lines = data.partition(b"\r\n\r\n")[0].split(b"\r\n")
    if len(first) > limits.request_line_bytes:
        return 414
    if any(len(line) > limits.header_line_bytes for line in lines) or sum(map(len, lines)) > limits.headers_bytes:
        return _HEAD_TOO_LARGE
    names = [line.partition(b":")[0].lower() for line in lines]
    coded = names.count(b"transfer-encoding")
    if coded + names.count(b"content-length") > 1 or (coded and first.endswith(b"HTTP/1.0")):
        return 400
    return None


_HEAD_TOO_LARGE = 494
"""nginx's own number for it; it is told as 400, with a page of its own."""

_REASONS = {400: "Bad Request", 414: "Request-URI Too Large"}


def _refuse(transport: asyncio.Transport, spec: HostSpec, refusal: int) -> None:
    """Answer with the proxy's page and close."""
    if refusal == _HEAD_TOO_LARGE:
        status, body = 400, pages.head_too_large(spec.proxy_server)
    else:
        status, body = refusal, pages.nginx(refusal, spec.proxy_server)
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nServer: {spec.proxy_server}\r\n"
        f"Date: {formatdate(usegmt=True)}\r\nContent-Type: text/html\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    transport.write(head.encode() + body)
    transport.close()
