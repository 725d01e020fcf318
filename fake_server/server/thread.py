"""A server in a thread, with an event loop of its own, for the program that uses it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from fake_server.server.server import ServedApp, Server, address, bind, check_certificate
from fake_server.settings import Settings

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
