"""The console in Chromium: when a first visit shows something, and what an open one costs the runs
of a server under load.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import Figure, Sample, Size, SkippedError, beside
from benchmarks.servers import PORT, Server, fake, served
from benchmarks.throughput import RUN
from benchmarks.wrk import load, send
from tests.browser import Browser

if TYPE_CHECKING:
    from playwright.sync_api import Page

_RUNS = 1_000
_WORD = "<!doctype html><title>.</title><link rel=icon href='data:,'><p>word"
_FILES = (sys.executable, "-m", "http.server", PORT, "--bind", "127.0.0.1", "-d")
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
        folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
        (folder / "index.html").write_text(_WORD)
        word = running.enter_context(served([*_FILES, str(folder)]))
        painted = beside(
            "a page opened for the first time",
            {
                "one word": partial(browser.do, partial(_first_paint, browser, f"{word.url}/")),
                "the console": partial(
                    browser.do, partial(_first_paint, browser, f"{watched.url}/__admin/")
                ),
            },
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


def _first_paint(browser: Browser, url: str) -> Sample:
    page = browser.new_page([])
    page.goto(url)
    painted_ms: float = page.evaluate(_FIRST_PAINT)
    page.context.close()
    return {"first contentful paint ms": painted_ms}


def _opened(browser: Browser, server: Server) -> Page:
    page = browser.new_page([])
    page.goto(f"{server.url}/__admin/#/runs")
    page.wait_for_selector("article.run")
    return page


def _newest(page: Page) -> str | None:
    """The newest run that the page shows, two seconds from now at the latest."""
    page.wait_for_timeout(2_000)
    return page.locator("article.run").first.get_attribute("data-key")
