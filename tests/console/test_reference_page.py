"""The API reference: Swagger UI as it was published, under a strict policy, with the events of a
stream, and with nothing in the document that can run.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fake_server.console import REFERENCE, REFERENCE_POLICY, STATIC
from fake_server.settings import DEFAULT_API_KEY
from tests.admin.calling import host
from tests.asgi import call
from tests.npm import package_file
from tests.serving import running_server
from tests.swagger_ui import FILES, FOLDER, about, integrity

if TYPE_CHECKING:
    from playwright.sync_api import Page

ATTACK = '<img src=x onerror="window.attacked=1"><script>window.attacked=1</script>'


def test_the_vendored_files_are_those_that_were_published() -> None:
    known = about()
    assert {path.name for path in FOLDER.iterdir()} == {*FILES, "vendored.json"}
    assert known["files"] == {
        name: integrity((FOLDER / name).read_bytes(), "sha384") for name in FILES
    }
    assert known["license"] == "Apache-2.0"
    assert "Apache License" in (FOLDER / "LICENSE").read_text("utf-8")
    assert re.fullmatch(r"\d+\.\d+\.\d+", known["version"])


def test_the_page_has_a_policy_of_its_own_and_needs_no_token() -> None:
    app = host(host="0.0.0.0", admin_token="opensesame")  # nothing listens
    page = call(app, "GET", "/__admin/reference", {"Host": "fake.example"})
    assert (page.status, page.body) == (200, (STATIC / REFERENCE).read_bytes())
    assert page.header("Content-Security-Policy") == REFERENCE_POLICY
    assert "unsafe" not in REFERENCE_POLICY
    assert "script-src 'self'; style-src 'self'; " in REFERENCE_POLICY
    assert not re.search(rb"<script(?![^>]+src=)|<style|\son\w+=|\sstyle=", page.body)


def opened(page: Page, url: str) -> None:
    page.goto(f"{url}/__admin/reference")
    page.wait_for_selector(".opblock")


def open_run(page: Page) -> None:
    page.click(".opblock-post .opblock-summary-control >> nth=0")
    page.wait_for_selector(".responses-table")
    page.locator(".responses-table select").first.select_option("text/event-stream")


@pytest.mark.server
@pytest.mark.browser
def test_it_shows_the_events_of_a_stream(page: Page) -> None:
    with running_server("--host-version", "1.14.2") as server:
        opened(page, server.url)
        assert page.inner_text(".bar-end") == "Dify 1.14.2"
        open_run(page)
        example = page.locator(".response .microlight").first.inner_text()
        for event in ("workflow_started", "node_started", "node_finished", "workflow_finished"):
            assert re.search(rf'"event": ?"{event}"', example)
        page.locator(".response .tablinks", has_text="Schema").first.click()
        page.locator(".response").get_by_text("Expand all").first.click()
        schema = page.locator(".response").first
        for name in ("WorkflowStarted", "NodeStarted", "NodeFinished", "WorkflowFinished"):
            schema.get_by_text(re.compile(rf"\b{name}$")).first.wait_for()


@pytest.mark.server
@pytest.mark.browser
def test_it_lists_every_operation_and_sends_none(page: Page) -> None:
    with running_server("--speed", "instant") as server:
        opened(page, server.url)
        paths = page.locator(".opblock-summary-path").all_inner_texts()
        shown = {path.replace("\u200b", "") for path in paths}
        document = json.loads(page.evaluate("fetch('/__admin/spec').then(one => one.text())"))
        assert shown == {path for path in document["paths"] if not path.startswith("x-")}
        open_run(page)
        for button in ("Try it out", "Authorize", "Execute"):
            assert page.get_by_text(button).count() == 0
        text = page.inner_text("body")
        assert DEFAULT_API_KEY not in text
        page.click(".bar nav a")
        page.wait_for_selector("#profile")


@pytest.mark.server
@pytest.mark.browser(errors=["403"])
def test_without_the_token_it_says_what_is_needed(page: Page) -> None:
    with running_server("--admin-token", "opensesame", "--host", "0.0.0.0") as server:
        url = server.url.replace("0.0.0.0", "127.0.0.1")
        page.goto(f"{url}/__admin/reference")
        page.wait_for_selector(".notice.bad")
        assert "X-Admin-Token" in page.inner_text(".notice.bad")
        page.evaluate("sessionStorage.setItem('fake-dify-admin-token', 'opensesame')")
        opened(page, url)
        page.wait_for_selector(".opblock")


@pytest.mark.server
@pytest.mark.browser(errors=["404"])
def test_nothing_in_the_document_runs(page: Page, tmp_path: Path) -> None:
    overlay = tmp_path / "hostile.json"
    update = {"title": ATTACK, "description": f"# Heading\n\n{ATTACK}\n\n[x](javascript:alert(1))"}
    operation = {"summary": ATTACK, "description": ATTACK}
    actions = [
        {"target": "$.info", "update": update},
        {"target": "$.paths['/v1/info'].get", "update": operation},
        {
            "target": "$.components.schemas.StreamFrame",
            "update": {"title": ATTACK, "description": ATTACK},
        },
    ]
    overlay.write_text(
        json.dumps({"overlay": "1.0.0", "info": {"title": "t", "version": "1"}, "actions": actions})
    )
    with running_server("--overlay", str(overlay)) as server:
        opened(page, server.url)
        page.get_by_text("/v1/info").first.click()
        open_run(page)
        page.locator(".response .tablinks", has_text="Schema").first.click()
        assert page.locator(".title").first.inner_text().startswith("<img")
        assert page.evaluate("window.attacked") is None
        assert page.locator("a[href^='javascript']").count() == 0


@pytest.mark.server
@pytest.mark.browser
def test_it_fits_a_narrow_screen_in_either_colour_and_language(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.emulate_media(color_scheme="light")
    with running_server() as server:
        page.goto(f"{server.url}/__admin/reference")
        page.evaluate("localStorage.setItem('fake-dify-language', 'zh')")
        opened(page, server.url)
        assert page.locator("html").get_attribute("lang") == "zh"
        assert page.title() == "API 参考 · fake-dify"
        open_run(page)
        page.locator(".response .tablinks", has_text="Schema").first.click()
        page.locator(".response").get_by_text("Expand all").first.click()
        page.get_by_text(re.compile(r"\bWorkflowStarted$")).first.wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        background = "getComputedStyle(document.body).backgroundColor"
        assert page.evaluate(background) == "rgb(246, 247, 249)"
        page.emulate_media(color_scheme="dark")
        page.wait_for_selector("html.dark-mode")
        assert page.evaluate(background) == "rgb(15, 19, 26)"


@pytest.mark.server
@pytest.mark.browser
def test_no_serious_finding_of_axe(page: Page) -> None:
    axe = package_file("axe-core", "axe.min.js").read_text("utf-8")
    with running_server() as server:
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            opened(page, server.url)
            open_run(page)
            page.evaluate(axe)
            found = page.evaluate("axe.run().then(result => result.violations)")
            serious = [
                (one["id"], [node["html"][:200] for node in one["nodes"][:3]])
                for one in found
                if one["impact"] in ("serious", "critical")
            ]
            assert serious == [], scheme
