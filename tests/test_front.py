"""The proxy in front: what it answers by itself, and what it lets through untouched."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message

from fake_server.app import FakeServer, create_app
from fake_server.host_spec import HostSpec
from fake_server.http.nginx import location_path
from fake_server.http.request import Request
from fake_server.http.responses import Response
from fake_server.settings import DEFAULT_API_KEY, Settings
from tests.asgi import AsgiAnswer, call, client, exchange, json_headers, run_body, scope

RUN = "/v1/workflows/run"
LIMIT = 1000
REASONS = {
    400: "400 Bad Request",
    405: "405 Not Allowed",
    413: "413 Request Entity Too Large",
    502: "502 Bad Gateway",
}


class Behind(FakeServer):
    """A server whose app reads the whole body and answers with its size."""

    requests = 0

    def __init__(self, spec: HostSpec) -> None:
        app = create_app(Settings(speed=None))
        super().__init__(app.host._replace(spec=spec), app.scenarios)

    async def app_response(self, request: Request) -> Response:
        self.requests += 1
        size = str(len(await request.body())).encode()
        return Response(200, [], size)


@pytest.fixture
def behind(host_spec: HostSpec) -> Behind:
    return Behind(replace(host_spec, limits=host_spec.limits._replace(request_body_bytes=LIMIT)))


@pytest.fixture
def front(behind: Behind) -> FakeServer:
    return behind


def assert_page(answer: AsgiAnswer, status: int, close: bool = False) -> None:
    """nginx's own page to the byte, with none of the app's headers."""
    reason = REASONS[status]
    page = (
        f"<html>\r\n<head><title>{reason}</title></head>\r\n<body>\r\n"
        f"<center><h1>{reason}</h1></center>\r\n"
        "<hr><center>nginx/1.22.1</center>\r\n</body>\r\n</html>\r\n"
    ).encode()
    assert (answer.status, answer.body) == (status, page)
    headers = [("Content-Type", "text/html"), ("Content-Length", str(len(page)))]
    assert answer.headers == ([*headers, ("Connection", "close")] if close else headers)


@pytest.mark.parametrize(
    "path", ["/v1", "/v1/", RUN, "/v1foo", "//v1/x", "/files/x", "/api/x", "/console/api/x"]
)
def test_the_apps_prefixes_are_passed_on(front: FakeServer, behind: Behind, path: str) -> None:
    """FACTS 2: by prefix, so that /v1foo reaches the app too [C: get_v1foo]."""
    assert call(front, "POST", path, body=b"x" * 5).body == b"5"
    assert behind.requests == 1


@pytest.mark.parametrize(
    "path", ["/v2", "/favicon.ico", "/health", "/V1/workflows/run", "/apps", "/console", "/x/v1"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_other_paths_belong_to_a_web_interface_that_is_not_there(
    front: FakeServer, behind: Behind, method: str, path: str
) -> None:
    """FACTS 2: 502 [C: get_v2, get_favicon]."""
    assert_page(call(front, method, path), 502)
    assert behind.requests == 0


def test_the_front_page_says_what_this_is(front: FakeServer) -> None:
    """Where the real host has its web interface the fake says that it is one; to a POST there is
    nothing.
    """
    answer = call(front, "GET", "/")
    assert answer.status == 200
    assert b"This is a fake" in answer.body
    assert b"Dify 0.6.4" in answer.body
    assert call(front, "HEAD", "/").status == 200
    assert_page(call(front, "POST", "/"), 502)


@pytest.mark.parametrize("method", ["TRACE", "CONNECT"])
@pytest.mark.parametrize("path", [RUN, "/", "/v2"])
def test_trace_is_refused_everywhere(front: FakeServer, method: str, path: str) -> None:
    """FACTS 2: [C: method_TRACE]; and the connection is closed."""
    assert_page(call(front, method, path), 405, close=True)


@pytest.mark.parametrize(
    "name", ["Authorization", "Host", "Content-Length", "If-None-Match", "Transfer-Encoding"]
)
def test_some_headers_come_once_only(front: FakeServer, behind: Behind, name: str) -> None:
    """[C: auth_two_headers]: 400 and the connection is closed, whatever the two say."""
    assert_page(
        call(front, "POST", RUN, [(name, "1"), ("X-Other", "x"), (name.lower(), "1")]),
        400,
        close=True,
    )
    assert behind.requests == 0


def test_other_headers_may_come_twice(front: FakeServer) -> None:
    """Two cookies or two Accepts are nobody's business."""
    assert (
        call(
            front, "POST", RUN, [("Accept", "a"), ("Accept", "b"), ("Content-Type", "x")] * 2
        ).status
        == 200
    )


