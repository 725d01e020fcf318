"""The console in a real browser: everything that it offers is clicked, with hostile texts in every
field, in both languages.
"""

from __future__ import annotations

import json
import re
import shlex
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.asgi import run_body
from tests.npm import package_file
from tests.serving import RunningServer, running_server

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.server, pytest.mark.browser]

RUN = "/v1/workflows/run"

ATTACKS = (
    "<img src=x onerror=window.attacked=1>",
    "</script><script>window.attacked=1</script>",
    "javascript:window.attacked=1",
    '"><svg onload=window.attacked=1>',
    "{{constructor.constructor('window.attacked=1')()}}",
    "\u202egnp.exe \u2066 \u0000 \ufeff",
)


def send(
    server: RunningServer,
    *,
    prompt: str = "a cat",
    user: str = "alg123",
    mode: str = "blocking",
    body: bytes | None = None,
    path: str = RUN,
    **headers: str,
) -> bytes:
    """The body of the host's response."""
    sent = {"Authorization": f"Bearer {server.api_key}", "Content-Type": "application/json"}
    request = urllib.request.Request(
        server.url + path,
        body or run_body(prompt=prompt, user=user, mode=mode),
        {**sent, **{name.replace("_", "-"): value for name, value in headers.items()}},
    )
    try:
        with urllib.request.urlopen(request) as response:
            return bytes(response.read())
    except urllib.error.HTTPError as error:
        return error.read()


def admin(server: RunningServer, path: str, value: object = None) -> Any:
    data = None if value is None else json.dumps(value).encode()
    with urllib.request.urlopen(f"{server.url}/__admin{path}", data) as response:
        return json.load(response)


@contextmanager
def sending(server: RunningServer, **run: Any) -> Iterator[None]:
    """A run whose client waits for it."""
    thread = threading.Thread(target=send, args=(server,), kwargs=run, daemon=True)
    thread.start()
    yield
    thread.join(10)


def opened(page: Page, server: RunningServer, place: str = "runs") -> Page:
    page.goto(f"{server.url}/__admin/#/{place}")
    page.wait_for_selector("h1")
    return page


def shown(page: Page, selector: str) -> str:
    """The text of an element, once it is there."""
    place = page.locator(selector).first
    place.wait_for()
    return place.inner_text()


def counted(page: Page, selector: str, count: int) -> None:
    """Wait until so many elements are there; a page with this policy evaluates no text."""
    from playwright.sync_api import expect

    expect(page.locator(selector)).to_have_count(count)


@pytest.fixture
def instant() -> Iterator[RunningServer]:
    with running_server("--speed", "instant") as server:
        yield server


@pytest.fixture
def frozen() -> Iterator[RunningServer]:
    with running_server("--speed", "1", "--clock", "2024-05-01T12:00:00Z") as server:
        yield server


# Runs
# ------------------------------------------------------------------------------------------------


def test_a_run_appears_with_its_image_and_opens(instant: RunningServer, page: Page) -> None:
    opened(page, instant)
    page.wait_for_selector("text=No run yet")
    send(instant, prompt="a lighthouse at dusk", user="ben")
    row = shown(page, "article.run")
    assert "a lighthouse at dusk" in row
    assert "succeeded" in row
    assert "ben" in row
    page.wait_for_selector("article.run img[src^='blob:']")
    page.click("article.run h2 a")
    page.wait_for_selector("h1:has-text('a lighthouse at dusk')")
    titles = page.locator(".node .text").all_inner_texts()
    assert titles[1] == "LLM"
    assert len(titles) == admin(instant, "/runs")["runs"][0]["total_steps"]
    assert page.locator(".node.good").count() == len(titles)
    page.click("button.image")
    large = shown(page, "dialog.lightbox")
    image = admin(instant, "/runs")["runs"][0]["images"][0]
    for text in (image["model"], str(image["seed"]), image["prompt"]):
        assert text in large
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog.lightbox", state="detached")
    page.click("text=Request in the journal")
    page.wait_for_selector("text=Copy as curl")


