"""What the journal shows of a request and its answer."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from typing import Any

import pytest
from starlette.types import Message

from dify_wire.redaction.text import TextRedactor
from fake_server.journal import Entry, Journal
from fake_server.journal.reading import JournalReader
from fake_server.settings import DEFAULT_API_KEY
from tests.admin.calling import LOCAL, admin, host, requests_of, run
from tests.asgi import call, client, json_headers, run_body, scope
from tests.journal.test_ring import journal, received, sent, started


def test_a_blocking_run_is_shown_with_its_answer() -> None:
    app = host(clock="2024-05-01T12:00:00Z")
    answer = run(app, run_body("一只猫"))
    [entry] = requests_of(app)
    assert (entry["id"], entry["method"], entry["path"]) == (1, "POST", "/v1/workflows/run")
    assert (entry["operation"], entry["client"], entry["received_at"]) == (
        "runWorkflow",
        "127.0.0.1",
        1714564800.0,
    )
    assert entry["json"] == json.loads(run_body("一只猫"))
    assert entry["body"].encode() == run_body("一只猫")
    assert ["authorization", "Bearer [redacted]"] in entry["headers"]
    assert (entry["state"], entry["scenarios"], entry["warnings"]) == ("complete", [], [])
    assert (entry["answer"]["status"], entry["answer"]["bytes"]) == (200, len(answer.body))
    assert 0 < entry["first_byte_ms"] <= entry["ended_ms"]
    shown = json.loads(entry["answer"]["body"])
    assert shown["task_id"] == answer.json()["task_id"]
    assert shown["data"]["outputs"]["files"][0]["url"].endswith("&nonce=[redacted]&sign=[redacted]")


def test_a_stream_is_shown_frame_by_frame() -> None:
    app = host()
    answer = run(app, run_body(mode="streaming"))
    [entry] = requests_of(app)
    frames = entry["answer"]["frames"]
    redacted = TextRedactor([]).text(answer.body.decode())
    assert "".join(f"{one['frame']}\n\n" for one in frames) == redacted
    assert len(frames) > 5
    assert "body" not in entry["answer"]


def test_frames_have_the_time_of_their_last_byte() -> None:
    """However the stream was cut into chunks, and with what is left over at its end."""
    ring = journal()
    entry = ring.begin(scope("POST", "/"))
    entry.began = 0.0
    entry.response_head(started(b"text/event-stream"))
    entry.response_chunk(sent(b"data: 1\n\nda", more=True), at=0.001)
    entry.response_chunk(sent(b"ta: 2\n", more=True), at=0.002)
    entry.response_chunk(sent(b"\ndata: 3\n\ndata", more=True), at=0.0035)
    entry.response_chunk(sent(b": 4", more=True), at=0.004)
    shown = JournalReader(host().host).to_json(entry)["answer"]["frames"]
    assert shown == [
        {"ms": 1.0, "frame": "data: 1"},
        {"ms": 3.5, "frame": "data: 2"},
        {"ms": 3.5, "frame": "data: 3"},
        {"ms": 4.0, "frame": "data: 4", "partial": True},
    ]


def test_an_image_is_shown_by_size_and_digest() -> None:
    app = host()
    url = run(app).json()["data"]["outputs"]["files"][0]["url"]
    image = call(app, "GET", url, LOCAL).body
    entry = requests_of(app)[-1]
    answer = entry["answer"]
    assert (answer["bytes"], answer["sha256"]) == (len(image), hashlib.sha256(image).hexdigest())
    assert "body" not in answer
    assert entry["query"].endswith("&nonce=[redacted]&sign=[redacted]")


def test_a_body_that_is_no_text_is_shown_in_base64() -> None:
    app = host()
    run(app, b"\xff\xfe")
    [entry] = requests_of(app)
    assert (entry["encoding"], base64.b64decode(entry["body"]), entry["json"]) == (
        "base64",
        b"\xff\xfe",
        None,
    )


@pytest.mark.parametrize("character", ["é", "猫", "😀"])
def test_a_text_that_is_cut_within_a_character_stays_a_text(character: str) -> None:
    app = host()
    for shift in range(len(character.encode()) + 1):
        run(app, b"x" * ((1 << 16) - shift) + character.encode() * 2)
        [entry] = requests_of(app, "?limit=1")
        assert (entry["encoding"], entry["truncated"]) == ("text", True)
        assert entry["body"].startswith("x" * ((1 << 16) - shift))


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b'{"a": NaN, "b": 1e999, "c": -Infinity}', {"a": "NaN", "b": "1e999", "c": "-Infinity"}),
        (b'{"a": "\\ud800"}', {"a": "\ud800"}),
        (b"[" * 501 + b"]" * 501, None),
        (b"1" * 5000, None),
        (b"{", None),
    ],
)
def test_unusual_json_is_shown_as_far_as_json_can(body: bytes, shown: Any) -> None:
    app = host()
    run(app, body)
    assert requests_of(app)[0]["json"] == shown


def test_the_scenario_that_befell_a_request_is_named() -> None:
    app = host()
    admin(app, "POST", "/scenarios", {"name": "node_failed", "times": 1})
    run(app)
    run(app)
    assert [entry["scenarios"] for entry in requests_of(app)] == [["node_failed"], []]
    assert [entry["id"] for entry in requests_of(app, "?scenario=node_failed")] == [1]


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("", [1, 2, 3, 4]),
        ("?path=/v1/workflows/run", [1, 2, 3]),
        ("?path=/v1/*", [1, 2, 3, 4]),
        ("?path=/v1/[a-z]*", []),
        ("?method=get", [4]),
        ("?operation=runWorkflow&status=400", [2]),
        ("?since=2", [3, 4]),
        ("?since=1714564900", [3, 4]),
        ("?since=1714564901", []),
        ("?warnings=true", [3]),
        ("?limit=2", [3, 4]),
        ("?limit=0", []),
        ("?limit=9&status=200", [1, 3, 4]),
    ],
)
def test_the_journal_is_listed_by_query(query: str, ids: list[int]) -> None:
    app = host(clock="2024-05-01T12:00:00Z")
    run(app)
    run(app, b"{}")
    app.host.clock.advance(100)
    run(app, query="?debug=1")
    call(app, "GET", "/v1/parameters", {**LOCAL, "Authorization": f"Bearer {DEFAULT_API_KEY}"})
    assert [entry["id"] for entry in requests_of(app, query)] == ids


def test_a_body_that_nobody_read_is_shown_as_far_as_it_has_come() -> None:
    """A wrong key is refused before the body is read, and what came with it is of interest all the
    same.
    """
    app = host()
    assert run(app, run_body("a cat"), Authorization="Bearer wrong").status == 401
    [entry] = requests_of(app)
    assert (entry["json"]["inputs"]["prompt"], entry["truncated"]) == ("a cat", False)


def test_a_body_that_has_not_come_is_not_waited_for() -> None:
    async def exchange_with_late_body() -> dict[str, Any]:
        app = host()
        headers = {**json_headers("wrong"), "Content-Length": "100"}
        sent_messages: list[Message] = []

        async def receive() -> Message:
            await asyncio.get_running_loop().create_future()
            raise AssertionError("nothing ever comes")

        async def send(message: Message) -> None:
            sent_messages.append(message)

        await app(scope("POST", "/v1/workflows/run", headers), receive, send)
        assert sent_messages[0]["status"] == 401
        return JournalReader(app.host).to_json(app.host.journal.entries()[0])

    shown = asyncio.run(asyncio.wait_for(exchange_with_late_body(), 10))
    assert (shown["body"], shown["truncated"]) == ("", True)


def test_clearing_the_journal_says_how_many_there_were() -> None:
    app = host()
    run(app)
    assert admin(app, "DELETE", "/requests").json() == {"forgotten": 1}
    assert admin(app, "GET", "/requests").json() == {"requests": [], "last_id": 1, "forgotten": 0}


def test_a_run_that_is_still_being_answered_is_there_as_running() -> None:
    async def exchange() -> None:
        app = host(speed=1.0, clock="2024-05-01T12:00:00Z")
        waited = asyncio.Event()
        app.host.clock.on_wait = waited.set
        headers = json_headers(DEFAULT_API_KEY)
        messages: list[Message] = []

        async def send(message: Message) -> None:
            messages.append(message)

        request = scope("POST", "/v1/workflows/run", headers)
        answering = asyncio.create_task(app(request, client(run_body(mode="streaming")), send))
        await waited.wait()
        [entry] = app.host.journal.entries()
        shown = JournalReader(app.host).to_json(entry)
        assert (shown["state"], shown["ended_ms"]) == ("running", None)
        assert shown["answer"]["status"] == 200
        assert app.host.counters.streams_open == app.host.store.runs_running == 1
        app.host.clock.advance(60)
        await answering
        assert entry.state == "complete"
        assert app.host.counters.streams_open == app.host.store.runs_running == 0

    asyncio.run(exchange())


def test_a_client_that_leaves_is_shown_as_such() -> None:
    async def exchange() -> Entry:
        app = host(speed=1.0)
        request = scope("POST", "/v1/workflows/run", json_headers(DEFAULT_API_KEY))

        async def send(message: Message) -> None:
            raise AssertionError(f"nobody is there to get {message}")

        await app(request, client(run_body(), leaves=True), send)
        [entry] = app.host.journal.entries()
        assert app.host.counters.requests["runWorkflow", 499] == 1
        return entry

    entry = asyncio.run(exchange())
    assert (entry.state, entry.status, entry.logged_status) == ("client left", None, 499)


def ended(ring: Journal, *events: str) -> Entry:
    entry = ring.begin(scope("POST", "/"))
    entry.request_chunk(received(b"{}"))
    entry.response_head(started())
    for event in events:
        if event == "leaves":
            entry.request_chunk({"type": "http.disconnect"})
        else:
            entry.response_chunk(sent(b"x", more=event == "part"))
    entry.end(crashed="breaks" in events)
    return entry


@pytest.mark.parametrize(
    ("events", "how"),
    [
        (["part", "rest"], "complete"),
        (["rest", "leaves"], "complete"),
        (["part", "leaves", "rest"], "client left"),
        (["part", "leaves"], "client left"),
        (["part"], "broken"),
        (["part", "breaks"], "broken"),
    ],
)
def test_how_an_answer_ended(events: list[str], how: str) -> None:
    assert ended(journal(), *events).state == how


def test_an_answer_that_a_scenario_breaks_off_is_broken_not_left() -> None:
    entry = journal().begin(scope("POST", "/"))
    entry.broken_off = True
    entry.request_chunk({"type": "http.disconnect"})
    entry.end(crashed=False)
    assert entry.state == "broken"


@pytest.mark.parametrize(
    ("secret", "text", "shown"),
    [
        ("app-1", "the app-1, app-12", "the [redacted], app-12"),
        ('a"b\\c-long', '{"k": "a\\"b\\\\c-long"}', '{"k": "[redacted]"}'),
        ("钥匙钥匙钥匙钥匙", "\\u94a5\\u5319" * 4, "[redacted]"),
        ("a b/c longer", "x=a%20b%2Fc%20longer", "x=[redacted]"),
        ("", "design=1&nonces=2", "design=1&nonces=2"),
        (
            "",
            "?sign=aZ_-=&nonce=0f\\u0026sign\\u003dab%3D",
            "?sign=[redacted]&nonce=[redacted]\\u0026sign\\u003d[redacted]",
        ),
    ],
)
def test_secrets_are_found_in_every_form(secret: str, text: str, shown: str) -> None:
    assert TextRedactor([secret]).text(text) == shown


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("Authorization", "Bearer abc", "Bearer [redacted]"),
        ("Authorization", "abc", "[redacted]"),
        ("Authorization", "", ""),
        ("Authorization", "Bearer ", "[redacted]"),
        ("Proxy-Authorization", "Basic YTpi", "Basic [redacted]"),
        ("Cookie", "a=b", "[redacted]"),
        ("X-Admin-Token", "abc", "[redacted]"),
        ("Referer", "http://x/?sign=abc", "http://x/?sign=[redacted]"),
    ],
)
def test_of_headers_that_carry_keys_only_the_scheme_is_left(
    name: str, value: str, shown: str
) -> None:
    assert TextRedactor([]).header(name, value) == shown
