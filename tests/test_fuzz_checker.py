"""The fuzzer's checker allows what the real host answered, and nothing that differs from it."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest
from PIL import Image

from tests.each import each
from tests.fuzz.campaign import merged_document
from tests.fuzz.checker import Checker, Deployment
from tests.fuzz.expectation import nginx_path
from tests.fuzz.message import parse, render
from tests.recorded import KEYS, SECRET_KEY, Exchange, exchanges
from tests.serving import RawAnswer

pytestmark = pytest.mark.server

_OUTSIDE = {
    "down_api": "a server that is fuzzed is not down",
    "down_api_file": "a server that is fuzzed is not down",
    "disconnect_stream": "the client left before there was an response",
    "down_redis_block": "nothing behind a server that is fuzzed is down",
    "down_redis_stream": "nothing behind a server that is fuzzed is down",
    "down_pg_block": "nothing behind a server that is fuzzed is down",
    "tenant_archived": "the key opens its app while a server is fuzzed",
}
"""Answers of the host that the checker does not know, each with the reason."""

_KINDS = {"main": "workflow"}
_ALLOWED = [name for name in exchanges() if name not in _OUTSIDE and not name.startswith("direct_")]


@cache
def _only_checker() -> Checker:
    return Checker(merged_document(), Deployment({}, SECRET_KEY, 0.0))


def _checker(exchange: Exchange) -> Checker:
    """The checker for the recorded host at the time of ``exchange``."""
    checker = _only_checker()
    kinds = {key: _KINDS.get(name, name) for name, key in KEYS.items()}
    checker.deployment = Deployment(kinds, SECRET_KEY, exchange.sent_at)
    known = re.search(rb"/files/tools/([0-9a-fA-F-]{36})", exchange.request)
    checker.files = {known[1].decode().lower()} if known and exchange.file_known else set()
    return checker


def _png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (2, 2)).save(file, "PNG")
    return file.getvalue()


def _response(exchange: Exchange) -> RawAnswer:
    """The recorded response; where only the digest of an image was kept, with another image."""
    body = _png() if exchange.body is None else exchange.body
    return RawAnswer("", exchange.status, list(exchange.headers), body, [])


def _rules(
    name: str, change: Callable[[RawAnswer], RawAnswer] = lambda response: response
) -> set[str]:
    """The rules that the changed response of the exchange ``name`` breaks."""
    exchange = exchanges()[name]
    problems = _checker(exchange).problems(parse(exchange.request), change(_response(exchange)))
    return {problem.rule for problem in problems}


@each("name", _ALLOWED)
def test_recorded_responses_are_allowed(name: str) -> None:
    """Every exchange that was recorded through the proxy, but for those that no fuzzed server can
    give.
    """
    assert _rules(name) == set()


@pytest.mark.parametrize("name", _OUTSIDE)
def test_responses_of_another_server_are_not_allowed(name: str) -> None:
    """An exception that is none any more has to go."""
    assert _rules(name)


# Changed answers
# ---------------------------------------------------------------------------------------------


def _body(old: bytes, new: bytes) -> Callable[[RawAnswer], RawAnswer]:
    """Replaces the first ``old`` of the body, its length with it."""

    def change(response: RawAnswer) -> RawAnswer:
        assert old in response.body
        body = response.body.replace(old, new, 1)
        headers = [
            (name, str(len(body)) if name == "Content-Length" else value)
            for name, value in response.headers
        ]
        return replace(response, body=body, headers=headers)

    return change


def _header(name: str, value: str | None) -> Callable[[RawAnswer], RawAnswer]:
    """Replaces a header, takes it out (None) or adds it."""

    def change(response: RawAnswer) -> RawAnswer:
        rest = [pair for pair in response.headers if pair[0] != name]
        return replace(response, headers=rest if value is None else [*rest, (name, value)])

    return change


def _twice(name: str) -> Callable[[RawAnswer], RawAnswer]:
    def change(response: RawAnswer) -> RawAnswer:
        return replace(
            response,
            headers=[*response.headers, *(pair for pair in response.headers if pair[0] == name)],
        )

    return change


def _status(status: int) -> Callable[[RawAnswer], RawAnswer]:
    return lambda response: replace(response, status=status)


def _frames(change: Callable[[list[bytes]], list[bytes]]) -> Callable[[RawAnswer], RawAnswer]:
    """Changes the list of a stream's frames."""
    return lambda response: replace(
        response, body=b"".join(f + b"\n\n" for f in change(response.body.split(b"\n\n")[:-1]))
    )