def test_bars_grow_while_a_run_runs_and_it_is_stopped(frozen: RunningServer, page: Page) -> None:
    opened(page, frozen)
    with sending(frozen, mode="streaming"):
        page.wait_for_selector("article.run .badge.busy")
        assert "0 ms" in page.inner_text(".run-time")
        admin(frozen, "/clock", {"advance_s": 5})
        page.wait_for_selector("text=/^5\\.00 s$/")
        widths = page.eval_on_selector_all(
            ".strip .bar-of-node", "bars => bars.map(bar => bar.firstChild.style.width)"
        )
        assert widths[0] == "100%"
        assert widths[-1] == "0%"
        page.click("article.run button:has-text('Stop')")
        page.wait_for_selector("article.run button:has-text('Stopping')")
        admin(frozen, "/clock", {"advance_s": 1})
    page.wait_for_selector("article.run .badge:has-text('stopped')")


def test_a_failed_run_says_why(instant: RunningServer, page: Page) -> None:
    send(instant, X_Fake_Scenario="node_failed")
    opened(page, instant)
    page.wait_for_selector("article.run .badge.bad:has-text('failed')")
    [run] = admin(instant, "/runs")["runs"]
    assert run["error"] in page.inner_text(".run-error")
    page.click("article.run h2 a")
    assert run["nodes"][-1]["error"] in shown(page, ".node-error")


def test_runs_are_filtered_and_shown_as_a_gallery(instant: RunningServer, page: Page) -> None:
    for name in ("amy", "ben"):
        send(instant, prompt=f"a picture for {name}", user=name)
    send(instant, prompt="no picture", X_Fake_Scenario="node_failed")
    opened(page, instant)
    counted(page, "article.run", 3)
    page.fill("input[type=search]", "FOR AMY")
    counted(page, "article.run", 1)
    page.fill("input[type=search]", "nothing like it")
    page.wait_for_selector("text=No run matches")
    page.fill("input[type=search]", "")
    page.select_option("select >> nth=0", "failed")
    page.wait_for_selector("article.run:has-text('no picture')")
    page.select_option("select >> nth=0", "")
    page.click("button:has-text('Gallery')")
    counted(page, "figure.tile", 2)
    assert "a picture for ben" in page.inner_text("figure.tile >> nth=0")


def test_many_runs_come_by_pages(instant: RunningServer, page: Page) -> None:
    for number in range(60):
        send(instant, prompt=f"number {number}")
    opened(page, instant)
    counted(page, "article.run", 50)
    page.click("text=Show more")
    counted(page, "article.run", 60)


# Journal
# ------------------------------------------------------------------------------------------------


def test_a_request_is_shown_beside_its_response(instant: RunningServer, page: Page) -> None:
    sent = json.loads(run_body(prompt="it's a 'quoted' cat"))
    sent["surprise"] = 1
    send(instant, body=json.dumps(sent).encode())
    opened(page, instant, "journal")
    page.click("tbody a")
    page.wait_for_selector(".columns")
    request, response = page.locator(".columns > section").all()
    assert "it's a 'quoted' cat" in request.inner_text()
    assert "total_tokens" in response.inner_text()
    request.locator("button:has-text('Headers')").click()
    assert "Bearer [redacted]" in request.inner_text()
    [warning] = admin(instant, "/requests")["requests"][0]["warnings"]
    assert warning in page.inner_text(".warnings")
    page.click("text=Open its run")
    page.wait_for_selector(".node")


def test_frames_of_a_stream_have_their_times(instant: RunningServer, page: Page) -> None:
    send(instant, mode="streaming")
    opened(page, instant, "journal/1")
    page.wait_for_selector(".frames li")
    events = page.locator(".frames summary .strong").all_inner_texts()
    assert events[0] == "workflow_started"
    assert events[-1] == "workflow_finished"
    assert re.fullmatch(r"[\d.]+ m?s", page.inner_text(".frame-time >> nth=0"))
    page.click(".frames summary >> nth=-1")
    assert '"status": "succeeded"' in page.inner_text(".frames li:last-child pre")