def test_http_1_1_needs_a_host(front: FakeServer) -> None:
    """[C: no_host]; HTTP/1.0 does without."""
    for version, host in (("1.1", False), ("1.0", True)):
        request = scope("POST", RUN, http_version="1.0")
        request["http_version"] = version
        answer = asyncio.run(exchange(front, request, client()))
        if host:
            assert answer.status == 200
        else:
            assert_page(answer, 400, close=True)


# The body's limit
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "passes"), [(LIMIT, True), (LIMIT + 1, False)])
@pytest.mark.parametrize("declared", [True, False], ids=["Content-Length", "chunked"])
@pytest.mark.parametrize("pieces", [1, 7])
def test_a_body_is_taken_up_to_the_limit(
    front: FakeServer, size: int, passes: bool, declared: bool, pieces: int
) -> None:
    """[C: body_14M, body_16M]: of exactly that size it reaches the app, of one byte more it gets
    413 and a close.
    """
    body = [b"x" * (size // pieces)] * (pieces - 1) + [
        b"x" * (size - size // pieces * (pieces - 1))
    ]
    answer = call(front, "POST", RUN, {"Content-Length": str(size)} if declared else {}, body)
    if passes:
        assert answer.body == str(size).encode()
    else:
        assert_page(answer, 413, close=True)


def test_a_body_that_says_it_is_too_large_never_reaches_the_app(
    front: FakeServer, behind: Behind
) -> None:
    """The length in the header is enough to refuse it."""
    assert_page(call(front, "POST", RUN, {"Content-Length": str(LIMIT + 1)}), 413, close=True)
    assert behind.requests == 0


def test_a_client_that_leaves_while_it_is_refused_is_let_go(front: FakeServer) -> None:
    """Nobody waits for the rest of its body."""
    body = client([b"x" * LIMIT, b"x"], leaves=True)
    assert_page(
        asyncio.run(exchange(front, scope("POST", RUN, {"Content-Length": "99999999"}), body)),
        413,
        close=True,
    )


def test_a_chunked_body_without_end_is_never_held_in_memory(host_spec: HostSpec) -> None:
    """64 MB in pieces against a limit of 15 MB: more than the limit is at no time in memory."""
    front, piece, pieces = Behind(host_spec), 1 << 18, 256

    def body() -> Iterator[bytes]:
        for number in range(pieces):
            yield bytes([number]) * piece

    tracemalloc.start()
    try:
        answer = call(front, "POST", RUN, body=body())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert_page(answer, 413, close=True)
    assert peak < host_spec.limits.request_body_bytes + 8 * piece


# Which location
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "location"),
    [
        (b"/v1/x", b"/v1/x"),
        (b"/v1/%78?", b"/v1/x?"),
        (b"//v1//x", b"/v1/x"),
        (b"/v1/./x", b"/v1/x"),
        (b"/v1/../v2", b"/v2"),
        (b"/v2/%2e%2e/v1/x", b"/v1/x"),
        (b"/v1/..", b"/"),
        (b"/v1/.", b"/v1/"),
        (b"/v1/x/", b"/v1/x/"),
        (b"/v1/x/../", b"/v1/"),
        (b"/v1/.hidden", b"/v1/.hidden"),
        (b"/", b"/"),
        (b"/..", None),
        (b"/v1/../../v1/", None),
        (b"*", None),
        (b"/v1/%", None),
        (b"/v1/%4g", None),
        (b"/v1/%00", None),
    ],
)
def test_the_location_is_chosen_by_the_cleaned_path(path: bytes, location: bytes | None) -> None:
    """Decoded, slashes merged and dots resolved, as nginx does it before it looks at the prefixes;
    or refused.
    """
    assert location_path(path) == location


