"""What stands around every answer: the app's headers, and CORS as the host's own extension does it
(FACTS 1.1, 1.8).
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_server.app import FakeServer, create_app
from fake_server.host_spec import HostSpec
from fake_server.http.responses import HostHeaders, json_bytes
from fake_server.settings import DEFAULT_API_KEY, Settings
from tests.asgi import AsgiAnswer, call, json_headers, run_body

RUN = "/v1/workflows/run"
SHOP = "https://shop.example"
OWN = [
    ("Set-Cookie", "remember_token=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/"),
    ("X-Version", "0.6.4"),
    ("X-Env", "PRODUCTION"),
]
METHODS = "DELETE, GET, OPTIONS, PATCH, POST, PUT"


@pytest.fixture(scope="module")
def app() -> FakeServer:
    return create_app(Settings(speed=None, seed=1, apps=(("app-gone", "deleted"),)))


def cors(answer: AsgiAnswer) -> list[tuple[str, str]]:
    """The headers between the app's first and its last ones: what CORS adds."""
    return [
        (name, value)
        for name, value in answer.headers
        if name.startswith("Access-Control") or name == "Vary"
    ]


def test_the_headers_of_a_run_in_the_hosts_order(app: FakeServer) -> None:
    """FACTS 1.1: type, length, CORS, then what the app adds to everything; nothing else."""
    answer = call(app, "POST", RUN, json_headers(DEFAULT_API_KEY), run_body())
    assert answer.headers == [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(answer.body))),
        ("Access-Control-Allow-Origin", "*"),
        *OWN,
    ]
    assert not answer.body.endswith(b"\n")


def test_the_headers_of_a_stream(app: FakeServer) -> None:
    """FACTS 1.3 and 1.4: no length, no Cache-Control, no X-Accel-Buffering."""
    answer = call(app, "POST", RUN, json_headers(DEFAULT_API_KEY), run_body(mode="streaming"))
    content_type = ("Content-Type", "text/event-stream; charset=utf-8")
    assert answer.headers == [content_type, ("Access-Control-Allow-Origin", "*"), *OWN]


# Sharing
# --------------------------------------------------------------------------------------------------

SHARED = {
    "a run": ("POST", RUN, json_headers(DEFAULT_API_KEY), run_body(), 200),
    "a stream": ("POST", RUN, json_headers(DEFAULT_API_KEY), run_body(mode="streaming"), 200),
    "400": ("POST", RUN, json_headers(DEFAULT_API_KEY), run_body(prompt=""), 400),
    "401": ("POST", RUN, json_headers("app-unknown"), run_body(), 401),
    "403": (
        "GET",
        f"/files/tools/{'0' * 8}-0000-4000-8000-{'0' * 12}.png?timestamp=1&nonce=2&sign=3",
        {},
        b"",
        403,
    ),
    "404 as JSON": ("POST", RUN, json_headers("app-gone"), run_body(), 404),
    "415": ("POST", RUN, {"Authorization": f"Bearer {DEFAULT_API_KEY}"}, run_body(), 415),
    "500": ("POST", RUN, json_headers(DEFAULT_API_KEY), b"[]", 500),
    "the index": ("GET", "/v1/", {}, b"", 200),
    "a sibling": ("GET", "/v1/info", json_headers(DEFAULT_API_KEY), b"", 200),
}
UNSHARED: dict[str, tuple[str, str, dict[str, str], bytes, int]] = {
    "an unknown path": ("GET", "/v1/nothing", {}, b"", 404),
    "405": ("GET", RUN, {}, b"", 405),
    "308": ("GET", "/v1", {}, b"", 308),
}


@pytest.mark.parametrize("request_", SHARED.values(), ids=SHARED.keys())
def test_any_page_may_read_what_a_view_answers(
    app: FakeServer, request_: tuple[str, str, dict[str, str], bytes, int]
) -> None:
    """FACTS 1.8: a star without an Origin; with one, even "null", that Origin and Vary; refusals of
    a view included.
    """
    method, path, headers, body, status = request_
    for origin in (None, SHOP, "null"):
        answer = call(
            app, method, path, {**headers, **({"Origin": origin} if origin else {})}, body
        )
        assert answer.status == status
        expected = [("Access-Control-Allow-Origin", origin), ("Vary", "Origin")] if origin else None
        assert cors(answer) == (expected or [("Access-Control-Allow-Origin", "*")])
        assert answer.headers[-3:] == OWN


@pytest.mark.parametrize("request_", UNSHARED.values(), ids=UNSHARED.keys())
def test_no_page_may_read_what_only_the_router_answers(
    app: FakeServer, request_: tuple[str, str, dict[str, str], bytes, int]
) -> None:
    """FACTS 1.8: unknown paths, other methods and redirects carry no CORS header, but the app's
    headers.
    """
    method, path, headers, body, status = request_
    answer = call(app, method, path, {**headers, "Origin": SHOP}, body)
    assert answer.status == status
    assert cors(answer) == []
    assert answer.headers[-3:] == OWN


