"""The tab Reference in a real browser: profile, report and recordings, whatever stands in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from contract.result import Result, Status
from tests.admin.calling import RUN
from tests.admin.reports import report_file
from tests.asgi import run_body
from tests.contract import samples
from tests.replay.folders import changed, folder
from tests.serving import RunningServer, running_server

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.server, pytest.mark.browser]

ATTACK = '<img src=x onerror="window.attacked=1">'


def send(server: RunningServer, body: bytes) -> int:
    """The status of a run of the default app."""
    with httpx.Client() as client:
        headers = {"Authorization": f"Bearer {server.api_key}", "Content-Type": "application/json"}
        return client.post(server.url + RUN, content=body, headers=headers).status_code


def opened(page: Page, server: RunningServer, part: str) -> str:
    """The text of a part of the tab, once it is there."""
    page.goto(f"{server.url}/__admin/#/reference")
    page.wait_for_selector(f"#{part} h2")
    return page.inner_text(f"#{part}")


def test_the_profile_says_what_the_version_does_otherwise(page: Page) -> None:
    with running_server("--host-version", "0.15.3") as server:
        text = opened(page, server, "profile")
        assert "dify-0.6.4 → dify-0.6.9 → dify-0.15.3" in text
        page.click("#profile summary")
        shown = page.locator("#profile li").all_inner_texts()
        described = page.evaluate("fetch('/__admin/profile').then((one) => one.json())")
        assert len(shown) == len(described["differences"]) > 0
        for line, one in zip(shown, described["differences"], strict=True):
            assert one["description"] in line
            assert one["evidence"] in line


def test_each_failed_check_says_what_it_says(page: Page, tmp_path: Path) -> None:
    attacks = Result(
        samples.check(samples.check_crashes), Status.NOT_RUN, reason=f"reason {ATTACK}"
    )
    path = report_file(tmp_path / f"{ATTACK.replace('/', '')}.json", attacks)
    with running_server("--contract-report", str(path)) as server:
        text = opened(page, server, "report")
        assert "failed 1" in text
        assert "passed 2" in text
        failed = page.inner_text("[data-check=answer_is_200]")
        for part in ("The host answers.", "status 200", "500", "it is there to answer"):
            assert part in failed
        assert f"reason {ATTACK}" in page.inner_text("[data-check=check_crashes]")
        assert page.locator("[data-check=secret_is_good]").is_hidden()
        page.click("#report summary")
        assert "needs the secret" in page.inner_text("[data-check=secret_is_good]")
        assert page.locator("[data-check=answer_is_json]").count() == 0
        assert page.evaluate("window.attacked") is None


@pytest.mark.browser(errors=["503"])
def test_a_report_that_is_damaged_later_says_so_in_its_place(page: Page, tmp_path: Path) -> None:
    path = report_file(tmp_path / "report.json")
    with running_server("--contract-report", str(path)) as server:
        path.write_text("{")
        page.goto(f"{server.url}/__admin/#/reference")
        page.wait_for_selector("#report .notice.bad")
        assert "report.json: the file: it cannot be read as JSON" in page.inner_text("#report")
        page.wait_for_selector("#profile h2")


def test_without_a_report_it_says_how_to_get_one(page: Page) -> None:
    with running_server() as server:
        assert "--contract-report" in opened(page, server, "report")
        assert page.locator("#recordings").is_hidden()


def test_recordings_show_their_use_and_misses_what_comes_closest(
    page: Page, tmp_path: Path
) -> None:
    recorded = folder(tmp_path / "recordings", changed("stream_ok", app="main"))
    with running_server("--replay", str(recorded), "--speed", "instant") as server:
        assert send(server, changed("stream_ok").request.body) == 200
        assert send(server, run_body(ATTACK)) == 501
        text = opened(page, server, "recordings")
        assert str(recorded) in text
        assert ATTACK.replace('"', '\\"') in text
        [row] = page.locator("#recordings tbody tr").all_inner_texts()
        assert row.split()[-4:] == ["POST", RUN, "200", "1"]
        assert send(server, run_body("a dog")) == 501
        page.locator("#recordings", has_text="a dog").wait_for()
        assert page.evaluate("window.attacked") is None


def test_it_speaks_chinese_and_lists_the_calls(page: Page) -> None:
    with running_server() as server:
        page.goto(f"{server.url}/__admin/")
        page.evaluate("localStorage.setItem('fake-dify-language', 'zh')")
        page.reload()
        assert "版本档案" in opened(page, server, "profile")
        page.wait_for_selector("#calls li")
        listed = json.loads(page.evaluate("fetch('/__admin/').then((one) => one.text())"))["calls"]
        assert page.locator("#calls li").count() == len(listed)