def test_a_copied_request_is_one_that_a_shell_can_run(instant: RunningServer, page: Page) -> None:
    send(instant, prompt="it's $(false) `false` a cat", X_Odd="a 'b' \"c\"")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    opened(page, instant, "journal/1")
    page.click("text=Copy as curl")
    page.wait_for_selector("text=Copied")
    command = page.evaluate("navigator.clipboard.readText()")
    assert '"Authorization: Bearer $API_KEY"' in command or (
        '"authorization: Bearer $API_KEY"' in command
    )
    words = shlex.split(command)
    assert words[:3] == ["curl", "-X", "POST"]
    assert words[3] == instant.url + RUN
    assert json.loads(words[words.index("--data-raw") + 1])["inputs"]["prompt"] == (
        "it's $(false) `false` a cat"
    )
    assert any(word.lower() == "x-odd: a 'b' \"c\"" for word in words)


@pytest.mark.browser(errors=["400"])
def test_the_journal_is_filtered_and_says_what_is_wrong(instant: RunningServer, page: Page) -> None:
    send(instant, prompt="one")
    send(instant, body=b"no json")
    opened(page, instant, "journal")
    counted(page, "tbody tr", 2)
    page.fill("input[inputmode=numeric]", "400")
    counted(page, "tbody tr", 1)
    page.fill("input[inputmode=numeric]", "many")
    page.wait_for_selector(".field .error:has-text('expected a number')")


@pytest.mark.browser(errors=["408"])
def test_it_waits_for_a_request(instant: RunningServer, page: Page) -> None:
    opened(page, instant, "journal")
    page.click("button:has-text('Wait for a request')")
    page.fill("dialog input >> nth=1", "ben")
    page.click("dialog button:has-text('Wait') >> nth=0")
    page.wait_for_selector("dialog >> text=Waiting")
    send(instant, user="amy")
    send(instant, user="ben")
    page.wait_for_selector("dialog >> text=1 came")
    page.fill("dialog input >> nth=4", "0.05")
    page.fill("dialog input >> nth=1", "Zoe")
    page.click("dialog button:has-text('Wait') >> nth=0")
    page.wait_for_selector("dialog .notice.bad:has-text('no requests matched')")


# Try it
# ------------------------------------------------------------------------------------------------


def test_an_app_is_tried_with_a_stream(instant: RunningServer, page: Page) -> None:
    opened(page, instant, "try")
    page.fill("textarea", "a red bicycle")
    page.select_option("select >> nth=1", "dosmix_")
    page.wait_for_selector("pre:has-text('a red bicycle')")
    program = page.inner_text(".panes pre")
    assert "$API_KEY" in program
    page.click("button:has-text('Python')")
    assert 'os.environ["API_KEY"]' in page.inner_text(".panes pre")
    page.click("button:has-text('Send')")
    page.wait_for_selector("button.image img[src^='blob:']")
    assert page.locator(".frames summary .strong").all_inner_texts()[-1] == "workflow_finished"
    [run] = admin(instant, "/runs")["runs"]
    assert run["inputs"] == {"prompt": "a red bicycle", "model_name": "dosmix_"}
    assert run["mode"] == "streaming"


def test_an_app_is_tried_in_blocking_mode_with_a_scenario(
    instant: RunningServer, page: Page
) -> None:
    opened(page, instant, "try")
    page.select_option("select >> nth=-1", "blocking")
    page.fill("input[list=behaviours]", "node_failed")
    page.click("button:has-text('Send')")
    page.wait_for_selector("pre:has-text('failed')")
    assert admin(instant, "/runs")["runs"][0]["scenarios"] == ["node_failed"]


@pytest.mark.browser(errors=["400"])
def test_a_scenario_that_cannot_be_used_has_its_error_at_its_field(
    instant: RunningServer, page: Page
) -> None:
    opened(page, instant, "try")
    page.fill("input[list=behaviours]", "node_faild")
    page.select_option("select >> nth=-1", "blocking")
    page.click("button:has-text('Send')")
    page.wait_for_selector(".field .error:has-text('did you mean')")


def test_a_tried_run_is_stopped(frozen: RunningServer, page: Page) -> None:
    opened(page, frozen, "try")
    page.click("button:has-text('Send')")
    page.wait_for_selector(".frames li")
    page.click("button:has-text('Stop')")
    page.wait_for_selector("button:has-text('Stopping')")
    while admin(frozen, "/health")["runs_running"]:
        admin(frozen, "/clock", {"advance_s": 1})
    page.wait_for_selector(".badge:has-text('stopped')")


