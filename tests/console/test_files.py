"""The files of the console: the same for everybody, without data, within their size."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from fake_server.console import POLICY, PREFIX, STATIC
from fake_server.settings import DEFAULT_API_KEY, DEFAULT_SECRET_KEY
from tests.admin.calling import host
from tests.asgi import AsgiAnswer, call
from tests.tools import needed

PAGE = {"Host": "127.0.0.1:6060", "Accept": "text/html,*/*;q=0.8"}
FILES = sorted(path for path in STATIC.iterdir() if path.is_file())
MOST_BYTES = 150_000


def file(name: str, **headers: str) -> AsgiAnswer:
    return call(host(), "GET", f"{PREFIX}{name}", {"Host": "127.0.0.1:6060", **headers})


@pytest.mark.parametrize("path", ["/__admin", "/__admin/"])
def test_a_browser_gets_the_page_and_a_program_the_calls(path: str) -> None:
    page = call(host(), "GET", path, PAGE)
    assert page.header("Content-Type") == "text/html; charset=utf-8"
    assert page.header("Content-Security-Policy") == POLICY
    calls = call(host(), "GET", path, {"Host": "127.0.0.1:6060", "Accept": "*/*"})
    assert calls.json()["calls"]


def test_the_page_needs_no_token_and_holds_no_data() -> None:
    app = host(host="0.0.0.0", admin_token="opensesame")  # nothing listens
    stranger = {**PAGE, "Host": "fake.example"}
    page = call(app, "GET", "/__admin/", stranger)
    assert page.status == 200
    for path in FILES:
        answer = call(app, "GET", PREFIX + path.name, stranger)
        assert answer.body == path.read_bytes()
        for secret in (DEFAULT_API_KEY, DEFAULT_SECRET_KEY, "opensesame"):
            assert secret.encode() not in answer.body


@pytest.mark.parametrize("name", [path.name for path in FILES])
def test_a_file_comes_with_its_type_and_policy(name: str) -> None:
    answer = file(name)
    types = {
        "js": "text/javascript",
        "css": "text/css",
        "svg": "image/svg+xml",
        "html": "text/html",
    }
    assert answer.header("Content-Type") == f"{types[name.rpartition('.')[2]]}; charset=utf-8"
    assert answer.header("X-Content-Type-Options") == "nosniff"
    again = file(name, **{"If-None-Match": answer.header("ETag") or ""})
    assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize(
    "name", ["none.js", "../__init__.py", "..%2f__init__.py", "%2e%2e/__init__.py"]
)
def test_nothing_else_is_served(name: str) -> None:
    assert file(name).status == 404


def test_no_script_or_style_stands_in_the_page_and_none_makes_markup() -> None:
    page = (STATIC / "index.html").read_text("utf-8")
    assert not re.search(r"<script(?![^>]+src=)|<style|\son\w+=|\sstyle=", page)
    for directive in POLICY.split("; "):
        assert "unsafe" not in directive
    for path in STATIC.glob("*.js"):
        text = path.read_text("utf-8")
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", text
        ), path


def test_the_page_is_small() -> None:
    assert sum(path.stat().st_size for path in FILES) < MOST_BYTES


def test_both_languages_have_the_same_texts_and_those_that_are_used(tmp_path: Path) -> None:
    node = needed("node")
    for name in ("texts.js", "behaviours.zh.js"):
        shutil.copy(STATIC / name, tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "print.js").write_text(
        "globalThis.localStorage = { getItem: () => null };"
        "Object.defineProperty(globalThis, 'navigator', { value: { languages: [] } });"
        "const { TEXTS } = await import('./texts.js');"
        "console.log(JSON.stringify(TEXTS));"
    )
    done = subprocess.run([node, tmp_path / "print.js"], capture_output=True, text=True, check=True)
    texts = json.loads(done.stdout)
    assert texts["en"].keys() == texts["zh"].keys()
    for key, text in texts["en"].items():
        places = sorted(re.findall(r"\{\w+\}", text))
        assert sorted(re.findall(r"\{\w+\}", texts["zh"][key])) == places, key
    others = [path.read_text("utf-8") for path in STATIC.glob("*.js") if path.name != "texts.js"]
    scripts = "\n".join(others)
    used = set(re.findall(r'"([\w -]+(?:\.[\w -]+)*)"', scripts)) & texts["en"].keys()
    assert set(re.findall(r'\bt\("([^"]+)"', scripts)) <= used
    made = tuple(re.findall(r"\bt\(`([\w.]+\.)\$\{", scripts))
    assert [key for key in texts["en"] if key not in used and not key.startswith(made)] == []
