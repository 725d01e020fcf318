"""The documentation as a site: it is built without a warning, and a page of it asks no other host
for anything.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.serving import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.server


def build(config: Path, to: Path) -> str:
    """What a strict build prints; fails where it has a warning."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", str(config)]
    ended = subprocess.run(
        [*command, "--site-dir", str(to)],
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stderr


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of ``folder`` on this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.browser
def test_the_site_asks_no_other_host_and_is_searched_in_chinese(page: Page, tmp_path: Path) -> None:
    """The fixture fails a test whose page sends a request to another machine."""
    build(ROOT / "mkdocs.yml", tmp_path / "site")
    with served(tmp_path / "site") as url:
        for path in ("/", "/settings/", "/how-to/front-end/"):
            page.goto(url + path)
            page.wait_for_selector("nav.md-nav--primary", state="attached")
        page.set_viewport_size({"width": 390, "height": 800})
        page.goto(f"{url}/settings/")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.set_viewport_size({"width": 1280, "height": 800})
        page.click("input.md-search__input")
        page.keyboard.type("图片")
        page.keyboard.press("End")
        page.wait_for_selector(".md-search-result__item")
        assert "快速上手" in page.inner_text(".md-search-result__list")
        page.goto("about:blank")


@pytest.mark.parametrize(
    "link", ["[x](no-such-page.md)", "[x](index.md#no-such-heading)", "[x](../no/such/file.py)"]
)
def test_a_link_that_leads_nowhere_stops_the_build(link: str, tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "index.md").write_text(f"# Home\n\n{link}\n")
    (docs / "theme").symlink_to(ROOT / "docs/theme")
    config = (ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:")[0]
    (tmp_path / "mkdocs.yml").write_text(config)
    with pytest.raises(AssertionError, match=r"no-such|no/such"):
        build(tmp_path / "mkdocs.yml", tmp_path / "site")


def test_an_address_elsewhere_is_written_in_full() -> None:
    """What is not checked here, as it needs the network, is at least no slip of the pen."""
    for page in [*ROOT.glob("README*.md"), *(ROOT / "docs").rglob("*.md")]:
        for url in re.findall(r"\]\((\w+:[^)\s]*)\)", page.read_text("utf-8")):
            parts = urlsplit(url)
            assert parts.scheme in ("https", "http", "mailto"), f"{page.name}: {url}"
            assert parts.scheme == "mailto" or "." in parts.netloc, f"{page.name}: {url}"
            assert url.isascii(), f"{page.name}: {url}"
