"""A response's head is the same whether one like it was sent before or not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fake_server.http.responses import RawHeaders
from fake_server.server.heads import Head, KnownHeads, ResponseHead, scope_of

_PAIRS = st.sampled_from(
    [
        (b"Content-Type", b"text/html"),
        (b"Content-Length", b"0"),
        (b"Content-Length", b"1234"),
        (b"content-length", b"7"),
        (b"Connection", b"close"),
        (b"connection", b"keep-alive"),
        (b"X-Version", b"0.6.4"),
    ]
)
_RESPONSES = st.tuples(
    st.sampled_from([b"GET", b"HEAD", b"POST"]),
    st.sampled_from(["0.9", "1.0", "1.1"]),
    st.booleans(),
    st.sampled_from([200, 204, 304, 404]),
    st.lists(_PAIRS, max_size=5),
)
_Response = tuple[bytes, str, bool, int, RawHeaders]


def _rendered(status: int, reason: bytes | None, headers: RawHeaders, connection: bytes) -> bytes:
    lines = b"".join(b"%b: %b|" % pair for pair in headers)
    return b"%d %b|%b%b" % (status, reason or b"-", lines, connection)


def _head(known: KnownHeads, response: _Response, added: object = "") -> tuple[bytes, ResponseHead]:
    method, version, keep_alive, status, headers = response
    scope = scope_of(method, b"/", version, [])
    request = Head(method, b"/", version, keep_alive, [], [], 0, False, False, scope)
    message = {"status": status, "headers": headers}
    head, length = known.response(request, keep_alive, message, _rendered, added)
    raw = head.before if head.after is None else head.before + length + head.after
    return raw, head


@given(responses=st.lists(_RESPONSES, max_size=20))
def test_heads_that_are_known_make_no_difference(responses: list[_Response]) -> None:
    known = KnownHeads()
    for response in responses * 2:
        raw, head = _head(known, response)
        assert (raw, head) == _head(KnownHeads(), response)
        _, version, _, status, headers = response
        if version != "0.9":
            lines = raw.split(b"|")
            connection = b"keep-alive" if head.keep_alive else b"close"
            chunked = [b"Transfer-Encoding: chunked"] * head.chunked
            assert lines == [
                b"%d -" % status,
                *(b"%b: %b" % pair for pair in headers),
                *chunked,
                connection,
            ]


def test_what_the_server_adds_is_not_kept() -> None:
    known, added = KnownHeads(), [b"first"]

    def render(status: int, reason: bytes | None, headers: RawHeaders, connection: bytes) -> bytes:
        return added[0]

    request = Head(b"GET", b"/", "1.1", True, [], [], 0, False, False, {})
    message = {"status": 200, "headers": []}
    assert known.response(request, True, message, render, 1)[0].before == b"first"
    added[0] = b"second"
    assert known.response(request, True, message, render, 1)[0].before == b"first"
    assert known.response(request, True, message, render, 2)[0].before == b"second"