# Scenarios and clock
# ------------------------------------------------------------------------------------------------


def test_a_scenario_is_added_fires_and_is_removed(instant: RunningServer, page: Page) -> None:
    opened(page, instant, "scenarios")
    page.wait_for_selector("text=No scenario")
    page.click("details[data-name=slow] > summary")
    page.fill("details[data-name=slow] label:has-text('seconds') + input >> nth=0", "90")
    page.click("details[data-name=slow] summary:has-text('Which requests')")
    page.fill("details[data-name=slow] label:has-text('User') + input", "ben")
    page.click("details[data-name=slow] button:has-text('Add scenario')")
    row = shown(page, "table.rules tbody tr")
    assert "seconds=90" in row
    assert "user=ben" in row
    send(instant, user="ben")
    page.wait_for_selector("table.rules td:has-text('1')")
    page.click("button:has-text('Remove') >> nth=-1")
    page.wait_for_selector("text=No scenario")
    assert admin(instant, "/scenarios")["scenarios"] == []


@pytest.mark.browser(errors=["400"])
def test_a_wrong_parameter_has_its_error_at_its_field(instant: RunningServer, page: Page) -> None:
    opened(page, instant, "scenarios")
    page.click("details[data-name=slow] > summary")
    page.fill("details[data-name=slow] label:has-text('seconds') + input >> nth=0", "-1")
    page.click("details[data-name=slow] button:has-text('Add scenario')")
    page.wait_for_selector("details[data-name=slow] .error:has-text('not -1')")
    assert admin(instant, "/scenarios")["scenarios"] == []


def test_behaviours_are_searched(instant: RunningServer, page: Page) -> None:
    opened(page, instant, "scenarios")
    page.wait_for_selector("details.behaviour")
    page.fill("input[type=search]", "cut_stream")
    counted(page, "details.behaviour", 1)


@pytest.mark.browser(errors=["400"])
def test_the_clock_is_moved_and_the_notice_says_so(instant: RunningServer, page: Page) -> None:
    opened(page, instant, "scenarios")
    page.click("button:has-text('+60 s')")
    page.wait_for_selector("#notices >> text=/60\\.0 s ahead|1 min/")
    page.click("button:text-is('Freeze')")
    page.wait_for_selector("#notices >> text=stands still")
    assert admin(instant, "/clock")["frozen"] is True
    page.click("button:text-is('Resume')")
    page.wait_for_selector("button:text-is('Freeze')")
    page.fill("input[placeholder^='2024']", "yesterday")
    page.click("text=Freeze then")
    page.wait_for_selector(".error:has-text('is not a valid time')")
    page.fill("input[placeholder^='2024']", "2024-05-01T12:00:00Z")
    page.click("text=Freeze then")
    page.wait_for_selector("#notices >> text=/2024/")
    page.goto(f"{instant.url}/__admin/#/runs")
    page.wait_for_selector("#notices >> text=/2024/")
    page.goto(f"{instant.url}/__admin/#/scenarios")
    page.click("button:has-text('Reset the server')")
    page.fill("dialog input", "7")
    page.click("dialog button:text-is('Reset')")
    page.wait_for_selector("#notices:empty", state="attached")
    assert admin(instant, "/clock")["frozen"] is False


# The frame
# ------------------------------------------------------------------------------------------------


def test_the_language_is_switched_and_kept(instant: RunningServer, page: Page) -> None:
    opened(page, instant)
    page.click("button:text-is('中文')")
    page.wait_for_selector("h1:has-text('运行')")
    assert page.get_attribute("html", "lang") == "zh"
    page.reload()
    page.wait_for_selector("text=还没有运行")
    page.click("button:text-is('EN')")
    page.wait_for_selector("text=No run yet")


@pytest.fixture
def guarded() -> Iterator[RunningServer]:
    with running_server("--speed", "instant", "--admin-token", "opensesame") as server:
        yield server


