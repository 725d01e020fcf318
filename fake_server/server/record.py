"""The recorder as a process: from its settings to its socket, and its summary at the end."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from functools import partial

import click
from starlette.types import ASGIApp, Receive, Scope, Send

from dify_wire.redaction.text import TextRedactor
from dify_wire.strict import counted
from dify_wire.text_file import write_text
from fake_server.clock import Clock
from fake_server.http.error_pages import HEAD_TOO_LARGE
from fake_server.http.responses import Response, proxy_page
from fake_server.journal.exchanges import AccessLog, Counters, Journal, ObservedExchange
from fake_server.recorder.images import ImageFetcher
from fake_server.recorder.proxy import WIRE, RecordingProxy
from fake_server.recorder.settings import RecorderSettings, split_upstream
from fake_server.recorder.upstream import Upstream
from fake_server.recorder.writing import ExchangeWriter, Written, redactor, start_writer
from fake_server.server.heads import Head, KnownHeads
from fake_server.server.log import set_up_logging
from fake_server.server.protocols import CommonProtocol
from fake_server.server.server import ToolServer, address, bind, collect_rarely, tool_config
from fake_server.settings import SettingsError

_GRACE_S = 10
_REMEMBERED = 1
"""The log is made from the newest entry of a journal; a recorder needs no more."""


def record_forever(settings: RecorderSettings) -> int:
    """Record until a signal ends it; returns the exit code, 1 if something was lost.

    Raises ``SettingsError``.
    """
    if settings.ready_file:
        settings.ready_file.unlink(missing_ok=True)  # that of an earlier recorder
    sock = bind(settings)
    _check_no_loop(settings, sock)
    set_up_logging("human")
    # A response that breaks off is intended, and logged by the proxy.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    writer = start_writer(settings, _warn)
    if writer.leftovers:
        removed = f"{len(writer.leftovers)} unfinished files of it have been removed"
        _warn(f"an earlier recorder was killed: {removed}")
    collect_rarely()
    return RecordingServer(settings, sock, writer).run()


class RecordingServer:
    """Serves the proxy on a bound socket and has what passes written; prints with ``echo``."""

    def __init__(
        self,
        settings: RecorderSettings,
        sock: socket.socket,
        writer: ExchangeWriter,
        echo: Callable[[str], object] = click.echo,
    ) -> None:
        self._settings = settings
        self._socket = sock
        self._writer = writer
        self._echo = echo
        upstream = Upstream(settings.upstream, settings.timeout_s)
        fetch_images = partial(ImageFetcher, upstream, writer) if settings.fetch_images else None
        self._proxy = RecordingProxy(upstream, writer, fetch_images)
        app = _logged(self._proxy, redactor(settings))
        protocol = partial(_Protocol, known=KnownHeads())
        config = tool_config(app, http=protocol, lifespan="on", timeout_graceful_shutdown=_GRACE_S)
        self.server = ToolServer(config, self._announce, self._proxy.end)

    def run(self) -> int:
        """Serve until the server ends; returns the exit code, 1 if something was lost."""
        at_once = True
        try:
            self.server.run(sockets=[self._socket])
            at_once = self.server.force_exit
        except KeyboardInterrupt:  # a second Ctrl-C
            pass
        finally:
            written = self._writer.finish(self._echo, at_once)
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGINT, signal.SIG_IGN)  # the end is near; no traceback then
            self._echo(_summary(self._settings, written, self._proxy))
        not_fetched = self._proxy.images.failed if self._proxy.images else 0
        lost = written.lost or written.bodies_lost or self._proxy.counts.not_searched
        return 1 if lost or not_fetched else 0

    def _announce(self) -> None:
        settings, url = self._settings, address(self._socket)
        self._echo(
            f"Recording {settings.upstream} into {settings.to}."
            f" Send requests to {url}; Ctrl-C ends it."
        )
        if settings.ready_file:
            ready = json.dumps({"url": url, "upstream": settings.upstream, "pid": os.getpid()})
            write_text(settings.ready_file, ready + "\n")


_UNREADABLE = {
    400: "the request is not valid; the recorder is not a proxy for other hosts",
    414: "the request line is too long",
    HEAD_TOO_LARGE: "the headers are too large",
    501: "this transfer encoding is not known",
    505: "this version of HTTP is not known",
}


class _Protocol(CommonProtocol):
    """Gives the app a request as it was on the wire: its names in their case, its target as it
    came.
    """

    def refusal(self, status: int) -> Response:
        message = f"fake-server record: {_UNREADABLE[status]}"
        status = 400 if status == HEAD_TOO_LARGE else status
        data = {"code": "bad_request", "message": message, "status": status}
        return proxy_page(status, json.dumps(data).encode(), b"application/json")

    def complete_scope(self, scope: Scope, head: Head) -> None:
        headers = [(name, value) for name, (_, value) in zip(head.names, head.headers, strict=True)]
        scope["extensions"] = {WIRE: {"headers": headers, "target": head.target}}


def _logged(proxy: RecordingProxy, redactor: TextRedactor) -> ASGIApp:
    """The proxy with a line in the log for each request."""
    log = AccessLog(Journal(Clock(), entries=_REMEMBERED), Counters(), lambda: redactor)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await proxy(scope, receive, send)
            return
        with ObservedExchange(log, scope, receive, send) as exchange:
            await proxy(scope, exchange.receive, exchange.send)

    return app


def _check_no_loop(settings: RecorderSettings, sock: socket.socket) -> None:
    """Raise ``SettingsError`` where the upstream is this very recorder."""
    upstream = split_upstream(settings.upstream)
    port = upstream.port or (443 if upstream.scheme == "https" else 80)
    host, own_port = sock.getsockname()[:2]
    if port == own_port and upstream.hostname in {host, settings.host, "localhost"}:
        sock.close()
        raise SettingsError(
            "upstream", "it is this recorder itself; give the host's address, or another --port"
        )


def _summary(settings: RecorderSettings, written: Written, proxy: RecordingProxy) -> str:
    counts, not_fetched = proxy.counts, proxy.images.failed if proxy.images else 0
    exchanges, images = counted(written.exchanges, "exchange"), counted(written.images, "image")
    always = [exchanges, images, f"{written.lost} lost"]
    others = {
        "bodies lost (their recordings say why)": written.bodies_lost,
        "not searched for images": counts.not_searched,
        "without a response of the host": counts.unanswered,
        "left by the client before a response": counts.left_early,
        "images not fetched": not_fetched,
    }
    found = [f"{count} {what}" for what, count in others.items() if count]
    return f"Recorded into {settings.to}: {', '.join([*always, *found])}."


def _warn(message: str) -> None:
    click.echo(f"Warning: {message}", file=sys.stderr)
