"""``python -m tests.docs.screenshots``: make the screenshots of the console in the docs again.

The server runs in the host's own rhythm, so that this takes half a minute.
"""

from __future__ import annotations

import io
import json
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from tests.asgi import run_body
from tests.browser import Browser
from tests.serving import ROOT, RunningServer, running_server
from tests.tools import needed

if TYPE_CHECKING:
    from playwright.sync_api import Page

FOLDER = ROOT / "docs" / "images"
SIZE = {"width": 1280, "height": 820}

_RUNS: tuple[dict[str, str], ...] = (
    {"prompt": "a red fox asleep in fresh snow, soft light", "user": "maya"},
    {"prompt": "雨后的竹林,水墨画,留白,远山如黛", "user": "alg123"},
    {"prompt": "an astronaut repairing a bicycle, 35 mm film", "user": "maya"},
    {
        "prompt": "isometric library with floating stairs",
        "user": "ci-42",
        "scenario": "node_failed",
    },
    {"prompt": "一个胸有成竹的男人", "user": "alg123"},
)
_RUNNING_S = 9.5
"""How long the last of them has run when it is shown."""


def main() -> int:
    """Make them, and say how large they are."""
    made: list[Path] = []
    with scene() as server, Browser(needed("chromium")) as browser:
        errors: list[str] = []

        def all_of_them() -> None:
            page = browser.new_page(errors)
            page.emulate_media(color_scheme="light")
            made.append(_kept(page, server, "runs", "article.run .badge.busy", "console-runs"))
            page.emulate_media(color_scheme="dark")
            made.append(_kept(page, server, "journal/2", ".frames li", "console-journal"))

        browser.do(all_of_them)
    for path in made:
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB")
    for error in errors:
        print(f"an error in the page: {error}", file=sys.stderr)
    return 1 if errors else 0


@contextmanager
def scene() -> Iterator[RunningServer]:
    """A server with runs that have ended and one that has run for so long."""
    with running_server("--speed", "1", "--seed", "7") as server:
        for run in _RUNS[:-1]:
            _begin(server, run)
        _until(server, lambda runs: all(run["status"] != "running" for run in runs))
        _begin(server, _RUNS[-1])
        _until(server, lambda runs: runs[0]["elapsed_s"] > _RUNNING_S)
        yield server


def _begin(server: RunningServer, run: dict[str, str]) -> None:
    """Send it, and wait until it runs."""
    before = len(_runs(server))
    threading.Thread(target=_send, args=(server,), kwargs=run, daemon=True).start()
    _until(server, lambda runs: len(runs) > before)


def _until(server: RunningServer, so: Callable[[list[dict[str, Any]]], bool]) -> None:
    while not so(_runs(server)):
        time.sleep(0.05)


def _kept(page: Page, server: RunningServer, place: str, ready: str, name: str) -> Path:
    page.set_viewport_size(SIZE)  # type: ignore[arg-type]
    page.goto(f"{server.url}/__admin/#/{place}")
    page.wait_for_selector(ready)
    page.wait_for_function("() => [...document.images].every(image => image.complete)")
    page.wait_for_timeout(500)
    path = FOLDER / f"{name}.webp"
    with Image.open(io.BytesIO(page.screenshot(animations="disabled"))) as shot:
        shot.convert("RGB").save(path, "WEBP", quality=86, method=6)
    return path


def _send(server: RunningServer, prompt: str, user: str, scenario: str = "") -> None:
    headers = {"Authorization": f"Bearer {server.api_key}", "Content-Type": "application/json"}
    if scenario:
        headers["X-Fake-Scenario"] = scenario
    body = run_body(prompt=prompt, user=user, mode="streaming")
    request = urllib.request.Request(f"{server.url}/v1/workflows/run", body, headers)
    with urllib.request.urlopen(request) as response:
        response.read()


def _runs(server: RunningServer) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{server.url}/__admin/runs") as response:
        runs: list[dict[str, Any]] = json.load(response)["runs"]
        return runs


if __name__ == "__main__":
    sys.exit(main())
