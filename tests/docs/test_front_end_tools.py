"""What ``docs/how-to/front-end.md`` says of libraries and tools of front-end developers."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from fake_server.testing import FakeHost
from tests.docs.front_end import static_site, write_files
from tests.npm import link_packages
from tests.serving import running_server
from tests.tools import needed

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.server, pytest.mark.browser]

START_S = 30.0
MODULES = """<link rel="icon" href="data:,"><script type="module">
import { fetchEventSource } from "@microsoft/fetch-event-source";
import { watch } from "./watch.js";
import { run } from "./dify.js";
Object.assign(window, { fetchEventSource, watch, run });
</script>"""
CUT = "cut_stream; after=8; mid_frame=true"
BY_DEFAULT = """([host, scenario]) => {
  window.ended = fetchEventSource(`${host.url}/v1/workflows/run`, {
    method: "POST",
    headers: { Authorization: `Bearer ${host.key}`, "Content-Type": "application/json",
               "X-Fake-Scenario": scenario },
    body: '{"inputs": {"prompt": "a cat"}, "response_mode": "streaming", "user": "u"}',
  });
}"""
WATCH = """async ([host, headers]) => {
  const events = [];
  const inputs = { prompt: "a cat" };
  try {
    const onEvent = ({ event }) => events.push(event);
    await watch({ ...host, inputs, user: "u", headers, onEvent });
    return events;
  } catch (error) {
    return String(error);
  }
}"""
HIDDEN = """hidden => {
  Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def host() -> Iterator[FakeHost]:
    with FakeHost(speed=10) as running:
        yield running


@pytest.fixture(scope="module")
def vite(host: FakeHost, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Vite with the how-to's configuration before ``host``; its address."""
    folder = tmp_path_factory.mktemp("vite")
    link_packages(["vite", "@microsoft/fetch-event-source"], folder)
    write_files(folder, {"http://127.0.0.1:6060": host.url})
    page = folder / "index.html"
    page.write_text(page.read_text("utf-8").replace(f'"{host.url}"', "location.origin"), "utf-8")
    (folder / "modules.html").write_text(MODULES, "utf-8")
    port = free_port()
    program = str(folder / "node_modules/vite/bin/vite.js")
    command = [needed("node"), program, "--port", str(port), "--strictPort", "--host", "127.0.0.1"]
    with (folder / "vite.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        try:
            wait_for(port, process, folder / "vite.log")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


def wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise AssertionError(f"Vite did not start:\n{log.read_text()}")


def modules(page: Page, host: FakeHost, vite: str) -> dict[str, str]:
    """Opens a page with the modules of the how-to; what they need to know of the host."""
    host.reset()
    page.goto(f"{vite}/modules.html")
    page.wait_for_function("'watch' in window")
    return {"url": host.url, "key": host.api_key}


def runs(host: FakeHost) -> int:
    """How many run requests have come; a preflight is none."""
    return sum(request.method == "POST" for request in host.requests)


def test_the_page_runs_behind_vite(page: Page, vite: str) -> None:
    page.goto(vite)
    page.click("text=Run")
    page.wait_for_selector("#nodes li.running >> text=Stable Diffusion WebUI: running")
    page.wait_for_selector("#stop:disabled")
    page.wait_for_function("document.images[0].complete")
    assert page.evaluate("document.images[0].naturalWidth") == 1024


@pytest.mark.browser(errors=["net::ERR_INCOMPLETE_CHUNKED_ENCODING"])
def test_vite_passes_on_that_a_stream_was_cut(page: Page, vite: str) -> None:
    page.goto(vite)
    page.select_option("select", label="the stream is cut")
    page.click("text=Run")
    page.wait_for_selector("#stop:disabled")
    assert page.inner_text("#status") == "The connection failed: network error."


def test_a_page_behind_vite_may_call_the_admin_api(page: Page, vite: str) -> None:
    page.goto(vite)
    assert page.evaluate("fetch('/__admin/health').then(response => response.status)") == 200


def test_watch_gives_all_events(page: Page, host: FakeHost, vite: str) -> None:
    sent = modules(page, host, vite)
    events = page.evaluate(WATCH, [sent, {"X-Fake-Scenario": "ping_storm, split_frames"}])
    assert (len(events), events[0], events[-1]) == (12, "workflow_started", "workflow_finished")


@pytest.mark.browser(errors=["net::ERR_INCOMPLETE_CHUNKED_ENCODING"])
def test_watch_does_not_run_again_when_the_stream_is_cut(
    page: Page, host: FakeHost, vite: str
) -> None:
    sent = modules(page, host, vite)
    assert page.evaluate(WATCH, [sent, {"X-Fake-Scenario": CUT}]).startswith("TypeError: ")
    assert "not the run" in page.evaluate(WATCH, [sent, {"X-Fake-Scenario": "no_terminal_event"}])
    assert runs(host) == 2


def test_watch_rejects_an_error_event(page: Page, host: FakeHost, vite: str) -> None:
    sent = modules(page, host, vite)
    failed = page.evaluate(WATCH, [sent, {"X-Fake-Scenario": "error_event"}])
    assert failed.startswith("Error: completion_request_error: ")


@pytest.mark.browser(errors=["status of 401"])
def test_watch_tells_why_it_was_refused(page: Page, host: FakeHost, vite: str) -> None:
    sent = modules(page, host, vite)
    refused = page.evaluate(WATCH, [{**sent, "key": "app-wrong"}, {}])
    assert refused == "Error: 401 unauthorized: Access token is invalid"
    assert runs(host) == 1


def test_watch_goes_on_in_a_hidden_tab(page: Page, host: FakeHost, vite: str) -> None:
    sent = modules(page, host, vite)
    page.evaluate(f"args => {{ window.ended = ({WATCH})(args) }}", [sent, {}])
    host.wait_for_request(method="POST", count=1)
    page.evaluate(HIDDEN, True)
    page.evaluate(HIDDEN, False)
    assert page.evaluate("window.ended")[-1] == "workflow_finished"
    assert runs(host) == 1


@pytest.mark.browser(errors=["net::ERR_INCOMPLETE_CHUNKED_ENCODING"])
def test_by_default_fetch_event_source_runs_again_when_the_stream_is_cut(
    page: Page, host: FakeHost, vite: str
) -> None:
    sent = modules(page, host, vite)
    page.evaluate(BY_DEFAULT, [sent, CUT])
    assert host.wait_for_request(method="POST", count=2)


@pytest.mark.browser(errors=["status of 401"])
def test_by_default_fetch_event_source_asks_again_with_a_wrong_key(
    page: Page, host: FakeHost, vite: str
) -> None:
    sent = modules(page, host, vite)
    page.evaluate(BY_DEFAULT, [{**sent, "key": "app-wrong"}, ""])
    assert host.wait_for_request(method="POST", count=2)


def test_by_default_fetch_event_source_runs_again_in_a_tab_that_is_shown(
    page: Page, host: FakeHost, vite: str
) -> None:
    sent = modules(page, host, vite)
    page.evaluate(BY_DEFAULT, [sent, ""])
    host.wait_for_request(method="POST", count=1)
    page.evaluate(HIDDEN, True)
    page.evaluate(HIDDEN, False)
    assert host.wait_for_request(method="POST", count=2)


@pytest.mark.browser(errors=["status of 400"])
def test_a_page_of_the_admin_origin_orders_scenarios(page: Page, tmp_path: Path) -> None:
    with (
        static_site(tmp_path) as url,
        running_server("--speed", "instant", "--admin-origin", url) as running,
    ):
        write_files(tmp_path, {"http://127.0.0.1:6060": running.url})
        page.goto(f"{url}/index.html")
        page.evaluate(
            """async () => {
              const { advance, order, reset } = await import("./admin.js");
              await order("node_failed", { node: "llm" });
              await reset();
              await order("node_failed", { node: "tool" });
              await advance(300);
            }"""
        )
        page.click("text=Run")
        page.wait_for_selector("#nodes li.failed >> text=Stable Diffusion WebUI")
        wrong = page.evaluate("import('./admin.js').then(m => m.order('nope')).catch(String)")
        assert "'nope' is not a known scenario" in wrong


def test_next_rewrites_what_the_host_has(tmp_path: Path) -> None:
    write_files(tmp_path, {})
    show = (
        'const { default: config } = await import("./next.config.mjs");'
        "console.log(JSON.stringify([config.compress, await config.rewrites()]));"
    )
    command = [needed("node"), "--input-type=module", "--eval", show]
    printed = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True, timeout=30)
    compress, rewrites = json.loads(printed.stdout)
    assert compress is False
    assert {one["source"]: one["destination"] for one in rewrites} == {
        f"/{part}/:path*": f"http://127.0.0.1:6060/{part}/:path*"
        for part in ("v1", "files", "__admin")
    }


@pytest.mark.slow
def test_the_tests_of_the_how_to_pass(tmp_path: Path) -> None:
    link_packages(["@playwright/test", "vite"], tmp_path)
    addresses = {
        "http://127.0.0.1:6060": f"http://127.0.0.1:{(fake := free_port())}",
        "serve --speed": f"serve --port {fake} --speed",
        "5173": str(free_port()),
    }
    write_files(tmp_path, addresses)
    (tmp_path / "with_chromium.config.mjs").write_text(
        'import config from "./playwright.config.mjs";\n'
        f'const launchOptions = {{ executablePath: "{needed("chromium")}" }};\n'
        "export default { ...config, use: { ...config.use, launchOptions } };\n"
    )
    npx = shutil.which("npx") or needed("npx")
    command = [npx, "playwright", "test", "--config", "with_chromium.config.mjs", "--reporter=line"]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    ended = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 0, (ended.stdout + ended.stderr).decode()
    assert b"3 passed" in ended.stdout


@pytest.mark.parametrize("version", ["0.15.3", "1.14.2"])
def test_the_record_of_a_run_expires_with_its_url(version: str) -> None:
    with FakeHost(host_version=version) as running:
        running.clock.freeze()
        with httpx.Client(
            base_url=running.url, headers={"Authorization": f"Bearer {running.api_key}"}
        ) as client:
            body = {"inputs": {"prompt": "a cat"}, "response_mode": "blocking", "user": "u"}
            run = client.post("/v1/workflows/run", json=body).json()["workflow_run_id"]
            statuses = []
            for seconds in (0, 301):
                running.clock.advance(seconds)
                outputs = client.get(f"/v1/workflows/run/{run}").json()["outputs"]
                outputs = json.loads(outputs) if isinstance(outputs, str) else outputs
                statuses.append(client.get(outputs["files"][0]["url"]).status_code)
    assert statuses == [200, 403]
