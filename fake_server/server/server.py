"""A uvicorn server that ends at once: Ctrl-C and SIGTERM end open streams, exit code 0.

It can run in a thread of the program that uses it too.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from email.utils import formatdate
from functools import partial
from importlib import import_module
from types import FrameType
from typing import Any, TypeVar
from typing import Protocol as Interface

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from fake_server.clock import Clock
from fake_server.host_spec import HostSpec
from fake_server.server.heads import KnownHeads
from fake_server.server.host_protocol import Protocol
from fake_server.server.parser import HeadLimits
from fake_server.settings import Settings, SettingsError

KEEP_ALIVE_S = 65
"""A connection without a request for so long is closed, as by nginx (FACTS 1.4)."""

GRACE_S = 5
"""When the server ends, whatever still runs after so long is broken off."""

UNREAD_S = 0.3
"""How long clients have to read what was sent before the server ended."""

_LATE_S = 0.2
_TICK_S = 1.0

_IDLE_S = 0.1
"""So long after the start a first response has been sent, where somebody waited for it."""

_LATER = (
    "fake_server.endpoints.workflows",
    "fake_server.compiled.responder",
    "fake_server.http.event_stream",
    "dify_wire.redaction.text",
    "anyio._backends._asyncio",
)
"""What a start does without, and runs need."""


_NEW_OBJECTS = 10_000
"""Objects that are new since the last look; to look at so many takes 2 or 3 ms."""

_LOOKS = 500
"""After so many looks, what has survived one is looked at again."""


def collect_rarely() -> None:
    """Have the garbage collector look at what is new, after the start, and not often: each look at
    thousands of open streams holds all of them up, and next to nothing that a request makes is
    garbage for it. For a process of its own; a fake in a test leaves its host's collector alone.
    """
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS, _LOOKS, _LOOKS)
    gc.enable()


class ToolServer(uvicorn.Server):
    """Calls ``on_listening`` once a signal would end it well, and ``on_end`` when it is to end.

    It may run in any thread; signals reach it in the main one only.
    """

    def __init__(
        self, config: uvicorn.Config, on_listening: Callable[[], None], on_end: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self.on_listening = on_listening
        self._on_end = on_end

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.on_listening()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        self.end()

    def end(self) -> None:
        """End the server: what is under way is cut short. In the server's own thread."""
        self.should_exit = True
        self._on_end()
        self._give_up()
        with contextlib.suppress(RuntimeError):  # there is no loop: it has not begun
            loop = asyncio.get_running_loop()
            loop.call_later(UNREAD_S, self._give_up, True)
            loop.call_later(_LATE_S, self._end_late_connections)

    def drain(self) -> None:
        """Accept no more, let what has begun end, then end. In the server's own thread."""
        for one in self.servers:
            one.close()
        self._drain()

    def _drain(self) -> None:
        if self._end_connections(give_up=False):
            asyncio.get_running_loop().call_later(_LATE_S, self._drain)
        else:
            self.end()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As the base does, which rests 0.1 s for connections to end, if they are to have time."""
        if not self.force_exit:
            await super().shutdown(sockets)
            return
        for one in (*self.servers, *(sockets or ())):
            one.close()
        self._end_connections()
        await asyncio.sleep(0)  # they close in the loop's next turn

    def _give_up(self, unread: bool = False) -> None:
        connections: list[Any] = list(self.server_state.connections)
        for connection in connections:
            connection.give_up(unread)

    def _end_late_connections(self) -> None:
        """End the connections that were made while the listening socket was closed, until none is
        left.

        The base class ends those that it knows when it begins to shut down, and then waits for all.
        """
        if self._end_connections():
            asyncio.get_running_loop().call_later(_LATE_S, self._end_late_connections)

    def _end_connections(self, give_up: bool = True) -> bool:
        """End all connections, with ``give_up`` at once; whether there is one."""
        connections: list[Any] = list(self.server_state.connections)
        for connection in connections:
            connection.shutdown()
            if give_up:
                connection.give_up()
        return bool(connections)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take the signals without raising them again, as the base does: the exit code is 0.

        A second SIGTERM does not cut off the end.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        names = ("SIGINT", "SIGTERM", "SIGBREAK")  # Ctrl-Break, on Windows only
        handled = [getattr(signal, name) for name in names if hasattr(signal, name)]
        remove = [_handle(loop, sig, self.handle_exit) for sig in handled]
        try:
            yield
        finally:
            for one in remove:
                one()
            signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _handle(
    loop: asyncio.AbstractEventLoop, sig: int, handler: Callable[[int, None], None]
) -> Callable[[], object]:
    """Have ``handler`` called in ``loop`` for ``sig``; what is returned ends that."""
    try:
        loop.add_signal_handler(sig, handler, sig, None)
    except NotImplementedError:  # the loops of Windows
        before = signal.signal(sig, lambda *_: loop.call_soon_threadsafe(handler, sig, None))
        return lambda: signal.signal(sig, before)
    return lambda: loop.remove_signal_handler(sig)


def tool_config(app: ASGIApp, **more: Any) -> uvicorn.Config:
    """uvicorn's settings for a tool that writes its own log and headers; ``more`` as they are."""
    return uvicorn.Config(
        app,
        ws="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        date_header=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        **more,
    )


class ServedApp(Interface):
    """What the server needs of the fake, which is an ASGI app."""

    @property
    def clock(self) -> Clock: ...

    @property
    def spec(self) -> HostSpec: ...

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...

    async def begin(self) -> None: ...

    async def leave(self) -> None: ...

    def end_runs(self) -> None: ...

    def close(self) -> None: ...


