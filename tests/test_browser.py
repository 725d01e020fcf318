"""The browser of the tests: what fails a test, and what it leaves alone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.browser import check_errors

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.server, pytest.mark.browser]


def test_a_page_runs_scripts(page: Page) -> None:
    page.set_content("<h1></h1><script>document.querySelector('h1').innerText = 6 * 7</script>")
    assert page.inner_text("h1") == "42"


def test_a_browser_leaves_the_event_loops_of_other_tests_alone(
    request: pytest.FixtureRequest,
) -> None:
    request.getfixturevalue("browser")
    asyncio.run(asyncio.sleep(0))


@pytest.mark.browser(errors=["^said$", "^Error: thrown$", "another machine: http://10", "ERR_"])
def test_errors_of_a_page_are_collected(page: Page) -> None:
    page.set_content("<script>console.error('said'); throw new Error('thrown')</script>")
    assert page.evaluate("fetch('http://10.0.0.1/').catch(error => error.message)") == (
        "Failed to fetch"
    )


def test_errors_of_a_page_fail_its_test() -> None:
    check_errors([], [])
    check_errors(["a b"], ["b$"])
    with pytest.raises(AssertionError, match="errors in the page"):
        check_errors(["a"], ["b"])
    with pytest.raises(AssertionError, match="missing in the page"):
        check_errors(["a"], ["a", "b"])
