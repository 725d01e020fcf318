"""A mutant as a real server on a loopback socket, in a thread of this process."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Iterator

from starlette.types import ASGIApp

from contract.admin import AdminClock
from contract.client import HttpTransport
from contract.target import Lent, Target
from fake_server.app import create_app
from fake_server.server.thread import ServerThread
from fake_server.settings import DEFAULT_API_KEY, Settings
from tests.mutants.breaking import Wrap
from tests.mutants.mutant import Mutant

SECRET = "sk-mutants"
APP_KEYS = {kind: f"app-{kind}" for kind in ("chat", "unpublished", "disabled", "deleted")}


def untouched(app: ASGIApp) -> ASGIApp:
    """No break at all: the host that must pass."""
    return app


@contextlib.contextmanager
def serving(wrap: Wrap, speed: float | None = None) -> Iterator[str]:
    """The address of the fake, broken by ``wrap``, while the context lasts."""
    settings = Settings(
        port=0,
        speed=speed,
        seed=1,
        secret_key=SECRET,
        apps=tuple((key, kind) for kind, key in APP_KEYS.items()),
    )
    logging.getLogger("uvicorn.error").setLevel(
        logging.CRITICAL + 1
    )  # a broken host breaks, and that is no news
    app = create_app(settings)
    app._app = wrap(app._app)
    thread = ServerThread(app, settings)
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
    with serving(untouched) as url:
        transport = HttpTransport(url)
        try:
            target = Target(transport, Lent(DEFAULT_API_KEY))
            target.send(target.run_request(response_mode="streaming"))
        finally:
            transport.close()


@contextlib.contextmanager
def target_of(mutant: Mutant) -> Iterator[Target]:
    """The mutant as the suite sees a host that lends everything, with the usual budget."""
    _warm_up()
    with serving(mutant.wrap, mutant.speed) as url:
        transport, clock = HttpTransport(url, mutant.timeout_s), AdminClock(url)
        try:
            yield Target(
                transport,
                Lent(
                    DEFAULT_API_KEY, SECRET, APP_KEYS, all_models=True, free_runs=True, clock=clock
                ),
            )
        finally:
            clock.close()
            transport.close()