class Server(ToolServer):
    """Serves the fake on bound sockets, by the fake's own clock; its runs end with it. One that
    ``drains`` ends on SIGHUP, once all that it has begun has ended.
    """

    def __init__(
        self,
        app: ServedApp,
        settings: Settings,
        on_listening: Callable[[], None],
        *,
        drains: bool = False,
    ) -> None:
        self._drains = drains
        self._app, self._clock = app, app.clock
        self._proxy_server = app.spec.proxy_server.encode()
        self._ended = asyncio.Event()
        most = app.spec.limits
        limits = HeadLimits(
            most.request_line_bytes,
            most.header_line_bytes,
            most.headers_bytes,
            most.request_body_bytes,
        )
        config = tool_config(
            app,
            http=partial(Protocol, limits=limits, known=KnownHeads()),
            lifespan="off",
            timeout_graceful_shutdown=GRACE_S,
            ssl_certfile=settings.ssl_certfile,
            ssl_keyfile=settings.ssl_keyfile,
        )
        super().__init__(config, on_listening, app.end_runs)
        # Where a file has its size, a run draws its images, and should not wait for the import.
        self._draws_at_once = "size" in app.spec.fields["File"]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._date_responses()
        self._clock.follow(self._date_responses)
        await self._app.begin()
        if self._drains:
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self.drain)
        await super().startup(sockets)
        # What the first run needs is loaded after the first response, but before most first runs.
        loop = asyncio.get_running_loop()
        rest = map(import_module, _LATER)
        loop.call_later(_IDLE_S, lambda: loop.run_in_executor(None, list, rest))
        if self._draws_at_once:
            loop.run_in_executor(None, import_module, "fake_server.images.drawing")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        await self._app.leave()

    async def main_loop(self) -> None:
        """Write the date once a second, as the base does, but see the end at once."""
        while not self.should_exit:
            self._date_responses()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), _TICK_S)

    def end(self) -> None:
        """End the server: streams are cut, waiting calls get 502. In the server's own thread."""
        self._ended.set()
        super().end()

    def _date_responses(self) -> None:
        """Let responses carry the date of the fake's clock, also as soon as that is moved."""
        date = formatdate(self._clock.now(), usegmt=True).encode()
        self.server_state.default_headers = [(b"Server", self._proxy_server), (b"Date", date)]


class Address(Interface):
    """Where to listen."""

    @property
    def host(self) -> str: ...

    @property
    def port(self) -> int: ...


def bind(settings: Address) -> socket.socket:
    """The listening socket. Raises ``SettingsError`` where the address cannot be had."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        socket.getaddrinfo(settings.host, settings.port, family)
    except (socket.gaierror, UnicodeError) as error:
        raise SettingsError(
            "host", f"{settings.host!r} is not an address of this machine: {error}"
        ) from error
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error
        if error.errno == errno.EADDRNOTAVAIL:
            raise SettingsError(
                "host", f"{settings.host!r} is not an address of this machine: {reason}"
            ) from error
        where = f"{settings.host}:{settings.port}"
        raise SettingsError(
            "port", f"cannot listen on {where}: {reason}; use another --port, or 0 for any free one"
        ) from error


def address(sock: socket.socket, scheme: str = "http") -> str:
    """The URL at which a server listens on ``sock``."""
    host, port = sock.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}:{port}"


def check_certificate(settings: Settings) -> None:
    """Raise ``SettingsError`` where the files of TLS are not a certificate with its key."""
    if settings.ssl_certfile is None:
        return
    import ssl

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            settings.ssl_certfile, settings.ssl_keyfile
        )
    except (OSError, ssl.SSLError) as error:
        files = f"{settings.ssl_certfile} and {settings.ssl_keyfile}"
        raise SettingsError(
            "ssl_certfile", f"{files} are not a certificate with its key in PEM form: {error}"
        ) from error


T = TypeVar("T")


class ServerThread:
    """Serves ``app`` until it is stopped; takes no signals, prints and logs nothing of its own."""

    def __init__(self, app: ServedApp, settings: Settings) -> None:
        check_certificate(settings)
        self._socket = bind(settings)
        self.url = address(self._socket, settings.scheme)
        self._app = app
        self._server = Server(app, settings, self._listening)
        self._loop: Future[asyncio.AbstractEventLoop] = Future()
        self._thread = threading.Thread(
            target=self._serve, name=f"fake host {self.url}", daemon=True
        )

    def start(self) -> None:
        """Return once it listens. Raises what prevents that, ``RuntimeError`` at a second start."""
        if self._loop.done():
            raise RuntimeError(
                f"the host {self.url} has been started before, and can be but once; make another"
            )
        self._thread.start()
        self._loop.result()

    def stop(self, at_once: bool = False) -> None:
        """End it and return once the port is free; ``at_once`` gives connections no time to end."""
        self._server.force_exit = at_once
        self.call(self._server.end)
        self._thread.join()

    def call(self, function: Callable[[], T]) -> T:
        """What ``function`` returns or raises, called where the server itself runs, with nothing
        beside it.

        Raises ``RuntimeError`` where it does not run.
        """
        if not self._thread.is_alive():
            raise RuntimeError(
                f"the host {self.url} does not run; start it, or use it in a with block"
            )
        ended: Future[T] = Future()

        def settle() -> None:
            try:
                ended.set_result(function())
            except BaseException as error:  # the caller's to handle, whatever it is
                ended.set_exception(error)

        self._loop.result().call_soon_threadsafe(settle)
        return ended.result()

    def _serve(self) -> None:
        try:
            self._server.run(sockets=[self._socket])
        except BaseException as error:
            if self._loop.done():
                raise
            self._loop.set_exception(error)
            self._socket.close()
        finally:
            self._app.close()

    def _listening(self) -> None:
        self._loop.set_result(asyncio.get_running_loop())