# Preflight
# --------------------------------------------------------------------------------------------------


def preflight(app: FakeServer, headers: dict[str, str], path: str = RUN) -> AsgiAnswer:
    answer = call(app, "OPTIONS", path, headers)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.header("Content-Type") == "text/html; charset=utf-8"
    assert answer.header("Content-Length") == "0"
    return answer


@pytest.mark.parametrize(
    ("requested", "granted"),
    [
        ("authorization,content-type", "authorization, content-type"),
        ("content-type, authorization", "authorization, content-type"),
        ("x-foo, x-app-code", "x-app-code"),
        ("X-App-Code", "X-App-Code"),
        ("x-foo", None),
        ("", None),
        (None, None),
    ],
)
def test_a_preflight_grants_the_headers_the_host_knows(
    app: FakeServer, requested: str | None, granted: str | None
) -> None:
    """FACTS 1.8: those asked for that are known, as they were written; no header where that is
    none.
    """
    headers = {"Origin": SHOP, "Access-Control-Request-Method": "POST"}
    answer = preflight(
        app,
        headers if requested is None else {**headers, "Access-Control-Request-Headers": requested},
    )
    assert answer.header("Access-Control-Allow-Headers") == granted
    assert answer.header("Access-Control-Allow-Methods") == METHODS
    assert answer.header("Access-Control-Allow-Origin") == SHOP
    assert answer.header("Vary") == "Origin"
    assert set((answer.header("Allow") or "").split(", ")) == {"POST", "OPTIONS"}


def test_options_that_is_no_preflight_grants_nothing(app: FakeServer) -> None:
    """[C: method_OPTIONS_noauth]: it is answered without a key, and says only which methods there
    are.
    """
    answer = preflight(app, {})
    assert cors(answer) == [("Access-Control-Allow-Origin", "*")]
    assert set((answer.header("Allow") or "").split(", ")) == {"POST", "OPTIONS"}


@pytest.mark.parametrize("method", ["FOO", "HEAD", ""])
def test_a_preflight_for_a_method_the_host_does_not_share_grants_nothing(
    app: FakeServer, method: str
) -> None:
    """Only the six methods are shared."""
    headers = {
        "Origin": SHOP,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "x-app-code",
    }
    assert cors(preflight(app, headers)) == [
        ("Access-Control-Allow-Origin", SHOP),
        ("Vary", "Origin"),
    ]


def test_a_preflight_of_a_picture(app: FakeServer) -> None:
    """[C: file_preflight]: no signature is looked at."""
    path = f"/files/tools/{'0' * 8}-0000-4000-8000-{'0' * 12}.png"
    answer = preflight(app, {"Origin": SHOP, "Access-Control-Request-Method": "GET"}, path)
    assert set((answer.header("Allow") or "").split(", ")) == {"OPTIONS", "GET", "HEAD"}
    assert answer.header("Access-Control-Allow-Methods") == METHODS


@given(origin=st.binary(), method=st.binary(), requested=st.binary())
def test_any_origin_is_only_echoed(
    host_spec: HostSpec, origin: bytes, method: bytes, requested: bytes
) -> None:
    """Whatever a page says of itself, it gets its own words back or none at all."""
    headers = HostHeaders(host_spec)
    request = {
        b"origin": origin,
        b"access-control-request-method": method,
        b"access-control-request-headers": requested,
    }
    completed = dict(headers.complete((), request, headers.preflight(request, "/v1/info")))
    assert completed[b"Access-Control-Allow-Origin"] == (origin or b"*")
    for name in completed.get(b"Access-Control-Allow-Headers", b"content-type").split(b", "):
        assert name.lower() in {b"content-type", b"authorization", b"x-app-code"}


# JSON
# --------------------------------------------------------------------------------------------------


def test_json_of_anything_but_a_run_ends_with_a_newline() -> None:
    """FACTS 1.7: counted in the length."""
    assert json_bytes({"a": "猫"}) == b'{"a": "\\u732b"}\n'


def test_every_refusal_is_its_entry_in_the_spec(host_spec: HostSpec) -> None:
    """Status and body come from the entry, keys in its order, placeholders filled with whatever is
    given.
    """
    error = host_spec.errors("input_too_long", variable="{prompt}", max_length=5)
    message = "{prompt} in input form must be less than 5 characters"
    assert list(error.body.items()) == [
        ("code", "invalid_param"),
        ("message", message),
        ("status", 400),
    ]
    assert error.status == 400