_APP_FIELDS = b'"total_steps": 5'

CHANGES = {
    "another status": ("block_ok_doc_example", _status(202), {"status"}),
    "an error of another status": ("user_missing", _status(401), {"error"}),
    "no X-Env": ("block_ok_doc_example", _header("X-Env", None), {"headers"}),
    "another X-Version": ("user_missing", _header("X-Version", "0.6.5"), {"headers"}),
    "a header of its own": ("block_ok_doc_example", _header("X-Request-Id", "1"), {"headers"}),
    "a doubled header": ("block_ok_doc_example", _twice("X-Env"), {"headers", "doubled header"}),
    "no CORS": ("user_missing", _header("Access-Control-Allow-Origin", None), {"headers"}),
    "CORS for all instead of one": (
        "cors_err",
        _header("Access-Control-Allow-Origin", "*"),
        {"headers"},
    ),
    "CORS where there is none": (
        "method_GET",
        _header("Access-Control-Allow-Origin", "*"),
        {"headers"},
    ),
    "no Server": ("block_ok_doc_example", _header("Server", None), {"server and date"}),
    "no Date": ("body_16M", _header("Date", None), {"server and date"}),
    "a charset": (
        "user_missing",
        _header("Content-Type", "application/json; charset=utf-8"),
        {"error type"},
    ),
    "another content type": ("sib_info", _header("Content-Type", "text/plain"), {"content type"}),
    "a wrong length": ("sib_info", _header("Content-Length", "45"), {"length"}),
    "no length": ("sib_info", _header("Content-Length", None), {"length"}),
    "chunks for HTTP/1.0": ("http10_stream", _header("Transfer-Encoding", "chunked"), {"length"}),
    "an response without a field": (
        "block_ok_doc_example",
        _body(_APP_FIELDS + b", ", b""),
        {"schema"},
    ),
    "a field of another type": (
        "block_ok_doc_example",
        _body(_APP_FIELDS, b'"total_steps": "5"'),
        {"schema"},
    ),
    "a field too many": (
        "block_ok_doc_example",
        _body(_APP_FIELDS, _APP_FIELDS + b', "x": 1'),
        {"schema"},
    ),
    "JSON without spaces": ("block_ok_doc_example", _body(b'": ', b'":'), {"json style"}),
    "a newline after a run": ("block_ok_doc_example", _body(b"}}", b"}}\n"), {"json style"}),
    "no newline after an error": ("user_missing", _body(b"}\n", b"}"), {"error"}),
    "other words": ("user_missing", _body(b"must be", b"has to be"), {"error"}),
    "other order of keys": (
        "body_null",
        lambda response: replace(
            _body(
                response.body,
                json.dumps({"code": "unknown", "message": "Internal Server Error"}).encode()
                + b"\n",
            )(response)
        ),
        {"error"},
    ),
    "a refusal of another operation": (
        "sib_info_noauth",
        lambda response: _body(response.body, exchanges()["user_missing"].body or b"")(
            _status(400)(response)
        ),
        {"error"},
    ),
    "an empty response": (
        "block_ok_doc_example",
        lambda response: _body(response.body, b"")(response),
        {"json"},
    ),
    "a bare 500": (
        "block_ok_doc_example",
        lambda response: RawAnswer(
            "",
            500,
            [
                *(pair for pair in response.headers if pair[0] in ("Server", "Date")),
                ("Content-Type", "text/plain; charset=utf-8"),
                ("Content-Length", "21"),
            ],
            b"Internal Server Error",
            [],
        ),
        {"headers", "content type"},
    ),
    "blocking instead of streaming": (
        "stream_ok",
        lambda response: _response(exchanges()["block_ok_doc_example"]),
        {"mode"},
    ),
    "a lost frame": (
        "stream_ok",
        _frames(lambda frames: frames[:3] + frames[4:]),
        {"stream order"},
    ),
    "a lost end": ("stream_ok", _frames(lambda frames: frames[:-1]), {"stream order"}),
    "a doubled frame": (
        "stream_ok",
        _frames(lambda frames: [*frames, frames[-1]]),
        {"stream order"},
    ),
    "swapped frames": (
        "stream_ok",
        _frames(lambda frames: [frames[1], frames[0], *frames[2:]]),
        {"stream order"},
    ),
    "an unknown event": (
        "stream_ok",
        _body(b'"event": "node_started"', b'"event": "node_begun"'),
        {"stream event", "stream order"},
    ),
    "another run's event": (
        "stream_ok",
        _body(b'"node_started", "workflow_run_id": "', b'"node_started", "workflow_run_id": "0'),
        {"stream event", "stream order"},
    ),
    "a comment": ("stream_ok", _frames(lambda frames: [b": ping", *frames]), {"stream framing"}),
    "an event line": (
        "stream_ok",
        _frames(lambda frames: [b"event: x\n" + frames[0], *frames[1:]]),
        {"stream framing"},
    ),
    "CRLF": (
        "stream_ok",
        lambda response: replace(response, body=response.body.replace(b"\n", b"\r\n")),
        {"stream framing"},
    ),
    "half a frame": (
        "stream_ok",
        lambda response: replace(response, body=response.body[:-1]),
        {"stream framing"},
    ),
    "raw Chinese": (
        "stream_ok",
        lambda response: replace(
            response, body=response.body.replace(b"\\u4e00", "一".encode(), 1)
        ),
        {"stream framing"},
    ),
    "no image": ("file_ok", lambda response: replace(response, body=response.body[:40]), {"image"}),
    "a refused image": (
        "file_ok",
        lambda response: _response(exchanges()["file_bad_sign"]),
        {"error"},
    ),
    "an image for a wrong signature": (
        "file_bad_sign",
        lambda response: _response(exchanges()["file_ok"]),
        {"not refused"},
    ),
    "a body after HEAD": ("method_HEAD", lambda response: replace(response, body=b"x"), {"length"}),
    "a method left out of Allow": ("method_GET", _header("Allow", "POST"), {"allow"}),
    "a port in Location": ("get_v1", _header("Location", "http://127.0.0.1:6060/v1/"), {"headers"}),
    "another 404 page": ("get_unknown", _body(b"<h1>", b"<h2>"), {"page"}),
    "JSON for no route": (
        "get_unknown",
        lambda response: _response(exchanges()["api_disabled"]),
        {"page type", "page", "headers"},
    ),
    "a page of the proxy with headers of the app": (
        "body_16M",
        _header("X-Env", "PRODUCTION"),
        {"headers"},
    ),
    "a page of the proxy that stays open": (
        "body_16M",
        _header("Connection", None),
        {"proxy page connection"},
    ),
    "a grant that was not asked for": (
        "cors_preflight_otherhdr",
        _header("Access-Control-Allow-Headers", "x-app-code, x-foo"),
        {"headers"},
    ),
}
"""By what is wrong: the exchange, how its response is changed, and the rules that the change
breaks.
"""


