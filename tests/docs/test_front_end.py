"""The page of ``docs/how-to/front-end.md`` in Chromium, with the host well and on bad days, and
what a page of another origin can see.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.docs.front_end import HOW_TO, static_site, write_files
from tests.serving import RunningServer, running_server

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.server, pytest.mark.browser]

NODES = ["开始", "LLM", "条件分支", "Stable Diffusion WebUI", "结束"]
HIDDEN = ["has been blocked by CORS policy", "net::ERR_FAILED"]


@pytest.fixture(scope="module", params=["0.6.4", "1.14.2"])
def host(request: pytest.FixtureRequest) -> Iterator[RunningServer]:
    with running_server("--speed", "50", "--host-version", request.param) as running:
        yield running


@pytest.fixture(scope="module")
def site(host: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the page, which is another origin than the host."""
    folder = tmp_path_factory.mktemp("site")
    write_files(folder, {"http://127.0.0.1:6060": host.url})
    with static_site(folder) as url:
        yield url


def run(page: Page, site: str, scenario: str = "all is well") -> str:
    """What the page says at the end of a run."""
    page.goto(site)
    page.select_option("select", label=scenario)
    page.click("text=Run")
    page.wait_for_selector("#stop:disabled")
    return page.inner_text("#status")


def rows(page: Page) -> list[tuple[str, str]]:
    """Title and state of each node that is shown."""
    shown = page.locator("#nodes li").all()
    return [(row.inner_text().partition(":")[0], row.get_attribute("class") or "") for row in shown]


def image_width(page: Page) -> int:
    page.wait_for_function("document.images[0].complete")
    width: int = page.evaluate("document.images[0].naturalWidth")
    return width


def test_nodes_and_image_are_shown(page: Page, site: str) -> None:
    assert run(page, site) == "succeeded"
    assert rows(page) == [(title, "succeeded") for title in NODES]
    assert page.is_visible("#image")
    assert image_width(page) == 1024


def test_a_node_is_shown_while_it_works(page: Page, site: str) -> None:
    page.goto(site)
    page.click("text=Run")
    page.wait_for_selector("#nodes li.running >> text=Stable Diffusion WebUI: running")
    assert page.is_hidden("#image")


def test_a_failed_node_is_shown_in_its_row(page: Page, site: str) -> None:
    assert "Failed to set model" in run(page, site, "a node fails")
    assert rows(page)[-1] == ("Stable Diffusion WebUI", "failed")
    assert "Failed to set model" in page.locator("#nodes li").last.inner_text()
    assert page.is_hidden("#image")


@pytest.mark.browser(errors=["net::ERR_INCOMPLETE_CHUNKED_ENCODING"])
def test_a_cut_stream_is_no_success(page: Page, site: str) -> None:
    assert run(page, site, "the stream is cut") == "The connection failed: network error."
    assert rows(page) == [*((title, "succeeded") for title in NODES[:3]), (NODES[3], "running")]


@pytest.mark.browser(errors=HIDDEN)
def test_an_error_without_cors_hides_everything(page: Page, site: str) -> None:
    assert run(page, site, "the host is down") == "The connection failed: Failed to fetch."
    assert rows(page) == []


@pytest.mark.browser(errors=["status of 403"])
def test_an_image_that_has_expired_is_an_error(page: Page, site: str) -> None:
    assert run(page, site, "the image has expired").startswith("No image: 403 forbidden")
    assert page.is_hidden("#image")


def test_a_run_is_stopped(page: Page, site: str) -> None:
    page.goto(site)
    page.click("text=Run")
    page.wait_for_selector("#nodes li.running >> text=Stable Diffusion WebUI: running")
    page.click("text=Stop")
    page.wait_for_selector("#stop:disabled")
    assert page.inner_text("#status") in ("Workflow stopped.", "Stopped by user.")


def seen(page: Page, host: RunningServer, scenario: str) -> Any:
    """What ``fetch`` gives a page of a run with ``scenario``: an error, or status and headers."""
    return page.evaluate(
        """async ([url, key, scenario]) => {
          const request = {
            method: "POST",
            headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json",
                       "X-Fake-Scenario": scenario },
            body: '{"inputs": {"prompt": "a cat"}, "response_mode": "streaming", "user": "u"}',
          };
          try {
            const response = await fetch(`${url}/v1/workflows/run`, request);
            const headers = Object.fromEntries(response.headers);
            const body = await response.text();
            return { status: response.status, headers, body };
          } catch (error) {
            return String(error);
          }
        }""",
        [host.url, host.api_key, scenario],
    )


@pytest.mark.browser(errors=HIDDEN)
@pytest.mark.parametrize(
    "scenario",
    [
        "http_error; status=503; body=html",
        "rate_limited; form=cloudflare",
        "gateway_timeout",
        "upstream_down; service=api",
    ],
)
def test_what_a_proxy_says_is_hidden(
    page: Page, host: RunningServer, site: str, scenario: str
) -> None:
    assert f"| `{scenario}` |" in HOW_TO.read_text("utf-8")
    page.goto(site)
    assert seen(page, host, scenario) == "TypeError: Failed to fetch"


@pytest.mark.browser(errors=["status of 503", "status of 429"])
def test_what_the_app_says_is_seen(page: Page, host: RunningServer, site: str) -> None:
    page.goto(site)
    failed, limited = (
        seen(page, host, scenario)
        for scenario in ("http_error; status=503", "rate_limited; retry_after_s=5")
    )
    assert (failed["status"], limited["status"]) == (503, 429)
    assert '"code"' in failed["body"]
    assert '"code"' in limited["body"]
    assert "retry-after" not in limited["headers"]
    key = {"Authorization": f"Bearer {host.api_key}"}
    sent = page.request.post(
        f"{host.url}/v1/workflows/run",
        data={"inputs": {"prompt": "a cat"}, "response_mode": "streaming", "user": "u"},
        headers={**key, "X-Fake-Scenario": "rate_limited; retry_after_s=5"},
    )
    assert sent.headers["retry-after"] == "5"


@pytest.mark.browser(errors=["net::ERR_INCOMPLETE_CHUNKED_ENCODING"])
def test_a_cut_stream_is_seen_while_it_is_read(page: Page, host: RunningServer, site: str) -> None:
    page.goto(site)
    assert seen(page, host, "cut_stream").startswith("TypeError: ")


def test_which_headers_a_page_can_read(page: Page, host: RunningServer, site: str) -> None:
    page.goto(site)
    read = seen(page, host, "")["headers"].keys()
    version = page.request.get(f"{host.url}/v1/info").headers["x-version"]
    own = {"x-env", "x-version"} if version.startswith("1.") else set()
    assert read - {"content-type", "content-length", "cache-control"} == own
