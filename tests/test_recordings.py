"""Every recorded exchange of the real host, sent to the fake over a socket, gets the answer that
the host gave.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest

from tests.compared import differences, without_deployment
from tests.each import each
from tests.recorded import (
    KEYS,
    SECRET_KEY,
    Exchange,
    app_arguments,
    exchanges,
    not_compared,
    outages,
    ready,
)
from tests.serving import Connection, RawAnswer, RunningServer, raw_exchange, running_server

pytestmark = pytest.mark.server

_NOT_COMPARED = [entry["name"] for entry in not_compared()]
_COMPARED = [name for name in exchanges() if name not in _NOT_COMPARED]
_OF_MAIN = [name for name in _COMPARED if exchanges()[name].app == "main"]
_KINDS = ("client", "host", "other door")


@dataclass(frozen=True, slots=True)
class Target:
    """The server under test, a picture that it has, and the ids of the recorded workflows, which
    are its own too.
    """

    server: RunningServer
    file_id: str
    workflow_ids: frozenset[str]

    def request(self, exchange: Exchange) -> bytes:
        return ready(exchange, self.file_id, time.time())

    def answer(self, request: bytes) -> RawAnswer:
        return raw_exchange(self.server.host, self.server.port, request)


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    """One server with every recorded app under its recorded key, and the default app under a key of
    its own.
    """
    flags = ("--speed", "instant", "--secret-key", SECRET_KEY)
    with running_server(*flags, *app_arguments()) as server:
        run = raw_exchange(server.host, server.port, exchanges()["block_ok_doc_example"].request)
        yield Target(
            server, _found('"related_id": "(.*?)"', run.body.decode()).pop(), _workflow_ids()
        )


def _workflow_ids() -> frozenset[str]:
    return frozenset().union(
        *(
            _found('"workflow_id": "(.*?)"', exchange.body.decode())
            for exchange in exchanges().values()
            if exchange.body
        )
    )


def _found(pattern: str, text: str) -> set[str]:
    return set(re.findall(pattern, text))


@each("name", _COMPARED)
def test_the_answer_is_the_recorded_one(target: Target, name: str) -> None:
    """The same bytes in, the same bytes out, but for what differs from run to run."""
    exchange = exchanges()[name]
    found = differences(exchange, target.answer(target.request(exchange)), target.workflow_ids)
    assert not found, "\n".join(found)


@each("name", _OF_MAIN)
def test_the_default_app_answers_as_the_recorded_one(target: Target, name: str) -> None:
    """The app that the fake brings along differs from the recorded one only in what its graph
    decides.
    """
    exchange = exchanges()[name]
    key, default_key = KEYS["main"].encode(), target.server.api_key.encode()
    answer = target.answer(target.request(exchange).replace(key, default_key))
    if exchange.is_stream:
        assert exchange.body is not None
        exchange = replace(exchange, body=without_deployment(exchange.body.decode()).encode())
        answer = replace(answer, body=without_deployment(answer.body.decode()).encode())
    found = differences(exchange, answer)
    assert not found, "\n".join(found)


def test_several_requests_share_a_connection(target: Target) -> None:
    """A stream too leaves the connection ready for the next request."""
    shared = [exchange for name, exchange in exchanges().items() if name.startswith("keepalive_")]
    with Connection(target.server.host, target.server.port) as connection:
        answers = [connection.exchange(target.request(exchange)) for exchange in shared]
    found = [
        differences(exchange, answer) for exchange, answer in zip(shared, answers, strict=True)
    ]
    assert found == [[], [], [], []]


def test_the_host_s_own_ids_never_change(target: Target) -> None:
    """The tenant is the same in every app, and a user has one id in an app."""
    streams = [
        target.answer(exchanges()[name].request).body.decode()
        for name in ("stream_ok", "stream_simple", "stream_ok")
    ]
    assert len(set.union(*(_found('"tenant_id": "(.*?)"', stream) for stream in streams))) == 1
    users = [_found(r'"created_by": \{"id": "(.*?)"', stream) for stream in streams]
    assert users[0] == users[2] != users[1]


@pytest.mark.parametrize("name", _NOT_COMPARED)
def test_what_is_not_compared_does_differ(target: Target, name: str) -> None:
    """The list of exchanges that cannot be repeated names no other ones."""
    assert name in exchanges(), f"{name} is no recorded exchange"
    exchange = exchanges()[name]
    assert differences(exchange, target.answer(target.request(exchange)), target.workflow_ids), (
        f"{name} can be compared"
    )


def test_each_exception_has_a_reason() -> None:
    assert len(set(_NOT_COMPARED)) == len(_NOT_COMPARED)
    assert all(
        set(entry) == {"name", "kind", "reason"} and entry["kind"] in _KINDS
        for entry in not_compared()
    )
    assert set(outages()) <= set(_COMPARED)


# The comparison itself


def _as_recorded(name: str) -> RawAnswer:
    exchange = exchanges()[name]
    assert exchange.body is not None
    line = f"HTTP/1.1 {exchange.status} {exchange.reason}"
    return RawAnswer(line, exchange.status, list(exchange.headers), exchange.body, [])


@each("name", [name for name, exchange in exchanges().items() if exchange.body is not None])
def test_a_recorded_answer_is_equal_to_itself(name: str) -> None:
    """All relations that the comparison demands hold in the recordings themselves."""
    assert differences(exchanges()[name], _as_recorded(name)) == []


def test_a_request_for_its_own_place_and_time_is_sent_as_recorded() -> None:
    """What makes the requests for signed URLs fit another server changes nothing else."""
    for name, exchange in exchanges().items():
        file_id = re.search(rb"/files/(?:tools/)?([0-9a-fA-F-]{36})", exchange.request)
        same_id = file_id[1].decode().lower() if file_id else ""
        if name not in outages():
            assert ready(exchange, same_id, exchange.sent_at) == exchange.request, name


def _replaced(old: str, new: str) -> Callable[[RawAnswer], RawAnswer]:
    """The answer with the first ``old`` in its body replaced."""

    def change(answer: RawAnswer) -> RawAnswer:
        assert old.encode() in answer.body
        return replace(answer, body=answer.body.replace(old.encode(), new.encode(), 1))

    return change


def _frames(change: Callable[[list[bytes]], list[bytes]]) -> Callable[[RawAnswer], RawAnswer]:
    return lambda answer: replace(answer, body=b"\n\n".join(change(answer.body.split(b"\n\n"))))


def _headers(
    change: Callable[[list[tuple[str, str]]], list[tuple[str, str]]],
) -> Callable[[RawAnswer], RawAnswer]:
    return lambda answer: replace(answer, headers=change(answer.headers))


def _shared_file_signed_apart(frames: list[bytes]) -> list[bytes]:
    """The last frame's ``files`` with a nonce of their own, rightly signed."""
    *before, last, tail = frames
    frame = json.loads(last.removeprefix(b"data: "))
    other = json.loads(frames[4].removeprefix(b"data: "))["data"]["files"]
    frame["data"]["files"] = other
    return [*before, b"data: " + json.dumps(frame).encode(), tail]


