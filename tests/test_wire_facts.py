"""Facts 12.12 to 12.19 of nginx and gunicorn over a socket, each told by the recorded exchange that
it resembles.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.compared import differences
from tests.recorded import KEYS, SECRET_KEY, Exchange, app_arguments
from tests.serving import Connection, RunningServer, raw_exchange, running_server
from tests.test_facts import like, request, run

pytestmark = pytest.mark.server

_WELCOME = like("get_v1s")
_NGINX = (
    "<html>\r\n<head><title>{0}</title></head>\r\n<body>\r\n<center><h1>{0}</h1></center>\r\n"
    "<hr><center>nginx/1.22.1</center>\r\n</body>\r\n</html>\r\n"
)
_GUNICORN = (
    "<html>\n  <head>\n    <title>{0}</title>\n  </head>\n"
    "  <body>\n    <h1><p>{0}</p></h1>\n    {1}\n  </body>\n</html>\n"
)


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with running_server(
        "--speed", "instant", "--secret-key", SECRET_KEY, *app_arguments()
    ) as running:
        yield running


def refused(status: int, reason: str) -> Exchange:
    """nginx's page, after which it closes."""
    return replace(
        like("no_host", _NGINX.format(f"{status} {reason}")), status=status, reason=reason
    )


def gunicorn(status: int, reason: str, message: str = "") -> Exchange:
    """gunicorn's page, through nginx."""
    return replace(
        like("g_nonodes_stream", _GUNICORN.format(reason, message)), status=status, reason=reason
    )


def with_header(exchange: Exchange, name: str, value: str, after: str) -> Exchange:
    at = [key for key, _ in exchange.headers].index(after) + 1
    return replace(
        exchange, headers=(*exchange.headers[:at], (name, value), *exchange.headers[at:])
    )


def raw(line: bytes, headers: bytes = b"Host: h\r\n") -> bytes:
    return line + b"\r\n" + headers + b"\r\n"


_HOST = b"Host: h\r\n"
_MANY = b"".join(b"X-%d: y\r\n" % number for number in range(99))