@given(st.text(st.sampled_from("/.v1%2ef\u00e4 "), max_size=20))
def test_a_location_has_neither_dots_nor_doubled_slashes(path: str) -> None:
    """Whatever the path is, what the prefixes are compared with is clean."""
    location = location_path(f"/{path}".encode())
    if location is not None:
        assert location.startswith(b"/")
        assert b"//" not in location
        assert not {b".", b".."} & set(location.split(b"/"))


def test_a_path_that_climbs_out_of_a_prefix_does_not_reach_the_app(
    front: FakeServer, behind: Behind
) -> None:
    """The prefix counts after the dots are resolved, the app sees the path as it was sent."""
    assert_page(call(front, "GET", "/v1/../v2"), 502)
    assert call(front, "GET", "/v2/../v1/").status == 200
    assert behind.requests == 1


# The whole way
# --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def app() -> FakeServer:
    return create_app(Settings(speed=None, seed=1))


@pytest.mark.parametrize(
    ("method", "path", "status", "start"),
    [
        (
            "GET",
            "/v1/nothing",
            404,
            b"<!doctype html>\n<html lang=en>\n<title>404 Not Found</title>",
        ),
        ("POST", "/console/api/apps", 404, b"<!doctype html>\n"),
        ("POST", "/v1/./workflows/run", 404, b"<!doctype html>\n"),
        (
            "GET",
            RUN,
            405,
            (
                b'{"code": "method_not_allowed", "message": "The method is not allowed for the '
                b'requested URL."'
            ),
        ),
        (
            "GET",
            "/%761/",
            200,
            b'{"welcome": "Dify OpenAPI", "api_version": "v1", "server_version": "0.6.4"}\n',
        ),
    ],
)
def test_a_request_finds_its_answer(
    app: FakeServer, method: str, path: str, status: int, start: bytes
) -> None:
    """FACTS 2: the app's own pages behind the proxy."""
    answer = call(app, method, path)
    assert answer.status == status
    assert answer.body.startswith(start)


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("Bearer \xa0", "not enough values to unpack (expected 2, got 1)"),
        ("\xa0 \xa0", "(expected 2, got 0)"),
    ],
)
def test_a_value_that_python_cannot_convert_is_answered_in_pythons_words(
    app: FakeServer, header: str, says: str
) -> None:
    """The host turns any such exception into a 400 that shows its text."""
    answer = call(app, "POST", RUN, {"Authorization": header})
    assert answer.status == 400
    assert answer.json()["message"].endswith(says)


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("127.0.0.1:6060", "127.0.0.1"),
        ("Example.COM:80", "example.com"),
        ("[::1]:6060", "[::1]"),
        ("[::1]", "[::1]"),
        ("x<y", "x&lt;y"),
    ],
)
def test_a_redirect_loses_the_port(app: FakeServer, host: str, shown: str) -> None:
    """[C: get_v1, v1_redirect_host]: 308 to the name alone, the query kept; what stands in the page
    is escaped.
    """
    answer = call(app, "GET", "/v1?a=1&b=2", {"Host": host})
    assert answer.status == 308
    assert (answer.header("Location") or "").replace("<", "&lt;") == f"http://{shown}/v1/?a=1&b=2"
    assert f'<a href="http://{shown}/v1/?a=1&amp;b=2">'.encode() in answer.body


@pytest.mark.parametrize(
    ("path", "content_type", "begun"),
    [
        (RUN, "application/json", run_body()[:20]),
        (
            "/v1/files/upload",
            "multipart/form-data; boundary=x",
            b"--x\r\nContent-Disposition: form-data; ",
        ),
    ],
)
def test_a_client_that_leaves_in_the_middle_of_its_body_gets_nothing(
    app: FakeServer, caplog: pytest.LogCaptureFixture, path: str, content_type: str, begun: bytes
) -> None:
    """Nobody is there to be answered, and it is no failure of the server."""
    messages: list[Message] = [
        {"type": "http.request", "body": begun, "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Message:
        return messages.pop(0)

    async def send(message: Message) -> None:
        raise AssertionError(f"there is nobody to get {message}")

    headers = {**json_headers(DEFAULT_API_KEY), "Content-Type": content_type}
    asyncio.run(app(scope("POST", path, headers), receive, send))
    assert not messages
    assert not caplog.records
