"""A mutant as a real server on a loopback socket, in a thread of this process."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Iterator

from starlette.types import ASGIApp, Receive, Scope, Send

from contract.admin import AdminClock
from contract.client import HttpTransport
from contract.target import Capabilities, Target
from fake_server.app import ADMIN_PREFIX, FakeServer, create_app
from fake_server.server.server import ServerThread
from fake_server.settings import DEFAULT_API_KEY, Settings
from tests.mutants.middleware import Wrap, crashes_kept
from tests.mutants.mutant import Mutant

SECRET = "sk-mutants"
APP_KEYS = {kind: f"app-{kind}" for kind in ("chat", "unpublished", "disabled", "deleted")}


class _MutantServer(FakeServer):
    """The fake, changed by ``wrap`` but for its admin API."""

    def __init__(self, settings: Settings, wrap: Wrap) -> None:
        app = create_app(settings)
        super().__init__(app.host, app.scenarios)
        self._mutant = wrap(super().__call__)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or f"{scope['path']}/".startswith(ADMIN_PREFIX):
            await super().__call__(scope, receive, send)
            return
        with crashes_kept():
            await self._mutant(scope, receive, send)

    def quick_responder(self, scope: Scope) -> None:
        """None: what is responded to at once would pass the mutant by."""


def untouched(app: ASGIApp) -> ASGIApp:
    """No change at all: the host that must pass."""
    return app


@contextlib.contextmanager
def serving(wrap: Wrap, speed: float | None = None) -> Iterator[str]:
    """The address of the fake, changed by ``wrap``, while the context lasts."""
    apps = tuple((key, kind) for kind, key in APP_KEYS.items())
    settings = Settings(port=0, speed=speed, seed=1, secret_key=SECRET, apps=apps)
    logging.getLogger("uvicorn.error").setLevel(
        logging.CRITICAL + 1
    )  # a mutant's errors are no news
    thread = ServerThread(_MutantServer(settings, wrap), settings)
    thread.start()
    try:
        yield thread.url
    finally:
        thread.stop(at_once=True)


@functools.cache
def _warm_up() -> None:
    """One stream of an untouched host: the first of a process waits for modules, and its frames
    come late.
    """
    with serving(untouched) as url, contextlib.closing(HttpTransport(url)) as transport:
        target = Target(transport, Capabilities(DEFAULT_API_KEY))
        target.send(target.run_request(response_mode="streaming"))


@contextlib.contextmanager
def serving_target(mutant: Mutant) -> Iterator[Target]:
    """The mutant as the suite sees a host that offers everything, with the usual budget."""
    _warm_up()
    with (
        serving(mutant.wrap, mutant.speed) as url,
        contextlib.closing(HttpTransport(url, mutant.timeout_s)) as transport,
        contextlib.closing(AdminClock(url)) as clock,
    ):
        offered = Capabilities(
            DEFAULT_API_KEY, SECRET, APP_KEYS, all_models=True, free_runs=True, clock=clock
        )
        yield Target(transport, offered)
