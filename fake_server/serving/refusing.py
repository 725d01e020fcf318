"""The proxy's own refusals, written past the app: what no app behind nginx ever sees."""

from __future__ import annotations

import asyncio
from email.utils import formatdate

from uvicorn.config import Config

from fake_server.clock import Clock
from fake_server.edge import pages
from fake_server.spec import HostSpec

HEAD_TOO_LARGE = 494
"""nginx's own number for it; it is told as 400, with a page of its own."""

_REASONS = {400: "Bad Request", 414: "Request-URI Too Large"}


def spec_of(config: Config) -> HostSpec:
    """The spec of the fake that ``config`` serves: uvicorn hands a protocol nothing else."""
    spec: HostSpec = config.app.host.spec  # type: ignore[union-attr]  # the app is always a FakeServer
    return spec


def clock_of(config: Config) -> Clock:
    clock: Clock = config.app.host.clock  # type: ignore[union-attr]  # as above
    return clock


def refuse(transport: asyncio.Transport, config: Config, refusal: int) -> None:
    """Answer with the proxy's page and close."""
    spec, now = spec_of(config), clock_of(config).now()
    if refusal == HEAD_TOO_LARGE:
        status, body = 400, pages.head_too_large(spec.proxy_server)
    else:
        status, body = refusal, pages.nginx(refusal, spec.proxy_server)
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nServer: {spec.proxy_server}\r\n"
        f"Date: {formatdate(now, usegmt=True)}\r\nContent-Type: text/html\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    transport.write(head.encode() + body)
    transport.close()