_MUTATIONS: dict[str, tuple[str, Callable[[RawAnswer], RawAnswer]]] = {
    "another status": (
        "block_ok_doc_example",
        lambda answer: replace(answer, status_line="HTTP/1.1 201 OK"),
    ),
    "another reason": (
        "user_missing",
        lambda answer: replace(answer, status_line="HTTP/1.1 400 Bad Request"),
    ),
    "a name in lower case": (
        "block_ok_doc_example",
        _headers(
            lambda headers: [(name.replace("X-Env", "x-env"), value) for name, value in headers]
        ),
    ),
    "no Connection": (
        "block_ok_doc_example",
        _headers(lambda headers: [h for h in headers if h[0] != "Connection"]),
    ),
    "Date before Server": (
        "block_ok_doc_example",
        _headers(lambda headers: [headers[1], headers[0], *headers[2:]]),
    ),
    "a type after the framing": ("stream_ok", _headers(lambda h: [*h[:2], h[3], h[2], *h[4:]])),
    "a missing header": (
        "block_ok_doc_example",
        _headers(lambda headers: [h for h in headers if h[0] != "X-Env"]),
    ),
    "one header more": (
        "block_ok_doc_example",
        _headers(lambda headers: [*headers, ("Cache-Control", "no-store")]),
    ),
    "headers in another order": (
        "cors_post",
        _headers(lambda headers: [*headers[:5], *reversed(headers[5:])]),
    ),
    "another framing": (
        "stream_ok",
        _headers(
            lambda headers: (
                [h for h in headers if h[0] != "Transfer-Encoding"] + [("Content-Length", "1")]
            )
        ),
    ),
    "a dropped key": ("block_ok_doc_example", _replaced('"error": null, ', "")),
    "keys in another order": (
        "user_missing",
        _replaced('"status": 400}', '"status": 400, "x": 1}'),
    ),
    "compact JSON": ("user_missing", _replaced(": ", ":")),
    "no newline at the end": ("user_missing", _replaced("\n", "")),
    "a newline at the end": ("block_ok_doc_example", _replaced("}}", "}}\n")),
    "another word": ("block_unknown_model", _replaced("must be one of", "should be one of")),
    "an int for a float": (
        "block_ok_doc_example",
        lambda answer: _with_body(answer, r'("elapsed_time": \d+)\.\d+', r"\1"),
    ),
    "a text for an int": (
        "block_ok_doc_example",
        lambda answer: _with_body(answer, r'("total_tokens": )(\d+)', r'\1"\2"'),
    ),
    "another id inside": (
        "block_ok_doc_example",
        lambda answer: _with_body(answer, '("data": {"id": ").{8}', r"\g<1>00000000"),
    ),
    "a wrong signature": (
        "block_ok_doc_example",
        lambda answer: _with_body(answer, "&sign=....", "&sign=AAAA"),
    ),
    "a finish in the future": (
        "block_ok_doc_example",
        lambda answer: _with_body(answer, r'("finished_at": )\d', r"\g<1>2"),
    ),
    "unescaped Chinese": (
        "llmonly_block_chinese",
        lambda answer: replace(answer, body=answer.body.decode("unicode-escape").encode()),
    ),
    "swapped frames": (
        "stream_ok",
        _frames(lambda frames: [frames[0], frames[2], frames[1], *frames[3:]]),
    ),
    "a lost frame": ("stream_ok", _frames(lambda frames: frames[:-2] + frames[-1:])),
    "a frame more": (
        "stream_ok",
        _frames(lambda frames: [*frames[:-1], b"data: [DONE]", frames[-1]]),
    ),
    "a ping without cause": (
        "stream_ok",
        _frames(lambda frames: [*frames[:3], b"event: ping", *frames[3:]]),
    ),
    "a missing ping": ("slow_stream_35s", _replaced("event: ping\n\n", "")),
    "CRLF frames": (
        "stream_ok",
        lambda answer: replace(answer, body=answer.body.replace(b"\n", b"\r\n")),
    ),
    "no space after data:": ("stream_ok", _replaced("data: ", "data:")),
    "an event line": (
        "stream_ok",
        _frames(lambda frames: [b"event: message\n" + frames[0], *frames[1:]]),
    ),
    "a dropped key in a frame": ("stream_ok", _replaced('"predecessor_node_id": null, ', "")),
    "another index": ("stream_ok", _replaced('"index": 2', '"index": 3')),
    "another title": ("stream_ok", _replaced('"title": "LLM"', '"title": "GPT"')),
    "a file signed apart": ("stream_simple", _frames(_shared_file_signed_apart)),
}


