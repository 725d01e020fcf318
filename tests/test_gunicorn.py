"""What gunicorn refuses behind the proxy, at its bounds, as the host was seen to do it."""

from __future__ import annotations

import pytest

from fake_server.http.nginx import HEADER_LINE_BYTES, HEADER_LINES, REQUEST_LINE_BYTES
from tests.admin.calling import host
from tests.asgi import AsgiAnswer, call

_PAGE = (
    "<html>\n  <head>\n    <title>{0}</title>\n  </head>\n"
    "  <body>\n    <h1><p>{0}</p></h1>\n    {1}\n  </body>\n</html>\n"
)


def _get(
    path: str, headers: list[tuple[str, str]] | None = None, method: str = "GET", body: bytes = b""
) -> AsgiAnswer:
    return call(host(), method, path, [("Host", "h"), *(headers or [])], body)


def _assert_page(answer: AsgiAnswer, status: int, reason: str, message: str) -> None:
    assert (answer.status, answer.body.decode()) == (status, _PAGE.format(reason, message))
    assert answer.headers == [
        ("Content-Type", "text/html"),
        ("Content-Length", str(len(answer.body))),
    ]


@pytest.mark.parametrize("start", ["/v1/", "/v1/?"])
def test_a_request_line_of_its_bound_and_one_more(start: str) -> None:
    """D15: the size that the page names is that of the line which the proxy sends on."""
    fit = start + "a" * (REQUEST_LINE_BYTES - len(f"GET {start} HTTP/1.1"))
    assert _get(fit).status in (200, 404)
    size = REQUEST_LINE_BYTES + 1
    _assert_page(
        _get(fit + "a"),
        400,
        "Bad Request",
        f"Request Line is too large ({size} &gt; {REQUEST_LINE_BYTES})",
    )


_TOO_MANY = (
    "Request Header Fields Too Large",
    "Error parsing headers: &#x27;limit request headers fields&#x27;",
)


@pytest.mark.parametrize(
    ("more", "body", "own"),
    [
        ([], b"", 2),
        (
            [
                ("Connection", "x"),
                ("TE", "x"),
                ("Upgrade", "x"),
                ("Keep-Alive", "1"),
                ("X-Forwarded-For", "x"),
            ],
            b"",
            2,
        ),
        ([("Content-Length", "1")], b"x", 3),
        ([("Transfer-Encoding", "chunked")], b"x", 3),
    ],
)
def test_as_many_header_lines_as_the_proxy_sends_on(
    more: list[tuple[str, str]], body: bytes, own: int
) -> None:
    """Host, X-Forwarded-For and a body's length are the proxy's own; what concerns a connection
    stays behind.
    """
    lines = [("X-A", str(number)) for number in range(HEADER_LINES - own)]
    assert _get("/v1/", [*more, *lines], body=body).status == 200
    _assert_page(_get("/v1/", [*more, *lines, ("X-A", "b")], body=body), 431, *_TOO_MANY)


def test_a_header_line_of_its_bound_and_one_more() -> None:
    value = "a" * (HEADER_LINE_BYTES - len("X-A: \r\n"))
    assert _get("/v1/", [("X-A", value)]).status == 200
    message = "Error parsing headers: &#x27;limit request headers fields size&#x27;"
    _assert_page(
        _get("/v1/", [("X-A", value + "a")]), 431, "Request Header Fields Too Large", message
    )


@pytest.mark.parametrize(
    ("method", "taken"), [("AB", False), ("ABC", True), ("A" * 20, True), ("A" * 21, False)]
)
def test_a_method_has_3_to_20_characters(method: str, taken: bool) -> None:
    answer = _get("/v1/", method=method)
    if taken:
        assert answer.status == 405
    else:
        message = f"Invalid Method &#x27;Invalid HTTP method: &#x27;{method}&#x27;&#x27;"
        _assert_page(answer, 400, "Bad Request", message)


@pytest.mark.parametrize("path", ["/v2", "/"])
def test_what_the_proxy_does_not_pass_on_is_not_gunicorn_s(path: str) -> None:
    assert _get(f"{path}?{'a' * 5000}").status in (200, 502)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1//parameters"),
        ("DELETE", "/v1//workflows//run"),
        ("GET", "/v1//workflows/run"),
        ("HEAD", "/v1//workflows/run"),
        ("PUT", "/files//tools/00000000-0000-0000-0000-000000000000.png"),
    ],
)
def test_a_wrong_method_on_a_path_with_two_slashes_breaks_the_app(method: str, path: str) -> None:
    """D16: where the right method is redirected."""
    answer = _get(path, method=method)
    assert answer.status == 500
    if method != "HEAD":
        _assert_page(answer, 500, "Internal Server Error", "")


def test_the_right_method_on_a_path_with_two_slashes_is_redirected() -> None:
    assert _get("/v1//parameters").status == 308
    assert _get("/v1//parameters", method="OPTIONS").status == 308
    assert _get("/v1//nothing", method="POST").status == 404