_FACTS: dict[str, tuple[bytes, Exchange]] = {
    "12.12 a key and a tab": (
        run(f"Authorization: Bearer {KEYS['main']}\t", app=None),
        like("auth_unknown"),
    ),
    "12.15 a long request line": (
        request("GET", f"/v1/{'a' * 7001}", app=None),
        gunicorn(400, "Bad Request", "Request Line is too large (7018 &gt; 4094)"),
    ),
    "12.15 many headers": (
        raw(b"GET /v1/ HTTP/1.1", _HOST + _MANY),
        gunicorn(
            431,
            "Request Header Fields Too Large",
            "Error parsing headers: &#x27;limit request headers fields&#x27;",
        ),
    ),
    "12.15 headers that are not sent on": (
        raw(
            b"GET /v1/ HTTP/1.1",
            _HOST + _MANY[8:] + b"X_A: b\r\nX.B: c\r\nTE: x\r\nKeep-Alive: 5\r\n",
        ),
        _WELCOME,
    ),
    "12.16 two slashes and a wrong method": (
        request("POST", "/v1//parameters"),
        gunicorn(500, "Internal Server Error"),
    ),
    "12.18 a private network": (
        run("Origin: https://shop.example", "Access-Control-Request-Private-Network: true"),
        with_header(
            like("cors_post", access_control_allow_origin="https://shop.example"),
            "Access-Control-Allow-Private-Network",
            "true",
            "Access-Control-Allow-Origin",
        ),
    ),
    "12.18 another word": (
        run("Origin: https://shop.example", "Access-Control-Request-Private-Network: True"),
        like("cors_post", access_control_allow_origin="https://shop.example"),
    ),
    "12.19 two blanks": (raw(b"GET  /v1/  HTTP/1.1 "), _WELCOME),
    "12.19 an empty line before": (raw(b"\r\n\nGET /v1/ HTTP/1.1"), _WELCOME),
    "12.19 line feeds alone": (b"GET /v1/ HTTP/1.1\nHost: h\n\n", _WELCOME),
    "12.19 a header without a colon": (raw(b"GET /v1/ HTTP/1.1", _HOST + b"X-A\r\n"), _WELCOME),
    "12.19 an odd header name": (
        raw(b"GET /v1/ HTTP/1.1", _HOST + b"X\xc3\xa9{}: b\r\n"),
        _WELCOME,
    ),
    "12.19 HTTP/1.2": (raw(b"GET /v1/ HTTP/1.2"), _WELCOME),
    "12.19 an absolute target": (raw(b"GET http://elsewhere:99/v1/ HTTP/1.1"), _WELCOME),
    "12.19 a fragment": (raw(b"GET /v1/#there HTTP/1.1"), _WELCOME),
    "12.19 raw UTF-8": (raw("GET /v1/猫 HTTP/1.1".encode()), like("get_unknown")),
    "12.19 raw Latin-1": (raw(b"GET /v1/\xe9 HTTP/1.1"), like("get_unknown")),
    "12.19 HTTP/1.0 that is kept": (
        raw(b"GET /v1/ HTTP/1.0", b"Connection: keep-alive\r\n"),
        _WELCOME,
    ),
    "12.19 HTTP/2.0": (raw(b"GET /v1/ HTTP/2.0"), refused(505, "HTTP Version Not Supported")),
    "12.19 another coding": (
        raw(b"POST /v1/workflows/run HTTP/1.1", _HOST + b"Transfer-Encoding: xx\r\n"),
        refused(501, "Not Implemented"),
    ),
    "12.19 a coding and a length": (
        raw(b"POST /v1/x HTTP/1.1", _HOST + b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n"),
        refused(400, "Bad Request"),
    ),
    "12.19 a coding with HTTP/1.0": (
        raw(b"POST /v1/x HTTP/1.0", b"Transfer-Encoding: chunked\r\n"),
        refused(400, "Bad Request"),
    ),
    "12.19 CONNECT": (raw(b"CONNECT /v1/ HTTP/1.1"), refused(405, "Not Allowed")),
}


@pytest.mark.parametrize("name", _FACTS)
def test_fact(server: RunningServer, name: str) -> None:
    request, expected = _FACTS[name]
    found = differences(expected, raw_exchange(server.host, server.port, request))
    assert not found, "\n".join(found)


def test_http_1_0_is_kept_where_it_asks_for_that(server: RunningServer) -> None:
    with Connection(server.host, server.port) as connection:
        for _ in range(3):
            kept = connection.exchange(raw(b"GET /v1/ HTTP/1.0", b"Connection: Keep-Alive\r\n"))
            assert kept.header("Connection") == "keep-alive"
        assert connection.exchange(raw(b"GET /v1/ HTTP/1.0", b"")).header("Connection") == "close"


def test_http_0_9_is_answered_with_the_body_alone(server: RunningServer) -> None:
    with Connection(server.host, server.port) as connection:
        connection.send(b"GET /v1/\r\n")
        assert connection.rest().startswith(b'{"welcome": ')


def test_an_expected_100_comes_before_a_refusal_by_the_app(server: RunningServer) -> None:
    """nginx reads the body before the app sees the request; a body that it refuses itself it does
    not ask for.
    """
    expecting = b"Expect: 100-continue\r\nContent-Length: %d\r\n"
    with Connection(server.host, server.port) as connection:
        early = connection.exchange(raw(b"POST /v1/workflows/run HTTP/1.1", _HOST + expecting % 2))
        assert (early.status, early.interim) == (401, ["HTTP/1.1 100 Continue"])
        connection.send(b"{}")
        assert connection.exchange(raw(b"GET /v1/ HTTP/1.1")).status == 200
    too_large = raw_exchange(
        server.host, server.port, raw(b"POST /v1/x HTTP/1.1", _HOST + expecting % (1 << 30))
    )
    assert (too_large.status, too_large.interim) == (413, [])
