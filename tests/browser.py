"""Pages in a real browser: Chromium of the machine, driven by Playwright.

A test with the marker ``browser`` takes the fixture ``page``. It gets a page of a context of its
own, in the one browser of this process; errors in the page's console, exceptions in its scripts and
requests to other machines fail the test. ``@pytest.mark.browser(errors=[REGEX])`` names errors that
have to be there instead.

Playwright runs an event loop in its thread, and a loop that runs would break every test with
``asyncio.run``. So the browser has a thread, in which the bodies of its tests run too. Fixtures do
not: they use no page.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import pytest

from tests.tools import needed

if TYPE_CHECKING:
    from playwright.sync_api import ConsoleMessage, Error, Page, Request

T = TypeVar("T")

_NAMES = "MAP fake.example 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    f"--host-resolver-rules={_NAMES}",
)
"""No name but those of this machine is found, and ``fake.example`` is one of them. Playwright could
block requests as well, but then it answers preflights itself, and CORS is what is tested.
"""

_LOCAL = ("127.0.0.1", "localhost", "fake.example", None)
_TIMEOUT_MS = 15_000


class Browser:
    """Chromium and the thread that it is driven from. As a context it ends both."""

    def __init__(self, program: str) -> None:
        self._thread = ThreadPoolExecutor(1, "browser")
        self.do(lambda: self._start(program))

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *error: object) -> None:
        self.do(self._end)
        self._thread.shutdown()

    def _start(self, program: str) -> None:
        from playwright.sync_api import sync_playwright

        self._playwright = sync_playwright().start()
        self._chromium = self._playwright.chromium.launch(executable_path=program, args=FLAGS)

    def _end(self) -> None:
        self._chromium.close()
        self._playwright.stop()

    def do(self, function: Callable[[], T]) -> T:
        """What ``function`` returns or raises, called in the browser's thread."""
        return self._thread.submit(function).result()

    def new_page(self, errors: list[str]) -> Page:
        """A page in a context of its own, whose errors are added to ``errors``."""
        context = self._chromium.new_context()
        context.set_default_timeout(_TIMEOUT_MS)

        def logged(message: ConsoleMessage) -> None:
            if message.type == "error":
                errors.append(message.text)

        def thrown(error: Error) -> None:
            errors.append(f"{error.name}: {error.message}")

        def requested(request: Request) -> None:
            if urlsplit(request.url).hostname not in _LOCAL:
                errors.append(f"a request to another machine: {request.url}")

        page = context.new_page()
        page.on("console", logged)
        page.on("pageerror", thrown)
        context.on("request", requested)
        return page


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, started once; skips where there is none."""
    with Browser(needed("chromium")) as started:
        yield started


@pytest.fixture
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """An empty page, whose errors fail the test."""
    marker = request.node.get_closest_marker("browser")
    assert marker is not None, "a test in a browser needs the marker 'browser'"
    errors: list[str] = []
    opened = browser.do(lambda: browser.new_page(errors))
    yield opened
    browser.do(opened.context.close)
    check_errors(errors, marker.kwargs.get("errors", []))


def check_errors(errors: list[str], expected: list[str]) -> None:
    """Fail where a page has an error that is not expected, or has not one that is."""
    found = [one for one in errors if not any(re.search(regex, one) for regex in expected)]
    missing = [regex for regex in expected if not any(re.search(regex, one) for one in errors)]
    assert not found, f"errors in the page: {found}"
    assert not missing, f"errors that are missing in the page: {missing}; it has {errors}"


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> object:
    """Runs the body of a test with a browser in the browser's thread."""
    used = pyfuncitem.funcargs.get("browser")
    if not isinstance(used, Browser):
        return None
    test: Callable[..., Any] = pyfuncitem.obj
    arguments = {name: pyfuncitem.funcargs[name] for name in inspect.signature(test).parameters}
    used.do(lambda: test(**arguments))
    return True
