"""The console in Chromium: when a first visit shows something, and what an open one costs the runs
of a server under load.
"""

from __future__ import annotations

import contextlib
import shutil
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.measure import FAKE, Figure, Sample, Size, SkippedError, beside
from benchmarks.servers import Server, fake, served
from benchmarks.throughput import RUN
from benchmarks.wrk import load, send
from tests.browser import Browser

if TYPE_CHECKING:
    from playwright.sync_api import Page

_RUNS = 1_000
_FIRST_PAINT = """() => new Promise((resolve) => {
  new PerformanceObserver((list) => {
    const [paint] = list.getEntriesByName("first-contentful-paint");
    if (paint) resolve(paint.startTime);
  }).observe({ type: "paint", buffered: true });
})"""


def figures(size: Size) -> list[Figure]:
    """A page with an empty cache each time; then two servers side by side, one of them watched."""
    program = shutil.which("chromium")
    if program is None:
        raise SkippedError("Chromium is not installed (apt install chromium)")
    with contextlib.ExitStack() as running:
        alone, watched = (
            running.enter_context(served(fake("--speed", "instant"))) for _ in range(2)
        )
        for server in (alone, watched):
            send(server, RUN, size.of(100, _RUNS, _RUNS))
        browser = running.enter_context(Browser(program))
        painted = beside(
            "the console, opened for the first time",
            {FAKE: partial(browser.do, partial(_first_paint, browser, watched))},
            size.of(1, 5, 15),
        )
        page = browser.do(partial(_opened, browser, watched))
        slices = {
            "no console": partial(load, alone, RUN, 8, size.of(0.1, 3.0, 5.0)),
            "an open console": partial(load, watched, RUN, 8, size.of(0.1, 3.0, 5.0)),
        }
        before = browser.do(partial(_newest, page))
        compared = beside("blocking run, watched", slices, size.of(1, 2, 6))
        if browser.do(partial(_newest, page)) == before:
            raise SystemExit("the open console does not follow the runs")
        return [*painted, *compared]


def _first_paint(browser: Browser, server: Server) -> Sample:
    page = _opened(browser, server)
    painted_ms: float = page.evaluate(_FIRST_PAINT)
    runs_ms: float = page.evaluate("performance.now()")
    page.context.close()
    return {"first contentful paint ms": painted_ms, "50 runs shown ms": runs_ms}


def _opened(browser: Browser, server: Server) -> Page:
    page = browser.new_page([])
    page.goto(f"{server.url}/__admin/#/runs")
    page.wait_for_selector("article.run")
    return page


def _newest(page: Page) -> str | None:
    """The newest run that the page shows, two seconds from now at the latest."""
    page.wait_for_timeout(2_000)
    return page.locator("article.run").first.get_attribute("data-key")
