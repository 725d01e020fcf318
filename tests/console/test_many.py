"""The console with as many runs and requests as the fake keeps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.asgi import run_body
from tests.serving import Connection, RunningServer, running_server

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.server, pytest.mark.browser, pytest.mark.slow]

MANY = 1_000
LONGEST_MS = 100
"""Of a processor, for one task of the page; the clock on the wall would measure the machine."""

TRIES = 2


@pytest.fixture(scope="module")
def full() -> Iterator[RunningServer]:
    """A server whose stores of runs and requests are full."""
    with running_server("--speed", "instant") as server:
        with Connection(server.host, server.port) as connection:
            for number in range(MANY):
                body = run_body(prompt=f"number {number}, " + "a long prompt " * 10)
                head = (
                    "POST /v1/workflows/run HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                    f"Authorization: Bearer {server.api_key}\r\n"
                    f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                )
                assert connection.exchange(head.encode() + body).status == 200
        yield server


@pytest.mark.parametrize(
    ("place", "row", "shown"), [("runs", "article.run", 300), ("journal", "tbody tr", MANY)]
)
def test_no_task_is_long_with_that_many(
    full: RunningServer, page: Page, place: str, row: str, shown: int
) -> None:
    found: list[float] = []
    while not found or min(found) > LONGEST_MS:
        assert len(found) < TRIES, f"the longest tasks took {found} ms"
        found.append(_longest_ms(full, page, place, row, shown))


def _longest_ms(server: RunningServer, page: Page, place: str, row: str, shown: int) -> float:
    chromium = page.context.browser
    assert chromium is not None
    page.goto("about:blank")
    chromium.start_tracing(page=page, categories=["toplevel"])
    page.goto(f"{server.url}/__admin/#/{place}")
    page.wait_for_selector(row)
    while (before := page.locator(row).count()) < shown:
        page.click("button.wide")
        page.locator(row).nth(before).wait_for(state="attached")
    for view in ("gallery", "list"):
        for button in page.locator(f"button[data-view={view}]").all():
            button.click()
            page.wait_for_timeout(200)
    page.mouse.wheel(0, 4_000)
    page.wait_for_timeout(200)
    return longest_ms(chromium.stop_tracing())


def longest_ms(trace: bytes) -> float:
    """The processor time of the longest task in the main thread of a page."""
    events = json.loads(trace)["traceEvents"]
    threads = {
        (event["pid"], event["tid"])
        for event in events
        if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
    }
    tasks = [
        event["tdur"] / 1000
        for event in events
        if event["name"] == "ThreadControllerImpl::RunTask"
        and (event["pid"], event["tid"]) in threads
        and "tdur" in event
    ]
    assert len(tasks) > 100, "the trace has no tasks"
    longest: float = max(tasks)
    return longest