@each("wrong", CHANGES)
def test_changed_response_breaks_the_rules_that_it_should(wrong: str) -> None:
    """Each change breaks the rules that it should, and no others."""
    name, change, rules = CHANGES[wrong]

    assert _rules(name, change) == rules


@pytest.mark.parametrize(
    ("path", "chosen"),
    [
        (b"/v1/info", b"/v1/info"),
        (b"//v1///info", b"/v1/info"),
        (b"/a/../v1/.", b"/v1/"),
        (b"/%2e%2E", None),
        (b"/%76%31", b"/v1"),
        (b"/%2576%31", b"/%761"),
        (b"/a%2fb", b"/a/b"),
        (b"/%zz", None),
        (b"/%00", None),
        (b"v1", None),
        (b"/", b"/"),
    ],
)
def test_a_path_is_chosen_by_as_nginx_does_it(path: bytes, chosen: bytes | None) -> None:
    """Decoded once, slashes merged, dots resolved; None is refused."""
    assert nginx_path(path) == chosen


@pytest.mark.parametrize("chunks", [0, 1, 3])
def test_a_request_is_read_back_from_its_bytes(chunks: int) -> None:
    """However its body is framed."""
    raw = render(
        b"POST",
        b"/a?b#c",
        [(b"Host", b"x"), (b"X-A", b" 1"), (b"x-a", b"2")],
        b"hello",
        chunks=chunks,
    )

    request = parse(raw)

    assert (request.method, request.path, request.query, request.body) == (
        "POST",
        b"/a",
        b"b",
        b"hello",
    )
    assert request.header(b"x-a") == b"1,2"


def test_what_is_no_request_is_not_read() -> None:
    """Nothing of it is."""
    assert not parse(b"G\x01\r\nHost: x\r\n\r\n").readable
