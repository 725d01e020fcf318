"""Waiting for requests and verifying them, and the nearest request where they do not come."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dify_wire.redaction.text import TextRedactor
from fake_server.app import FakeServer
from fake_server.clock import Clock
from fake_server.journal import Entry, Journal
from fake_server.journal.exchanges import AccessLog, Counters
from fake_server.journal.matching import (
    MISSING,
    await_matching,
    matching,
    nearest_entry,
    read_match,
    wait_matching,
)
from fake_server.settings import DEFAULT_API_KEY
from tests.admin.calling import LOCAL, RUN, admin, check_described, host, requests_of, run
from tests.asgi import AsgiAnswer, call, client, exchange, json_headers, run_body, scope
from tests.serving import Connection, running_server

pytestmark = pytest.mark.server


def verified(app: FakeServer, match: dict[str, Any], count: Any = None) -> AsgiAnswer:
    body = {"match": match} if count is None else {"match": match, "count": count}
    return admin(app, "POST", "/requests/verify", body)


@pytest.fixture(scope="module")
def app() -> FakeServer:
    """A host that has received two runs and an info."""
    app = host()
    run(app, run_body("a cat", user="zk-1", model_name="dosmix_"))
    run(app, run_body("a dog", "streaming", user="zk-2"), Authorization="Bearer app-none")
    call(app, "GET", "/v1/info?user=zk-3", {**LOCAL, "Authorization": f"Bearer {DEFAULT_API_KEY}"})
    return app


@pytest.mark.parametrize(
    ("match", "ids"),
    [
        ({}, [1, 2, 3]),
        ({"method": "post"}, [1, 2]),
        ({"path": "/v1/info"}, [3]),
        ({"path": "/v1/*"}, [1, 2, 3]),
        ({"path": "/v1/inf?"}, [3]),
        ({"path": "/v1/[i]nfo"}, []),
        ({"operation": "getInfo"}, [3]),
        ({"user": "zk-1"}, [1]),
        ({"user": "zk-3"}, [3]),
        ({"prompt": "a dog"}, [2]),
        ({"model": "dosmix_"}, [1]),
        ({"mode": "streaming"}, [2]),
        ({"status": 401}, [2]),
        ({"header": {"authorization": "Bearer app-none"}}, [2]),
        ({"header": {"Content-Type": None}}, [3]),
        ({"json": {"inputs": {"prompt": "a cat"}}}, [1]),
        ({"json": {"inputs": {"prompt": "a cat", "steps": 1}}}, []),
        ({"json": {"inputs": "a cat"}}, []),
        ({"status": 200, "method": "POST"}, [1]),
    ],
)
def test_a_request_matches_where_nothing_differs(
    app: FakeServer, match: dict[str, Any], ids: list[int]
) -> None:
    assert [entry.number for entry in matching(app.host.journal, read_match(match))] == ids
    assert verified(app, match, len(ids)).json() == {"matched": len(ids)}


def test_json_is_compared_as_json_has_it() -> None:
    app = host()
    run(app, b'{"a": 1, "b": [1, {"c": null}]}')
    journal = app.host.journal
    assert matching(journal, read_match({"json": {"a": 1.0, "b": [1, {"c": None}]}}))
    assert not matching(journal, read_match({"json": {"b": [1]}}))
    run(app, b'{"a": true}')
    assert [entry.number for entry in matching(journal, read_match({"json": {"a": 1}}))] == [1]


@pytest.mark.parametrize(
    ("count", "holds"),
    [
        (None, True),
        (1, True),
        (0, False),
        (2, False),
        ({"at_least": 1}, True),
        ({"at_least": 2}, False),
        ({"at_most": 1}, True),
        ({"at_most": 0}, False),
        ({"at_least": 0, "at_most": 5}, True),
    ],
)
def test_verify_counts(app: FakeServer, count: Any, holds: bool) -> None:
    answer = verified(app, {"user": "zk-1"}, count)
    assert answer.status == (200 if holds else 409)
    assert answer.json()["matched"] == 1


def test_verify_says_how_the_nearest_request_differs(app: FakeServer) -> None:
    """Nearest is the one with the fewest and smallest differences, not the newest."""
    missed = verified(app, {"path": RUN, "user": "zk-1", "prompt": "a cap", "json": {"files": []}})
    assert missed.status == 409
    body = missed.json()
    assert body["error"]["message"] == "no requests matched; expected: at least 1"
    assert body["nearest"]["id"] == 1
    assert body["differences"] == [
        {"field": "prompt", "wanted": "a cap", "got": "a cat"},
        {"field": "json.files", "wanted": [], "got": MISSING},
    ]


def test_too_many_have_no_nearest(app: FakeServer) -> None:
    body = verified(app, {"method": "POST"}, {"at_most": 1}).json()
    assert body["error"]["message"] == "2 requests matched; expected: 0 to 1"
    assert (body["nearest"], body["differences"]) == (None, [])


def test_verify_since_an_entry_does_not_look_at_earlier_ones(app: FakeServer) -> None:
    body = {"match": {"user": "zk-1"}, "since": 1}
    missed = admin(app, "POST", "/requests/verify", body)
    assert (missed.status, missed.json()["nearest"]["id"] > 1) == (409, True)


def test_without_any_request_there_is_no_nearest() -> None:
    body = verified(host(), {"user": "zk-1"}).json()
    assert (body["matched"], body["nearest"]) == (0, None)


def test_a_header_that_carries_a_key_is_not_in_the_difference(app: FakeServer) -> None:
    body = verified(
        app, {"path": RUN, "header": {"authorization": "Bearer other"}, "prompt": "a dog"}
    ).json()
    assert body["differences"] == [
        {"field": "header.authorization", "wanted": "Bearer [redacted]", "got": "Bearer [redacted]"}
    ]


def test_wait_finds_what_has_come_already(app: FakeServer) -> None:
    answer = admin(app, "POST", "/requests/wait", {"match": {"path": RUN}, "count": 2})
    assert [entry["id"] for entry in answer.json()["requests"]] == [1, 2]


def test_wait_gives_up_in_real_time_and_says_what_was_nearest() -> None:
    app = host(clock="2024-05-01T12:00:00Z")
    run(app, run_body("a cat"))
    missed = admin(app, "POST", "/requests/wait", {"match": {"prompt": "a dog"}, "timeout_s": 0.01})
    assert missed.status == 408
    body = missed.json()
    assert body["error"]["message"] == "no requests matched within 0.01 s; expected: 1"
    assert body["differences"] == [{"field": "prompt", "wanted": "a dog", "got": "a cat"}]


def test_wait_wakes_with_the_request_and_not_by_looking_again() -> None:
    """In one loop: the waiter is done as soon as the run that it waits for was received, though
    that runs on.
    """

    async def together() -> None:
        app = host(speed=1.0, clock="2024-05-01T12:00:00Z")
        wait = scope("POST", "/__admin/requests/wait", LOCAL)
        body = json.dumps({"match": {"prompt": "a dog"}, "timeout_s": 60}).encode()
        waiting = asyncio.create_task(exchange(app, wait, client(body)))
        headers = json_headers(DEFAULT_API_KEY)
        running = [
            asyncio.create_task(
                exchange(app, scope("POST", RUN, headers), client(run_body(prompt)))
            )
            for prompt in ("a cat", "a dog")
        ]
        answer = await waiting
        check_described("POST", "/requests/wait", answer)
        [entry] = answer.json()["requests"]
        assert (entry["json"]["inputs"]["prompt"], entry["state"]) == ("a dog", "running")
        assert not any(task.done() for task in running)
        app.host.clock.advance(60)
        assert [one.status for one in await asyncio.gather(*running)] == [200, 200]

    asyncio.run(asyncio.wait_for(together(), 10))


def test_wait_ends_when_the_server_does() -> None:
    async def ending() -> AsgiAnswer:
        app = host()
        wait = scope("POST", "/__admin/requests/wait", LOCAL)
        waiting = asyncio.create_task(exchange(app, wait, client(b'{"timeout_s": 60}')))
        asyncio.get_running_loop().call_soon(
            lambda: asyncio.get_running_loop().call_soon(app.end_runs)
        )
        return await waiting

    answer = asyncio.run(asyncio.wait_for(ending(), 10))
    assert (answer.status, answer.json()["error"]["message"]) == (503, "the server is going down")


def test_wait_ends_when_its_caller_leaves() -> None:
    async def leaving() -> FakeServer:
        app = host()
        wait = scope("POST", "/__admin/requests/wait", LOCAL)
        await exchange(app, wait, client(b'{"timeout_s": 60}', leaves=True))
        return app

    asyncio.run(asyncio.wait_for(leaving(), 10))


def test_waiting_from_another_thread_wakes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    app = host()
    found: list[int] = []
    match = read_match({"prompt": "a dog"})
    watched = threading.Event()
    journal = app.host.journal
    watch = journal.watch

    def watch_and_note(*arguments: Any) -> None:
        watch(*arguments)
        watched.set()

    monkeypatch.setattr(journal, "watch", watch_and_note)

    def wait() -> None:
        found.extend(entry.number for entry in wait_matching(journal, match, 1, 0, 10.0))

    thread = threading.Thread(target=wait)
    thread.start()
    assert watched.wait(10)
    run(app, run_body("a cat"))
    run(app, run_body("a dog"))
    thread.join(10)
    assert found == [2]


def test_waiting_for_nothing_ends_at_once() -> None:
    journal = host().host.journal
    match = read_match({})
    assert wait_matching(journal, match, 1, 0, 0.0) == []
    assert asyncio.run(await_matching(journal, match, 1, 0, 0.0)) == []
    assert nearest_entry(journal, match) is None


def test_wait_over_a_socket_answers_at_once_after_the_request() -> None:
    """The answer is there as soon as the run was received, which itself takes 18 s at this
    speed.
    """
    with running_server("--speed", "1") as server:
        wanted = json.dumps({"match": {"prompt": "a dog"}, "timeout_s": 30}).encode()
        host_header = f"Host: 127.0.0.1:{server.port}"
        head = f"POST %s HTTP/1.1\r\n{host_header}\r\nContent-Type: application/json\r\n"
        with (
            Connection(server.host, server.port) as waiter,
            Connection(server.host, server.port) as runner,
        ):
            raw = (head % "/__admin/requests/wait").encode() + b"Content-Length: %d\r\n\r\n%b" % (
                len(wanted),
                wanted,
            )
            waiter.send(raw)
            body = run_body("a dog")
            key = f"Authorization: Bearer {server.api_key}\r\n".encode()
            runner.send(
                (head % RUN).encode() + key + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
            )
            answer = waiter.answer()
        assert answer.status == 200
        assert json.loads(answer.body)["requests"][0]["state"] == "running"
        assert answer.chunks[0][0] < 5


def test_the_journal_goes_on_after_the_runs_are_reset() -> None:
    """A run that is being played is ended by a reset, and does not come back into the journal."""

    async def resetting() -> None:
        app = host(speed=1.0, clock="2024-05-01T12:00:00Z")
        waited = asyncio.Event()
        app.host.clock.on_wait = waited.set
        running = asyncio.create_task(
            exchange(app, scope("POST", RUN, json_headers(DEFAULT_API_KEY)), client(run_body()))
        )
        await waited.wait()
        app.reset()
        assert (await running).status == 502
        assert app.host.journal.entries() == []
        assert app.host.store.runs_ended["blocking", "abandoned"] == 1

    asyncio.run(asyncio.wait_for(resetting(), 10))
    app = host()
    run(app)
    app.reset()
    run(app)
    assert [entry["id"] for entry in requests_of(app)] == [2]


# As by reading everything anew
# ------------------------------------------------------------------------------------------------

_BODIES = st.sampled_from([b'{"user": "u"}', b'{"user": "v"}', b"1", b"2", b"", b"{"])
_STEPS = st.lists(
    st.tuples(st.sampled_from(["begin", "noted", "clear"]), st.just(0), _BODIES)
    | st.tuples(
        st.sampled_from(["part", "rest", "leaves", "head", "sends", "ends"]),
        st.integers(1, 4),
        _BODIES,
    ),
    max_size=30,
)
_MATCHES = st.sampled_from(
    [{}, {"user": "u"}, {"status": 200}, {"json": 1}, {"json": 12}, {"json": None}, {"path": "/"}]
)


@given(steps=_STEPS, fields=_MATCHES, since=st.integers(0, 3), counts=st.sets(st.integers(1, 6)))
def test_a_waiter_finds_what_reading_everything_anew_finds(
    steps: list[tuple[str, int, bytes]], fields: dict[str, Any], since: int, counts: set[int]
) -> None:
    """After each step, in a journal of four entries: those who wait for as many as there are now
    have them, and the others still wait.
    """
    match = read_match(fields)

    async def main() -> None:
        log = AccessLog(Journal(Clock(), entries=4), Counters(), TextRedactor)
        journal, open_ = log.journal, list[Entry]()
        waiting = {
            count: asyncio.ensure_future(await_matching(journal, match, count, since, 60.0))
            for count in counts
        }
        await _others_go_on()
        for what, which, body in steps:
            _do(log, open_, what, which, body)
            found = matching(journal, match, since)
            await _others_go_on()
            for count in list(waiting):
                assert waiting[count].done() == (len(found) >= count)
                if waiting[count].done():
                    assert waiting.pop(count).result() == found
        journal.close()
        for one in waiting.values():
            assert await one == matching(journal, match, since)

    asyncio.run(main())


async def _others_go_on() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


def _do(log: AccessLog, running: list[Entry], what: str, which: int, body: bytes) -> None:
    """A step of the newest but ``which`` of the ``running`` requests, or of a new one."""
    request = scope("POST", "/")
    headers = [(b"Content-Type", b"application/json")]
    if what == "begin":
        running.append(log.begin(request))
    elif what == "noted":
        log.noted(
            request,
            body,
            operation="x",
            status=200,
            headers=headers,
            sent=b"{}",
            is_stream=False,
            began=log.ticks(),
        )
    elif what == "clear":
        log.journal.clear()
    elif which <= len(running):
        entry = running[-which]
        if what in ("part", "rest"):
            more = what == "part"
            entry.request_chunk({"type": "http.request", "body": body, "more_body": more})
        elif what == "leaves":
            entry.request_chunk({"type": "http.disconnect"})
        elif what == "head":
            entry.response_head({"status": 200, "headers": headers})
        elif what == "sends":
            entry.response_chunk({"body": body, "more_body": True})
        else:
            log.end(running.pop(-which))


_TEXTS = st.sampled_from(["", "a", "cat", "猫", '"', "\\", "\x00", "\ud800", "a cat", "é"])


@given(
    prompt=_TEXTS,
    mode=_TEXTS,
    wanted=st.fixed_dictionaries({}, optional={"prompt": _TEXTS, "mode": _TEXTS}),
    ascii_only=st.booleans(),
    coding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32-be"]),
)
def test_a_request_matches_where_it_differs_in_nothing(
    prompt: str, mode: str, wanted: dict[str, str], ascii_only: bool, coding: str
) -> None:
    """However its body is written: most that differ are found so without being decoded."""
    value = {"inputs": {"prompt": prompt}, "response_mode": mode}
    body = json.dumps(value, ensure_ascii=ascii_only).encode(coding, "surrogatepass")
    entry = Journal(Clock()).begin(scope("POST", "/"))
    entry.request_chunk({"type": "http.request", "body": body})
    match = read_match(wanted)
    expected = wanted.items() <= {"prompt": prompt, "mode": mode}.items()
    assert match.fits(entry) == (match.differences(entry) == []) == expected