def _with_body(answer: RawAnswer, pattern: str, replacement: str) -> RawAnswer:
    changed, count = re.subn(pattern, replacement, answer.body.decode(), count=1)
    assert count == 1
    return replace(answer, body=changed.encode())


@pytest.mark.parametrize("mutation", _MUTATIONS)
def test_the_comparison_bites(mutation: str) -> None:
    """An answer that is wrong in one way only is found out."""
    name, change = _MUTATIONS[mutation]
    assert differences(exchanges()[name], change(_as_recorded(name))), mutation


def test_other_accidental_values_are_no_difference() -> None:
    """Two recorded runs of the same request are equal to each other."""
    first, second = exchanges()["stream_ok_no_model"], _as_recorded("keepalive_3")
    assert differences(first, second) == []
    assert first.body != second.body


def test_a_picture_has_to_be_one(target: Target) -> None:
    """Where only the first bytes of a file were kept, another file is still told from a picture."""
    exchange = exchanges()["file_ok"]
    answer = target.answer(target.request(exchange))
    assert differences(exchange, answer) == []
    assert differences(exchange, replace(answer, body=answer.body[:-1]))
    assert differences(exchange, replace(answer, body=b"\xff\xd8" + answer.body[2:]))


def test_an_outage_is_needed(target: Target) -> None:
    """Without its scenario an exchange that was recorded during one is answered otherwise."""
    answered_as_ever = {"down_pg_noauth"}
    for name in outages():
        exchange = exchanges()[name]
        found = differences(exchange, target.answer(exchange.request), target.workflow_ids)
        assert bool(found) is (name not in answered_as_ever), name
