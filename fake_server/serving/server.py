"""A uvicorn server that ends as a tool of this kind should: Ctrl-C and SIGTERM end open streams, exit code 0."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator
from types import FrameType

import uvicorn

from fake_server.app import FakeServer
from fake_server.serving.protocols import protocols
from fake_server.settings import Settings, SettingsError

_KEEP_ALIVE_S = 65
"""nginx's own (FACTS 1.4)."""

_GRACE_S = 5


class Server(uvicorn.Server):
    """Serves ``app`` on sockets that are already bound."""

    def __init__(self, app: FakeServer, settings: Settings) -> None:
        self._fake = app
        spec = app.host.spec
        super().__init__(
            uvicorn.Config(
                app,
                http=protocols(spec),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                headers=[("Server", spec.proxy_server)],
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=_GRACE_S,
                ssl_certfile=settings.ssl_certfile,
                ssl_keyfile=settings.ssl_keyfile,
            )
        )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        self._fake.end_runs()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take the signals without raising them again at the end, as the base does: that would be the exit code."""
        loop = asyncio.get_running_loop()
        handled = (signal.SIGINT, signal.SIGTERM)
        for sig in handled:
            loop.add_signal_handler(sig, self.handle_exit, sig, None)
        try:
            yield
        finally:
            for sig in handled:
                loop.remove_signal_handler(sig)


def bind(settings: Settings) -> socket.socket:
    """The listening socket. Raises ``SettingsError`` where the address cannot be had."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise SettingsError(
            "port",
            f"cannot listen on {settings.host}:{settings.port}: {reason}; use another --port, or 0 for any free one",
        ) from error