@pytest.mark.browser(errors=["403"])
def test_the_token_is_needed_and_kept_for_the_tab(guarded: RunningServer, page: Page) -> None:
    """Where the page is not on the machine of the server, which the name in its URL says."""
    page.goto(f"{guarded.url.replace('127.0.0.1', 'fake.example')}/__admin/#/runs")
    page.wait_for_selector("#notices h2:has-text('Admin token')")
    assert "is not a loopback name" in page.inner_text("#notices")
    page.fill("#token", "wrong")
    page.click("button:has-text('Use it')")
    page.wait_for_selector("#notices >> text=is not the one")
    page.fill("#token", "opensesame")
    page.click("button:has-text('Use it')")
    page.wait_for_selector("text=No run yet")
    assert page.evaluate("Object.values(sessionStorage)") == ["opensesame"]
    assert page.evaluate("Object.values(localStorage)") == []


@pytest.mark.browser(errors=["ERR_"])
def test_a_lost_server_is_noticed_and_found_again(page: Page) -> None:
    with running_server("--speed", "instant") as server:
        port = server.url.rpartition(":")[2]
        opened(page, server)
        page.wait_for_selector(".live >> text=Live")
    page.wait_for_selector("#notices >> text=does not respond")
    page.wait_for_selector(".live >> text=Offline")
    page.wait_for_timeout(1500)  # until it has tried again
    with running_server("--speed", "instant", "--port", port) as server:
        send(server, prompt="after the break")
        page.wait_for_selector("article.run:has-text('after the break')")
        page.wait_for_selector("#notices:empty", state="attached")


def test_the_keyboard_reaches_everything(instant: RunningServer, page: Page) -> None:
    send(instant)
    opened(page, instant)
    page.wait_for_selector("article.run")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('article.run h2') !== null"):
            break
    page.keyboard.press("Enter")
    page.wait_for_selector(".node")
    assert page.evaluate("document.activeElement.id") == "main"


@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_that_a_client_sends_runs_in_the_page(
    instant: RunningServer, page: Page, attack: str
) -> None:
    body = {
        "inputs": {"prompt": attack, attack: attack},
        "response_mode": "streaming",
        "user": attack,
        attack: attack,
    }
    header = attack.encode("ascii", "ignore").decode().replace("\0", "")
    send(instant, body=json.dumps(body).encode(), X_Odd=header)
    send(instant, prompt=attack, user=attack, path=f"{RUN}?x={urllib.parse.quote(attack)}")
    send(instant, body=b'{"x": "%b"' % attack.encode())
    admin(
        instant,
        "/scenarios",
        {
            "name": "node_failed",
            "with": {"error": attack.replace("\0", "")},
            "when": {"user": attack},
        },
    )
    send(instant, user=attack, prompt=attack)
    runs = admin(instant, "/runs")["runs"]
    entries = admin(instant, "/requests")["requests"]
    places = ["runs", "journal", "scenarios", "try"]
    places += [f"runs/{run['task_id']}" for run in runs]
    places += [f"journal/{entry['id']}" for entry in entries]
    for place in places:
        opened(page, instant, place)
        page.wait_for_timeout(150)
    assert page.evaluate("window.attacked") is None
    assert page.locator("main img[src=x], main svg, main script").count() == 0


PLACES = ("runs", "runs/{task_id}", "journal", "journal/1", "try", "scenarios", "reference")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_no_serious_finding_of_axe_and_no_sideways_scrolling(
    frozen: RunningServer, page: Page, scheme: Any, width: int
) -> None:
    axe = package_file("axe-core", "axe.min.js").read_text("utf-8")
    send(frozen, body=b"{}")
    admin(frozen, "/scenarios", {"name": "slow", "with": {"seconds": 3}})
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    with sending(frozen, mode="streaming"):
        opened(page, frozen)
        page.wait_for_selector("article.run")
        task_id = admin(frozen, "/runs")["runs"][0]["task_id"]
        for language in ("EN", "中文"):
            page.click(f"button:text-is('{language}')")
            for place in PLACES:
                opened(page, frozen, place.format(task_id=task_id))
                page.wait_for_timeout(300)
                assert page.evaluate("document.documentElement.scrollWidth") <= width, place
                page.evaluate(axe)
                found = page.evaluate("axe.run().then(result => result.violations)")
                serious = [
                    (one["id"], [node["html"][:200] for node in one["nodes"][:3]])
                    for one in found
                    if one["impact"] in ("serious", "critical")
                ]
                assert serious == [], (place, language)
        admin(frozen, "/reset", {})
