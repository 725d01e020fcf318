"""What heads of requests mean is kept, within bounds, and never taken for what another means."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_server import Settings, create_app
from fake_server.app import FakeServer
from fake_server.http.known import REQUESTS, KnownRequests
from fake_server.http.nginx import Nginx
from fake_server.http.quick import LONGEST_KNOWN
from fake_server.http.responses import Response
from tests.asgi import call, json_headers, scope

KEYS = ("app-one", "app-two")


@pytest.fixture(scope="module")
def app() -> FakeServer:
    return create_app(Settings(api_keys=KEYS[:1], apps=((KEYS[1], "chat"),), speed=None))


@pytest.fixture
def known(app: FakeServer) -> KnownRequests:
    return known_of(app)


def known_of(app: FakeServer) -> KnownRequests:
    host = app.host
    return KnownRequests(
        host.spec, host.apps, host.headers, Nginx(host.spec, Response(200, [], b""))
    )


PARTS: dict[str, st.SearchStrategy[Any]] = {
    "method": st.sampled_from(["GET", "POST", "HEAD", "OPTIONS", "TRACE"]),
    "path": st.sampled_from(["/v1/info", "/v1/info/", "/v1//info", "/v1/workflows/run", "/x", "/"]),
    "headers": st.lists(
        st.sampled_from(
            [
                ("authorization", f"Bearer {KEYS[0]}"),
                ("authorization", f"Bearer {KEYS[1]}"),
                ("authorization", "\xa0 one"),
                ("content-type", "text/plain"),
                ("content-type", "application/json"),
                ("origin", "http://shop"),
                ("content-length", "99999999"),
                ("content-length", "x"),
                ("content-length", "1"),
                ("if-match", "a"),
                ("accept", "a"),
                ("accept", "b"),
                ("x", "a" * 5000),
                ("x", "a" * 9000),
                ("x-fake-scenario", "slow"),
            ]
        ),
        max_size=4,
    ),
}
SEVERAL = st.lists(st.tuples(*PARTS.values()), min_size=2, max_size=8)


@given(requests=SEVERAL)
def test_what_is_kept_is_what_each_head_means(
    app: FakeServer, requests: list[tuple[str, str, list[tuple[str, str]]]]
) -> None:
    """In whatever order heads come, and come again."""
    known = known_of(app)
    for request in [*requests, *requests]:
        kept, new = known.of(scope(*request)), known_of(app).of(scope(*request))
        for name in kept.__slots__:
            assert getattr(kept, name) == getattr(new, name), name


def test_the_newest_heads_are_kept(known: KnownRequests) -> None:
    first = known.of(scope("GET", "/v1/info"))
    assert known.of(scope("GET", "/v1/info")) is first
    for number in range(REQUESTS):
        known.of(scope("GET", f"/v1/{number}"))
    assert known.of(scope("GET", "/v1/info")) is not first


def test_clients_may_number_their_requests(known: KnownRequests) -> None:
    """What nobody looks into does not make a head new, nor does the size of a body."""
    same = {
        id(known.of(scope("GET", "/v1/info", {"x-id": number, "content-length": number})))
        for number in map(str, range(2 * REQUESTS))
    }
    assert len(same) == 1


def test_heads_that_mean_the_same_have_one_responder(app: FakeServer) -> None:
    """So that the head of its responses is made once."""
    headers = json_headers(KEYS[0])
    one, other = (
        app.quick_responder(scope("POST", "/v1/workflows/run", {**headers, "x-id": number}))
        for number in "12"
    )
    assert one is not None
    assert one is other


def test_a_large_head_is_not_kept(known: KnownRequests) -> None:
    large = scope("GET", "/v1/info", {"x": "a" * LONGEST_KNOWN})
    assert known.of(large) is not known.of(large)


@pytest.mark.parametrize("key", ["Bearer no", "\xa0 one", f"Bearer {KEYS[1]}"])
def test_an_error_is_the_same_each_time(app: FakeServer, key: str) -> None:
    """A key that is unknown, one that crashes the host's own check, and one of a chat."""
    body = b'{"inputs": {}, "user": "u"}'
    headers = {"authorization": key, "content-type": "application/json"}
    first, second = (call(app, "POST", "/v1/workflows/run", headers, body) for _ in range(2))
    assert first.status >= 400
    assert (first.headers, first.body) == (second.headers, second.body)
