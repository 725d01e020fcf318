"""The fake's own pages and its banner: each key with a request for it, and who may see them."""

from __future__ import annotations

import json
import re
import shlex
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from dify_wire.profile import HOST_VERSIONS
from fake_server.app import create_app
from fake_server.examples.requests import key_examples
from fake_server.front_page import FrontPage
from fake_server.http.known import key_hint
from fake_server.settings import DEFAULT_API_KEY, Settings
from tests.asgi import AsgiAnswer, call, scope
from tests.serving import raw_exchange, server_process

SUMMARY = str(Path(__file__).parent / "examples" / "summary.yml")
APPS = (
    ("app-summary", SUMMARY),
    ("app-again", SUMMARY),
    ("app-chat", "chat"),
    ("app-off", "disabled"),
    ("app-new", "unpublished"),
    ("app-gone", "deleted"),
)


class _Text(HTMLParser):
    """The text of a page, with that of each ``pre``."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags = [""]
        self.blocks: list[str] = []
        self.text = ""
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "pre":
            self.blocks.append("")

    def handle_endtag(self, tag: str) -> None:
        self.tags.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.tags[-1] == "pre":
            self.blocks[-1] += data


def page(*headers: tuple[str, str], path: str = "/", **settings: Any) -> AsgiAnswer:
    """The page as this machine gets it, unless ``headers`` say otherwise."""
    app = create_app(Settings(**{"speed": None, "apps": APPS, **settings}))
    return call(app, "GET", path, headers or [("Host", "localhost:6060")])


def test_it_shows_each_key_with_a_request_for_its_app() -> None:
    shown = _Text(page().body)
    first, second = map(shlex.split, shown.blocks)
    assert first[:3] == ["curl", "-X", "POST"]
    assert first[3] == second[3] == "http://localhost:6060/v1/workflows/run"
    assert f"Authorization: Bearer {DEFAULT_API_KEY}" in first
    assert "一个胸有成竹的男人" in first[-1]
    assert "Authorization: Bearer app-summary" in second
    assert '"tone": "calm"' in second[-1]
    text = " ".join(shown.text.split())
    assert "Opens the same app as app-summary" in text
    assert "Refuses every run, as a chat app: 400 not_workflow_app." in text
    assert "as an unpublished app: 400 invalid_param." in text
    assert "as a disabled app: 404 not_found." in text


def test_it_links_the_admin_api_and_has_no_script() -> None:
    answer = page()
    assert b'<a href="/__admin/">' in answer.body
    assert "script" not in _Text(answer.body).tags
    assert ("Cache-Control", "no-store") in answer.headers
    policy = dict(answer.headers)["Content-Security-Policy"]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"


@pytest.mark.parametrize(
    ("headers", "settings", "why"),
    [
        ([("Host", "evil.example")], {}, "evil.example"),
        ([("Host", "localhost")], {"host": "0.0.0.0"}, "not only loopback"),
        ([("Host", "localhost"), ("X-Admin-Token", "t")], {}, "the server has none"),
        ([("Host", "localhost"), ("X-Admin-Token", "t")], {"admin_token": "u"}, "not the one"),
        ([("Host", "localhost"), ("Origin", "http://evil.example")], {}, "another origin"),
        ([("Host", "localhost"), ("Sec-Fetch-Site", "cross-site")], {}, "another origin"),
    ],
)
def test_keys_are_for_this_machine_and_for_the_token(
    headers: list[tuple[str, str]], settings: dict[str, Any], why: str
) -> None:
    answer = page(*headers, **settings)
    assert answer.status == 200
    assert b"This is a fake" in answer.body
    assert b"app-" not in answer.body
    assert why in _Text(answer.body).text


def test_one_client_does_not_get_the_page_of_another() -> None:
    """What is known of a head is kept, and the token is no part of it."""
    app = create_app(Settings(speed=None, host="0.0.0.0", admin_token="right"))
    for token, shown in (("wrong", False), ("right", True), ("wrong", False)):
        answer = call(app, "GET", "/", [("Host", "fake.example"), ("X-Admin-Token", token)])
        assert (DEFAULT_API_KEY.encode() in answer.body) is shown


def test_what_others_have_written_is_escaped(tmp_path: Path) -> None:
    text = Path(SUMMARY).read_text("utf-8")
    file = tmp_path / "hostile.yml"
    file.write_text(text.replace("name: summary", "name: '<script>alert(1)</script>'"), "utf-8")
    shown = page(apps=(("app-<b>", str(file)),))
    assert b"<script" not in shown.body
    assert "<script>alert(1)</script>" in _Text(shown.body).text
    assert "app-<b>" in _Text(shown.body).text


def test_a_replay_shows_no_request_that_was_not_recorded(tmp_path: Path) -> None:
    app = create_app(Settings(speed=None))
    host = app.host._replace(settings=Settings(speed=None, replay=tmp_path))
    shown = call(FrontPage(host), "GET", "/", [("Host", "localhost")])
    assert _Text(shown.body).blocks == []
    assert str(tmp_path) in _Text(shown.body).text


@pytest.mark.parametrize("version", HOST_VERSIONS)
def test_the_error_of_a_key_is_what_its_runs_get(version: str) -> None:
    app = create_app(Settings(speed=None, apps=APPS, host_version=version))
    for example in key_examples(app.host.apps, app.spec):
        headers = [
            ("Host", "localhost"),
            ("Authorization", f"Bearer {example.key}"),
            ("Content-Type", "application/json"),
        ]
        answer = call(app, "POST", "/v1/workflows/run", headers, json.dumps(example.body).encode())
        code = json.loads(answer.body).get("code", "")
        expected = f"{answer.status} {code}" if answer.status != 200 else ""
        assert example.error == expected, example.key


@pytest.mark.server
def test_the_banner_shows_every_key_and_stays_short() -> None:
    more = [f"--app=app-more-{number}=chat" for number in range(4)]
    keys = [f"--app={key}={what}" for key, what in APPS[:4]]
    with server_process("--speed", "instant", *keys, *more) as server:
        shown = server.log.read_text()
        commands = re.findall(r"^curl (?:.*\\\n)+.*(?:\n[ }].*)*", shown, re.MULTILINE)
        words = shlex.split(commands[1])
        assert "API key app-summary opens summary:" in shown
        assert f"{server.url}/v1/workflows/run" in words
        body = words[words.index("--data-raw") + 1].encode()
        head = (
            f"POST /v1/workflows/run HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer app-summary\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        assert raw_exchange(server.host, server.port, head.encode() + body).status == 200
    assert "API key app-again opens the same app as app-summary." in shown
    assert "API key app-chat opens a chat app, whose runs get 400 not_workflow_app." in shown
    assert "app-more-0" in shown
    assert "app-more-1" not in shown
    assert f"And 3 more API keys; on this machine {server.url}/ shows them." in shown


@pytest.mark.parametrize(
    ("header", "hint"),
    [
        (None, "no API key was sent; Authorization: Bearer KEY would work"),
        ("app-x", "no API key was sent; Authorization: Bearer KEY would work"),
        ("Basic app-x", "the API key was not sent as Bearer; Authorization: Bearer KEY would work"),
        ("Bearer app-x", "the API key is unknown; Authorization: Bearer KEY would work"),
        ("Bearer SENT", ""),
    ],
)
@pytest.mark.parametrize(
    ("keys", "shown"),
    [
        ((DEFAULT_API_KEY,), DEFAULT_API_KEY),
        (("app-RealKeyOfARealHost1234",), "app-Real…"),
        (("secret", DEFAULT_API_KEY), "sec…"),
    ],
)
def test_the_log_says_which_key_would_work(
    header: str | None, hint: str, keys: tuple[str, ...], shown: str
) -> None:
    app = create_app(Settings(speed=None, api_keys=keys))
    sent = [] if header is None else [("Authorization", header.replace("SENT", keys[0]))]
    assert key_hint(scope("GET", "/v1/", sent), app.host.apps, app.spec) == hint.replace(
        "KEY", shown
    )


@pytest.mark.server
@pytest.mark.parametrize("log_format", ["human", "json"])
def test_a_refused_key_is_explained_in_its_line_of_the_log(log_format: str) -> None:
    with server_process("--speed", "instant", "--log-format", log_format) as server:
        head = b"GET /v1/info?user=u HTTP/1.1\r\nHost: x\r\n"
        key = b"Authorization: Bearer app-x\r\n"
        assert raw_exchange(server.host, server.port, head + key + b"\r\n").status == 401
        deadline = time.monotonic() + 5
        while "/v1/info" not in (text := server.log.read_text()) and time.monotonic() < deadline:
            time.sleep(0.01)
    hint = f"the API key is unknown; Authorization: Bearer {DEFAULT_API_KEY} would work"
    assert f"ms; {hint}" in text
    if log_format == "json":
        line = next(line for line in text.splitlines() if line.startswith("{"))
        assert json.loads(line)["hint"] == hint
