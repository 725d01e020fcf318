"""Who may call the admin API: this machine or the token's holder, and no web page of another
origin.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fake_server.access import is_loopback
from tests.admin.calling import LOCAL, admin, host
from tests.serving import RawAnswer, RunningServer, raw_exchange, running_server

pytestmark = pytest.mark.server

TOKEN = "opensesame"


@pytest.mark.parametrize(
    ("name", "local"),
    [
        ("localhost", True),
        ("LocalHost", True),
        ("fake.localhost", True),
        ("127.0.0.1", True),
        ("127.9.8.7", True),
        ("::1", True),
        ("[::1]", True),
        ("", False),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
        ("notlocalhost", False),
        ("127.1", False),
    ],
)
def test_a_loopback_name_is_one_that_cannot_be_anything_else(name: str, local: bool) -> None:
    assert is_loopback(name) is local


@pytest.mark.parametrize(
    ("settings", "headers", "words"),
    [
        ({"host": "0.0.0.0"}, LOCAL, "the server listens on 0.0.0.0"),
        (
            {"host": "0.0.0.0"},
            LOCAL,
            "start the server with --admin-token and send that token as X-Admin-Token",
        ),
        (
            {"host": "0.0.0.0", "admin_token": TOKEN},
            LOCAL,
            "not only loopback; send the admin token as X-Admin-Token",
        ),
        (
            {"host": "0.0.0.0", "admin_token": TOKEN},
            {**LOCAL, "X-Admin-Token": "no"},
            "not the one of --admin-token",
        ),
        (
            {"admin_token": TOKEN},
            {**LOCAL, "X-Admin-Token": "wrong"},
            "not the one of --admin-token",
        ),
        ({"admin_token": TOKEN}, {**LOCAL, "X-Admin-Token": ""}, "not the one of --admin-token"),
        ({"admin_token": TOKEN}, {**LOCAL, "X-Admin-Token": "é"}, "not the one of --admin-token"),
        (
            {"admin_token": TOKEN},
            [*LOCAL.items(), *[("X-Admin-Token", TOKEN)] * 2],
            "not the one of --admin-token",
        ),
        ({}, {**LOCAL, "X-Admin-Token": TOKEN}, "the server has none"),
        ({}, {"Host": "fake.example:6060"}, "(fake.example:6060) is not a loopback name"),
        (
            {},
            [("Host", "localhost"), ("Host", "fake.example")],
            "(localhost, fake.example) is not a loopback name",
        ),
        (
            {"admin_token": TOKEN},
            {**LOCAL, "X-Admin-Token": TOKEN, "Origin": "http://evil.example"},
            "another origin",
        ),
    ],
)
def test_who_may_not_call_is_refused_with_the_way_in(
    settings: dict[str, str], headers: dict[str, str] | list[tuple[str, str]], words: str
) -> None:
    refused = admin(host(**settings), "GET", "/settings", headers=headers)
    assert refused.status == 403
    assert words in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    ("settings", "headers"),
    [
        ({}, {"Host": "localhost"}),
        ({}, {"Host": "fake.localhost:1"}),
        ({"host": "::1"}, {"Host": "[::1]:6060"}),
        ({"host": "localhost"}, {"Host": "127.0.0.1"}),
        ({"admin_token": TOKEN}, LOCAL),
        ({"admin_token": TOKEN}, {"Host": "fake.example", "X-Admin-Token": TOKEN}),
        (
            {"host": "0.0.0.0", "admin_token": TOKEN},
            {"Host": "fake.example", "X-Admin-Token": TOKEN},
        ),
        ({}, {**LOCAL, "Origin": "http://127.0.0.1:6060", "Sec-Fetch-Site": "same-origin"}),
        ({}, {**LOCAL, "Sec-Fetch-Site": "none"}),
    ],
)
def test_who_may_call_is_answered(settings: dict[str, str], headers: dict[str, str]) -> None:
    assert admin(host(**settings), "GET", "/health", headers=headers).status == 200


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with running_server("--speed", "instant") as running:
        yield running


def sent(
    server: RunningServer, *lines: str, method: str = "GET", path: str = "/__admin/health"
) -> RawAnswer:
    raw = "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode()
    return raw_exchange(server.host, server.port, raw)


def test_this_machine_is_answered_on_the_wire(server: RunningServer) -> None:
    assert sent(server, f"Host: 127.0.0.1:{server.port}").status == 200


def test_a_rebound_name_is_refused_on_the_wire(server: RunningServer) -> None:
    """The page's own name led to this address, so its origin is the server's: only the name gives
    it away.
    """
    name = f"evil.example:{server.port}"
    refused = sent(server, f"Host: {name}", f"Origin: http://{name}", "Sec-Fetch-Site: same-origin")
    assert refused.status == 403
    assert b"is not a loopback name" in refused.body


@pytest.mark.parametrize(
    "line",
    [
        "Origin: http://evil.example",
        "Origin: null",
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site",
    ],
)
def test_a_page_of_another_origin_is_refused_on_the_wire(server: RunningServer, line: str) -> None:
    for method, path in (("GET", "/__admin/health"), ("POST", "/__admin/reset")):
        refused = sent(
            server,
            f"Host: 127.0.0.1:{server.port}",
            line,
            "Content-Length: 0",
            method=method,
            path=path,
        )
        assert refused.status == 403
        assert b"a web page of another origin" in refused.body
        assert not [
            name for name, _ in refused.headers if name.lower().startswith("access-control")
        ]


PAGE = "http://localhost:5173"


@pytest.fixture(scope="module")
def open_to_page() -> Iterator[RunningServer]:
    with running_server("--speed", "instant", "--admin-origin", PAGE) as running:
        yield running


def of_page(server: RunningServer, origin: str, *lines: str, method: str = "GET") -> RawAnswer:
    host = f"Host: 127.0.0.1:{server.port}"
    return sent(
        server, host, f"Origin: {origin}", "Sec-Fetch-Site: same-site", *lines, method=method
    )


def cors_headers(response: RawAnswer) -> dict[str, str]:
    return {
        name.lower(): value
        for name, value in response.headers
        if name.lower() == "vary" or name.lower().startswith("access-control")
    }


def test_a_page_of_the_admin_origin_may_call(open_to_page: RunningServer) -> None:
    called = of_page(open_to_page, PAGE)
    assert called.status == 200
    assert cors_headers(called) == {"access-control-allow-origin": PAGE, "vary": "Origin"}


def test_a_page_of_the_admin_origin_may_send_json_and_a_token(open_to_page: RunningServer) -> None:
    wanted = (
        "Access-Control-Request-Method: POST",
        "Access-Control-Request-Headers: content-type,x-admin-token",
    )
    allowed = of_page(open_to_page, PAGE, *wanted, method="OPTIONS")
    assert allowed.status == 200
    headers = cors_headers(allowed)
    assert headers["access-control-allow-origin"] == PAGE
    assert headers["access-control-allow-methods"] == "GET, POST, DELETE"
    assert {"Content-Type", "X-Admin-Token"} <= set(
        headers["access-control-allow-headers"].split(", ")
    )


@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
@pytest.mark.parametrize("origin", ["http://localhost:5174", "http://127.0.0.1:5173", "null"])
def test_pages_of_other_origins_are_still_refused(
    open_to_page: RunningServer, origin: str, method: str
) -> None:
    wanted = "Access-Control-Request-Method: POST"
    refused = of_page(open_to_page, origin, wanted, method=method)
    assert refused.status == 403
    assert b"start the server with --admin-origin and its origin" in refused.body
    assert cors_headers(refused) == {}


def test_an_admin_origin_opens_no_other_way(open_to_page: RunningServer) -> None:
    """Neither under another name, nor with two origins, nor the rest of the server."""
    rebound = sent(open_to_page, "Host: evil.example", f"Origin: {PAGE}")
    assert rebound.status == 403
    assert of_page(open_to_page, PAGE, "Origin: http://evil.example").status == 403
    host = f"Host: 127.0.0.1:{open_to_page.port}"
    unknown = sent(open_to_page, host, f"Origin: {PAGE}", path="/v1/unknown")
    assert (unknown.status, cors_headers(unknown)) == (404, {})


def test_a_request_without_a_host_is_refused_on_the_wire(server: RunningServer) -> None:
    refused = raw_exchange(server.host, server.port, b"GET /__admin/health HTTP/1.0\r\n\r\n")
    assert refused.status == 403
    assert b"(missing) is not a loopback name" in refused.body


def test_the_rest_of_the_server_has_no_admin_paths(server: RunningServer) -> None:
    """What only looks like one belongs to the proxy."""
    for path in ("/__administration", "/__admi", "/v1/__admin/health"):
        assert sent(server, f"Host: 127.0.0.1:{server.port}", path=path).status in (404, 502)
