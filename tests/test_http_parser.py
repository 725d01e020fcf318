"""Requests are read as nginx 1.22 reads them, however they are cut into pieces, and within
bounds.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_server.server.heads import KNOWN_BYTES, Head, KnownHeads
from fake_server.server.parser import HeadLimits, RefusedRequestError, RequestParser

LIMITS = HeadLimits(request_line=200, header_line=100, headers=400)
HOST = b"Host: h\r\n"
GET = b"GET /v1/ HTTP/1.1\r\n" + HOST


def read(*pieces: bytes, known: KnownHeads | None = None) -> list[object]:
    """What the pieces amount to: heads as tuples, each body in one piece, ends, and at last a
    refusal as a number.
    """
    parser = RequestParser(LIMITS, known)
    found: list[object] = []
    try:
        for piece in pieces:
            parser.buffer += piece
            while (event := parser.next_event()) is not None:
                if isinstance(event, Head):
                    found.append(
                        (
                            event.method,
                            event.target,
                            event.version,
                            tuple(event.headers),
                            event.keep_alive,
                        )
                    )
                elif event:
                    before = found.pop() if isinstance(found[-1], bytes) else b""
                    assert isinstance(before, bytes)
                    found.append(before + event)
                if not isinstance(event, Head) and not parser.in_body:
                    found.append("end")
    except RefusedRequestError as refused:
        found.append(refused.status)
    return found


def head(raw: bytes) -> tuple[object, ...]:
    first = read(raw)[0]
    assert isinstance(first, tuple), first
    return first


@pytest.mark.parametrize(
    ("line", "method", "target", "version"),
    [
        (b"GET /v1/ HTTP/1.1", b"GET", b"/v1/", "1.1"),
        (b"GET   /v1/   HTTP/1.1  ", b"GET", b"/v1/", "1.1"),
        (b"\r\n\r\nGET /v1/ HTTP/1.1", b"GET", b"/v1/", "1.1"),
        (b"\nGET /v1/ HTTP/1.1", b"GET", b"/v1/", "1.1"),
        (b"FOO_BAR-X /v1/?a=b HTTP/1.0", b"FOO_BAR-X", b"/v1/?a=b", "1.0"),
        (b"GET /v1/ HTTP/1.7", b"GET", b"/v1/", "1.1"),
        (b"GET /v1/ HTTP/1.00", b"GET", b"/v1/", "1.0"),
        ("GET /v1/猫 HTTP/1.1".encode(), b"GET", "/v1/猫".encode(), "1.1"),
        (b"GET /v1/\xff HTTP/1.1", b"GET", b"/v1/\xff", "1.1"),
        (b"GET http://other:80/v1/?a HTTP/1.1", b"GET", b"/v1/?a", "1.1"),
        (b"GET http://[::1]:80 HTTP/1.1", b"GET", b"/", "1.1"),
        (b"GET http://other?a HTTP/1.1", b"GET", b"/?a", "1.1"),
    ],
)
def test_request_lines_that_nginx_takes(
    line: bytes, method: bytes, target: bytes, version: str
) -> None:
    assert head(line + b"\r\n" + HOST + b"\r\n")[:3] == (method, target, version)


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET /v1/ HTTP/2.0", 505),
        (b"GET /v1/ HTTP/2", 505),
        (b"GET /v1/ HTTP/10.0", 505),
        (b"GET /v1/ HTTP/0.9", 400),
        (b"GET /v1/ HTTP/1", 400),
        (b"GET /v1/ HTTP/1.", 400),
        (b"GET /v1/ HTTP/1.1x", 400),
        (b"GET /v1/ http/1.1", 400),
        (b"get /v1/ HTTP/1.1", 400),
        (b"G\xc3\xa9T /v1/ HTTP/1.1", 400),
        (b" GET /v1/ HTTP/1.1", 400),
        (b"GET v1 HTTP/1.1", 400),
        (b"GET * HTTP/1.1", 400),
        (b"GET http:/v1/ HTTP/1.1", 400),
        (b"GET /v1/ x HTTP/1.1", 400),
        (b"GET /v1/\x01 HTTP/1.1", 400),
        (b"GET /v1/\x7f HTTP/1.1", 400),
        (b"GET\t/v1/ HTTP/1.1", 400),
        (b"GET /v1/ HTTP/1.1\r", 400),
        (b"GET", 400),
        (b"POST /v1/", 400),
    ],
)
def test_request_lines_that_nginx_refuses(line: bytes, status: int) -> None:
    """At the end of the line, whatever headers would have followed."""
    assert read(line + b"\r\n") == [status]


@pytest.mark.parametrize("start", [b"\x16\x03\x01", b"get", b"{", b"GE T /".replace(b"GE T", b"g")])
def test_what_can_be_no_request_is_refused_before_its_line_ends(start: bytes) -> None:
    assert read(start) == [400]


@pytest.mark.parametrize(
    ("line", "header"),
    [
        (b"X-A: b", (b"x-a", b"b")),
        (b"X-A:b", (b"x-a", b"b")),
        (b"X-A:   b  ", (b"x-a", b"b")),
        (b"X-A: \tb\t", (b"x-a", b"\tb\t")),
        (b"X-A: a: b", (b"x-a", b"a: b")),
        (b"X-A: \x01\x7f\xff", (b"x-a", b"\x01\x7f\xff")),
        (b"X-A:", (b"x-a", b"")),
        (b"X-A", (b"x-a", b"")),
        (b"X-A: b\r", (b"x-a", b"b")),
        (b"X_A: b", None),
        (b"X.A: b", None),
        (b"X\xc3\xa9: b", None),
        (b"(odd)", None),
    ],
)
def test_header_lines_that_nginx_takes_or_passes_over(
    line: bytes, header: tuple[bytes, bytes] | None
) -> None:
    headers = head(GET + line + b"\r\n\r\n")[3]
    assert headers == ((b"host", b"h"), *((header,) if header else ()))


@pytest.mark.parametrize(
    "line",
    [
        b" X-A: b",
        b"\tX-A: b",
        b"X A: b",
        b"X-A : b",
        b": b",
        b"X-A: \x00",
        b"X-A: a\rb",
        b"X\x01: b",
        b"X\x7f",
    ],
)
def test_header_lines_that_nginx_refuses(line: bytes) -> None:
    assert read(GET + line + b"\r\n") == [400]


def test_lines_may_end_in_a_line_feed_alone() -> None:
    assert head(b"GET /v1/ HTTP/1.1\nHost: h\n\n") == (
        b"GET",
        b"/v1/",
        "1.1",
        ((b"host", b"h"),),
        True,
    )


def test_a_request_of_http_0_9_is_a_line_and_a_get() -> None:
    assert read(b"GET /v1/\r\n") == [(b"GET", b"/v1/", "0.9", (), False)]


@pytest.mark.parametrize(
    ("version", "connection", "kept"),
    [
        ("1.1", None, True),
        ("1.0", None, False),
        ("1.0", "keep-alive", True),
        ("1.0", "Keep-Alive, x", True),
        ("1.1", "close", False),
        ("1.1", "TE, Close", False),
        ("1.1", "upgrade", True),
    ],
)
def test_whether_the_connection_is_kept(version: str, connection: str | None, kept: bool) -> None:
    line = f"Connection: {connection}\r\n" if connection else ""
    assert head(f"GET / HTTP/{version}\r\nHost: h\r\n{line}\r\n".encode())[4] is kept


# Framing
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (b"Transfer-Encoding: xx\r\n", 501),
        (b"Transfer-Encoding: gzip, chunked\r\n", 501),
        (b"Transfer-Encoding:\r\n", 501),
        (b"Transfer-Encoding: chunked\t\r\n", 501),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n", 400),
        (b"Content-Length: 1\r\nContent-Length: 1\r\n", 400),
        (b"Content-Length: +1\r\n", 400),
        (b"Content-Length: -1\r\n", 400),
        (b"Content-Length: 1,1\r\n", 400),
        (b"Content-Length: 0x1\r\n", 400),
        (b"Content-Length:\r\n", 400),
        (b"Content-Length: " + b"9" * 80 + b"\r\n", 400),
        (b"Content-Length: 1\t\r\n", 400),
    ],
)
def test_framings_that_nginx_refuses(headers: bytes, status: int) -> None:
    assert read(b"POST / HTTP/1.1\r\nHost: h\r\n" + headers + b"\r\n") == [status]


def test_http_1_0_has_no_transfer_encoding() -> None:
    assert read(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n") == [400]


_CHUNKED = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n"


@pytest.mark.parametrize(
    "body",
    [
        b"3\r\nabc\r\n0\r\n\r\n",
        b"3\nabc\n0\n\n",
        b"03;x=y\r\nabc\r\n0;z\r\n\r\n",
        b"3 \r\nabc\r\n0\t\r\nTrailer: x\r\nno colon\r\n\r\n",
        b"1\r\na\r\n2\r\nbc\r\n" + b"0" * 40 + b"\r\n\r\n",
    ],
)
def test_chunked_bodies_that_nginx_takes(body: bytes) -> None:
    assert read(_CHUNKED + body + GET + b"\r\n")[1:3] == [b"abc", "end"]


@pytest.mark.parametrize(
    "body",
    [
        b"x",
        b"\r\n",
        b";x\r\n",
        b"3\r\nabcd",
        b"3x",
        b"-3",
        b"0x3",
        b"3\rx",
        b"3\r\nabc\rx",
        b"8" + b"0" * 15 + b"\r\n",
        b"0\r\nT: x\ry\r\n",
        b"f" * 17 + b"\r\n",
    ],
)
def test_chunked_bodies_that_nginx_refuses(body: bytes) -> None:
    assert read(_CHUNKED + body)[-1] == 400


def test_a_chunk_that_announces_too_much_is_refused_before_it_comes() -> None:
    limits = HeadLimits(200, 100, 400, body=0x20)
    for size, refused in ((b"20", False), (b"21", True), (b"7" + b"f" * 15, True)):
        parser = RequestParser(limits)
        parser.buffer += _CHUNKED + size + b"\r\n"
        assert isinstance(parser.next_event(), Head)
        if refused:
            with pytest.raises(RefusedRequestError) as error:
                parser.next_event()
            assert error.value.status == 413
        else:
            assert parser.next_event() is None


def test_lengths_are_counted_as_far_as_nginx_counts() -> None:
    request = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n"
    assert read(request % ((1 << 63) - 1)) != [400]
    assert read(request % (1 << 63)) == [400]


def test_small_chunks_that_arrive_together_are_one_part() -> None:
    parser = RequestParser(LIMITS)
    parser.buffer += _CHUNKED + b"1\r\na\r\n" * 10_000 + b"2\r\nb"
    assert isinstance(parser.next_event(), Head)
    assert parser.next_event() == b"a" * 10_000
    assert parser.next_event() == b"b"


# Bounds
# --------------------------------------------------------------------------------------------------


def _filled(start: bytes, size: int, end: bytes = b"\r\n") -> bytes:
    """A line of ``size`` bytes."""
    return start + b"a" * (size - len(start) - len(end)) + end


def test_a_request_line_of_its_bound_and_one_more() -> None:
    ends = b" HTTP/1.1\r\n"
    assert head(_filled(b"GET /", LIMITS.request_line, ends) + HOST + b"\r\n")
    assert read(_filled(b"GET /", LIMITS.request_line + 1, ends)) == [414]


def test_a_header_line_of_its_bound_and_one_more() -> None:
    assert head(GET + _filled(b"X: ", LIMITS.header_line) + b"\r\n")
    assert read(GET + _filled(b"X: ", LIMITS.header_line + 1)) == [494]


def test_headers_of_their_bound_and_one_more() -> None:
    lines = [HOST, *[_filled(b"X: ", 97)] * 3]
    rest = LIMITS.headers - sum(map(len, lines)) - len(b"\r\n")
    request = b"GET / HTTP/1.1\r\n" + b"".join(lines)
    assert head(request + _filled(b"Y: ", rest) + b"\r\n")
    assert read(request + _filled(b"Y: ", rest + 1) + b"\r\n") == [494]


@pytest.mark.parametrize(
    ("start", "bound", "status"),
    [
        (b"GET /", LIMITS.request_line - len(b"GET /"), 414),
        (b"A", LIMITS.request_line - 1, 414),
        (GET + b"X: ", LIMITS.header_line - len(b"X: "), 494),
        (GET, LIMITS.header_line, 494),
        (_CHUNKED + b"3;", LIMITS.headers - len(b"3;"), 400),
        (_CHUNKED + b"0", LIMITS.headers - 1, 400),
        (_CHUNKED + b"0\r\n", LIMITS.headers, 400),
        (_CHUNKED + b"0\r\nX: ", LIMITS.headers - len(b"X: "), 400),
    ],
    ids=[
        "request line",
        "method",
        "header",
        "header name",
        "extension",
        "size",
        "trailer name",
        "trailer",
    ],
)
def test_a_line_without_an_end_is_refused_at_its_bound(
    start: bytes, bound: int, status: int
) -> None:
    """Counted as the bytes arrive: nothing waits for the end of the line."""
    filling = b"0" if start == _CHUNKED + b"0" else b"A"
    before = read(start, *[filling] * (bound - 1))
    assert before == read(start)
    assert read(start, *[filling] * bound) == [*before, status]


def test_trailers_are_bounded_together() -> None:
    trailer = b"X: y\r\n"
    fit = (LIMITS.headers - len(b"\r\n")) // len(trailer)
    assert read(_CHUNKED + b"0\r\n" + trailer * fit + b"\r\n")[-1] == "end"
    assert read(_CHUNKED + b"0\r\n" + trailer * (fit + 1))[-1] == 400


def test_nothing_is_kept_of_what_has_been_read() -> None:
    parser = RequestParser(LIMITS)
    parser.buffer += _CHUNKED
    assert isinstance(parser.next_event(), Head)
    for _ in range(1000):
        parser.buffer += b"40\r\n" + b"x" * 64 + b"\r\n"
        assert parser.next_event() == b"x" * 64
        assert parser.next_event() is None
    assert not parser.buffer


# Pieces
# --------------------------------------------------------------------------------------------------

_REQUESTS = st.lists(
    st.sampled_from(
        [
            GET + b"\r\n",
            b"\r\n" + GET + b"X-A\r\n\r\n",
            b"POST /v1/x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nabc\r\n",
            b"POST /v1/x HTTP/1.0\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n",
            _CHUNKED + b"3;e\r\nabc\r\na\r\n0123456789\r\n0\r\nT: x\r\n\r\n",
            b"GET  http://h/ HTTP/1.1 \nHost: h\n\n",
        ]
    ),
    min_size=1,
    max_size=4,
)
_ENDINGS = st.sampled_from(
    [b"", b"GET /\x01", b"GET / HTTP/2.0\r\n", GET + b" x", GET + b"A" * 150, _CHUNKED + b"zz"]
)


def _cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    ends = sorted({place % len(data) for place in places} | {len(data)})
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


@given(requests=_REQUESTS, ending=_ENDINGS, places=st.lists(st.integers(0, 10_000), max_size=30))
def test_pieces_make_no_difference(requests: list[bytes], ending: bytes, places: list[int]) -> None:
    """What is read does not depend on how it arrived; a refusal may only come sooner."""
    data = b"".join(requests) + ending
    assert (
        read(*_cut(data, places))
        == read(data)
        == read(*(data[at : at + 1] for at in range(len(data))))
    )


@given(requests=_REQUESTS, ending=_ENDINGS, places=st.lists(st.integers(0, 10_000), max_size=30))
def test_heads_that_are_known_make_no_difference(
    requests: list[bytes], ending: bytes, places: list[int]
) -> None:
    data, known = b"".join(requests) + ending, KnownHeads()
    expected = read(data)
    for pieces in ([data], [data], _cut(data, places), _cut(data, places)):
        assert read(*pieces, known=known) == expected


def test_a_head_is_known_once_it_has_come_whole() -> None:
    known, pieces = KnownHeads(), (GET, b"X-A: b\r\n\r\n")
    read(*pieces, known=known)
    assert known.request(b"".join(pieces)) is None
    read(b"".join(pieces) + b"GET /rest", known=known)
    head = known.request(b"".join(pieces))
    assert head is not None
    assert head.headers[1] == (b"x-a", b"b")


def test_refused_heads_are_not_known() -> None:
    known, twice = KnownHeads(), GET + HOST + b"Content-Length: 1\r\n" * 2 + b"\r\n"
    for _ in range(2):
        assert read(twice, known=known) == [400]
    assert known.request(twice) is None


def test_known_heads_take_up_so_much_and_no_more() -> None:
    known, first = KnownHeads(), GET + b"\r\n"
    read(first, known=known)
    for number in range(KNOWN_BYTES // 200):
        read(GET + b"X-A: %d\r\n\r\n" % number, known=known)
    assert known.request(first) is None
