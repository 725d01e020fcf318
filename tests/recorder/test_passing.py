"""What a client and a host see of the recorder between them: nothing, but for the moment that it
takes.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from pathlib import Path

import pytest

from tests.recorder.upstreams import Incoming, get, post, running_recorder, scripted, wait_until

pytestmark = pytest.mark.server


def test_each_frame_passes_before_the_next_one_is_made(tmp_path: Path) -> None:
    """The host makes a frame only when the client has the one before: a buffer anywhere would stop
    it for ever.
    """
    received = asyncio.Event()

    async def script(incoming: Incoming) -> None:
        await incoming.stream()
        for number in range(5):
            await incoming.chunk(b"data: %d\n\n" % number)
            await received.wait()
            received.clear()
        await incoming.send(b"0\r\n\r\n")

    with scripted(script) as upstream, running_recorder(upstream.url, tmp_path / "to") as recorder:
        with recorder.connection() as connection:
            connection.send(post("/v1/workflows/run", b"{}"))
            for number, (_, frame) in enumerate(connection.frames()):
                assert frame == b"data: %d" % number
                upstream.loop.call_soon_threadsafe(received.set)
        assert recorder.end() == 0
    (recorded,) = recorder.recorded()
    assert [chunk.data for chunk in recorded.chunks] == [
        b"data: %d\n\n" % number for number in range(5)
    ]
    times = [chunk.at_s for chunk in recorded.chunks]
    assert times == sorted(times)
    assert 0 < times[-1] <= recorded.seconds
    assert recorded.ended == "complete"


def test_times_are_those_of_the_host(tmp_path: Path) -> None:
    """A pause that the host made is in the recording, and none that it did not make."""

    async def script(incoming: Incoming) -> None:
        await incoming.stream()
        await incoming.chunk(b"data: 1\n\n")
        await asyncio.sleep(0.3)
        await incoming.chunk(b"data: 2\n\n")
        await incoming.chunk(b"data: 3\n\n")
        await incoming.send(b"0\r\n\r\n")

    with scripted(script) as upstream, running_recorder(upstream.url, tmp_path / "to") as recorder:
        with recorder.connection() as connection:
            connection.exchange(post("/v1/workflows/run", b"{}"))
        recorder.end()
    first, second, third = (chunk.at_s for chunk in recorder.recorded()[0].chunks)
    assert second - first > 0.15  # a busy machine may hold up the first one
    assert third - second < second - first


def test_request_arrives_as_it_was_sent_but_for_host_and_encoding(tmp_path: Path) -> None:
    """Names in their case, order, duplicates, target and bytes; what concerns the client's
    connection stays behind.
    """

    async def script(incoming: Incoming) -> None:
        await incoming.whole(b"{}")

    headers = "X-One: 1\r\nx-TWO: ü\r\nX-One: 2\r\nAccept-Encoding: gzip, br\r\n"
    headers += "Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nTE: gzip\r\n"
    body = bytes(range(256))
    with (
        scripted(script) as upstream,
        running_recorder(upstream.url + "/base/", tmp_path / "to") as recorder,
    ):
        with recorder.connection() as connection:
            assert (
                connection.exchange(post("//v1/%77orkflows/run?a=%2F&b=", body, headers)).status
                == 200
            )
        recorder.end()
        (incoming,) = upstream.incoming
    assert incoming.head.startswith("POST /base//v1/%77orkflows/run?a=%2F&b= HTTP/1.1\r\n")
    assert incoming.body == body
    assert incoming.headers == [
        ("Host", upstream.netloc),
        ("Content-Type", "application/json"),
        ("X-One", "1"),
        ("x-TWO", "ü".encode().decode("latin-1")),
        ("X-One", "2"),
        ("Accept-Encoding", "identity"),
        ("Content-Length", "256"),
    ]
    (recorded,) = recorder.recorded()
    assert (recorded.request.method, recorded.request.target) == (
        "POST",
        "//v1/%77orkflows/run?a=%2F&b=",
    )
    assert recorded.request.body == body
    assert list(recorded.request.headers) == incoming.headers
    assert recorded.host == upstream.url


def test_chunked_body_of_a_request_arrives_chunked(tmp_path: Path) -> None:
    async def script(incoming: Incoming) -> None:
        await incoming.whole(incoming.body)

    head = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    raw = head + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    with scripted(script) as upstream, running_recorder(upstream.url, tmp_path / "to") as recorder:
        with recorder.connection() as connection:
            assert connection.exchange(raw).body == b"abcde"
        recorder.end()
    assert upstream.incoming[0].header("transfer-encoding") == "chunked"
    assert recorder.recorded()[0].request.body == b"abcde"


def test_stream_arrives_with_the_reason_of_the_host_and_framed_once(tmp_path: Path) -> None:
    """Clients that read strictly refuse a second Transfer-Encoding."""

    async def script(incoming: Incoming) -> None:
        await incoming.send(
            b"HTTP/1.1 200 Fine\r\nX-Version: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        await incoming.chunk(b"data: 1\n\n")
        await incoming.send(b"0\r\n\r\n")

    with scripted(script) as upstream, running_recorder(upstream.url, tmp_path / "to") as recorder:
        with socket.create_connection(recorder.address, 10) as connection:
            connection.sendall(get("/", "Connection: close\r\n"))
            raw = b"".join(iter(lambda: connection.recv(65536), b""))
        assert recorder.end() == 0
    head = raw.partition(b"\r\n\r\n")[0]
    assert head.startswith(b"HTTP/1.1 200 Fine\r\n")
    assert head.lower().count(b"transfer-encoding") == 1


def test_answer_arrives_with_its_headers_in_order_and_is_recorded_with_its_reason(
    tmp_path: Path,
) -> None:
    """Server and Date are the host's; nothing is added."""

    async def script(incoming: Incoming) -> None:
        headers = "Server: nginx/1\r\nDate: then\r\nSet-Cookie: a=1\r\n"
        headers += "X-Version: 0.6.4\r\nset-cookie: b=2\r\nKeep-Alive: 5\r\n"
        await incoming.whole(b'{"code": "x"}\n', headers, "415 UNSUPPORTED MEDIA TYPE")

    with scripted(script) as upstream, running_recorder(upstream.url, tmp_path / "to") as recorder:
        with recorder.connection() as connection:
            answer = connection.exchange(post("/v1/workflows/run", b"{}"))
        recorder.end()
    assert (answer.status_line, answer.body) == (
        "HTTP/1.1 415 UNSUPPORTED MEDIA TYPE",
        b'{"code": "x"}\n',
    )
    assert answer.headers == [
        ("Server", "nginx/1"),
        ("Date", "then"),
        ("Set-Cookie", "a=1"),
        ("X-Version", "0.6.4"),
        ("set-cookie", "b=2"),
        ("Content-Length", "14"),
    ]
    (recorded,) = recorder.recorded()
    assert (recorded.status, recorded.reason, recorded.host_version) == (
        415,
        "UNSUPPORTED MEDIA TYPE",
        "0.6.4",
    )
    assert [name for name, _ in recorded.headers] == [
        *("Server", "Date", "Set-Cookie", "X-Version", "set-cookie", "Keep-Alive", "Content-Length")
    ]


@pytest.mark.parametrize(
    ("raw", "status", "head", "body"),
    [
        (b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", 200, "Content-Length: 5\r\n", b""),
        (get("/"), 204, "", b""),
        (get("/"), 304, "Content-Length: 5\r\n", b""),
        (get("/"), 301, "Location: http://elsewhere.invalid/\r\nContent-Length: 0\r\n", b""),
        (b"GET / HTTP/1.0\r\n\r\n", 200, "Content-Length: 2\r\n", b"ok"),
        (b"FOO / HTTP/1.1\r\nHost: h\r\n\r\n", 405, "Content-Length: 2\r\n", b"no"),
    ],
    ids=["HEAD", "204", "304", "redirect", "HTTP/1.0", "FOO"],
)
def test_unusual_answers_pass(
    tmp_path: Path, raw: bytes, status: int, head: str, body: bytes
) -> None:
    """Also a redirect, which is the client's to follow."""

    async def script(incoming: Incoming) -> None:
        await incoming.send(f"HTTP/1.1 {status} Said\r\n{head}\r\n".encode() + body)

    with scripted(script) as upstream, running_recorder(upstream.url, tmp_path / "to") as recorder:
        with recorder.connection() as connection:
            answer = connection.exchange(raw)
        assert recorder.end() == 0
    assert (answer.status, answer.body) == (status, body)
    assert len(upstream.incoming) == 1
    (recorded,) = recorder.recorded()
    assert (recorded.status, recorded.body, recorded.ended) == (status, body, "complete")


def test_recorder_says_by_its_name_that_the_upstream_is_not_there(tmp_path: Path) -> None:
    """There is no answer of the host, and so nothing to record."""
    with scripted(_never) as upstream:
        url = upstream.url
    with running_recorder(url, tmp_path / "to") as recorder:
        with recorder.connection() as connection:
            answer = connection.exchange(get("/"))
        assert recorder.end() == 0
        assert "0 exchanges" in recorder.output()
        assert "1 without a response of the host" in recorder.output()
    output = json.loads(answer.body)
    assert (answer.status, output["code"], output["status"]) == (502, "bad_gateway", 502)
    assert output["message"] == f"fake-server record: {url} cannot be reached (Connection refused)"
    assert list((tmp_path / "to").glob("*.yaml")) == []


def test_connections_to_the_host_are_kept_as_long_as_it_keeps_them(tmp_path: Path) -> None:
    """The host closes the second one after its response; nobody sees that."""
    closed = threading.Event()

    async def script(incoming: Incoming) -> None:
        await incoming.whole(b"{}")
        if incoming.target == "/closes":
            incoming.writer.close()
            await incoming.writer.wait_closed()
            closed.set()
            raise ConnectionError

    with scripted(script) as upstream, running_recorder(upstream.url, tmp_path / "to") as recorder:
        with recorder.connection() as connection:
            for target in ("/", "/closes"):
                assert connection.exchange(get(target)).status == 200
            assert closed.wait(10)
            assert connection.exchange(get("/")).status == 200
        assert recorder.end() == 0
    first, second, third = (incoming.writer for incoming in upstream.incoming)
    assert first is second
    assert second is not third


def test_upstream_may_have_several_addresses(tmp_path: Path) -> None:
    """The host listens on one of those that its name has."""

    async def script(incoming: Incoming) -> None:
        await incoming.whole(b"{}")

    with scripted(script) as upstream:
        url = upstream.url.replace("127.0.0.1", "localhost")
        with running_recorder(url, tmp_path / "to") as recorder:
            assert recorder.exchange(get("/")).status == 200
            assert recorder.end() == 0


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "Server disconnected without sending a response."),
        (b"HTTP/1.1 200 OK\r\nContent-", "Server disconnected without sending a response."),
        (b"nonsense\r\n\r\n", "illegal status line: bytearray(b'nonsense')"),
    ],
    ids=["nothing", "half a head", "no HTTP"],
)
def test_what_is_no_response_is_reported_with_its_reason(
    tmp_path: Path, raw: bytes, reason: str
) -> None:
    async def script(incoming: Incoming) -> None:
        await incoming.send(raw)
        incoming.writer.close()
        raise ConnectionError

    with scripted(script) as upstream, running_recorder(upstream.url, tmp_path / "to") as recorder:
        answer = recorder.exchange(get("/"))
        assert recorder.end() == 0
    assert answer.status == 502
    closed = f"{upstream.url} closed the connection without a response ({reason})"
    assert json.loads(answer.body)["message"] == f"fake-server record: {closed}"


def test_upstream_that_does_not_answer_in_time_is_reported(tmp_path: Path) -> None:
    with (
        scripted(_never) as upstream,
        running_recorder(upstream.url, tmp_path / "to", "--timeout", "0.2") as recorder,
    ):
        with recorder.connection() as connection:
            answer = connection.exchange(get("/"))
        assert recorder.end() == 0
    assert answer.status == 504
    assert (
        json.loads(answer.body)["message"]
        == f"fake-server record: {upstream.url} sent no response within 0.2 s"
    )


def test_timeout_is_for_the_first_byte_alone(tmp_path: Path) -> None:
    """A stall in the middle is passed on as it is."""

    async def script(incoming: Incoming) -> None:
        await incoming.stream()
        await incoming.chunk(b"data: 1\n\n")
        await asyncio.sleep(0.5)
        await incoming.chunk(b"data: 2\n\n")
        await incoming.send(b"0\r\n\r\n")

    with (
        scripted(script) as upstream,
        running_recorder(upstream.url, tmp_path / "to", "--timeout", "0.2") as recorder,
    ):
        with recorder.connection() as connection:
            assert connection.exchange(get("/")).body == b"data: 1\n\ndata: 2\n\n"
        assert recorder.end() == 0
    assert recorder.recorded()[0].ended == "complete"


@pytest.mark.parametrize("framed", [True, False], ids=["chunked", "content-length"])
def test_upstream_that_dies_in_the_middle_is_seen_to_die(tmp_path: Path, framed: bool) -> None:
    """The client's connection ends without the end of the body, and the recording says that it was
    cut.
    """

    async def script(incoming: Incoming) -> None:
        if framed:
            await incoming.stream()
            await incoming.chunk(b"data: 1\n\n")
        else:
            await incoming.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ndata: 1\n\n")
        incoming.writer.close()
        raise ConnectionError

    with scripted(script) as upstream, running_recorder(upstream.url, tmp_path / "to") as recorder:
        with recorder.connection() as connection, pytest.raises(EOFError):
            connection.exchange(get("/"))
        assert recorder.end() == 0
        assert "Traceback" not in recorder.output()
    (recorded,) = recorder.recorded()
    assert (recorded.body, recorded.ended) == (b"data: 1\n\n", "cut")


def test_client_that_leaves_a_stalled_stream_closes_the_upstream_too(tmp_path: Path) -> None:
    closed = threading.Event()

    async def script(incoming: Incoming) -> None:
        await incoming.stream()
        await incoming.chunk(b"data: 1\n\n")
        assert await incoming.reader.read() == b""
        closed.set()
        raise ConnectionError

    with scripted(script) as upstream, running_recorder(upstream.url, tmp_path / "to") as recorder:
        with recorder.connection() as connection:
            connection.send(get("/"))
            next(connection.frames())
        assert closed.wait(10)
        assert recorder.end() == 0
    (recorded,) = recorder.recorded()
    assert (recorded.body, recorded.ended) == (b"data: 1\n\n", "client_left")


def test_client_that_leaves_before_an_answer_leaves_no_recording(tmp_path: Path) -> None:
    requested, closed = threading.Event(), threading.Event()

    async def script(incoming: Incoming) -> None:
        requested.set()
        await incoming.reader.read()
        closed.set()
        raise ConnectionError

    with scripted(script) as upstream, running_recorder(upstream.url, tmp_path / "to") as recorder:
        with recorder.connection() as connection:
            connection.send(get("/"))
            assert requested.wait(10)
        assert closed.wait(10)
        assert recorder.end() == 0
        assert "1 left by the client before a response" in recorder.output()


def test_client_that_leaves_in_the_middle_of_its_request_leaves_no_recording(
    tmp_path: Path,
) -> None:
    with scripted(_never) as upstream, running_recorder(upstream.url, tmp_path / "to") as recorder:
        with recorder.connection() as connection:
            connection.send(post("/", b"x" * 1000)[:-1])
        wait_until(lambda: "499" in recorder.output())
        assert recorder.end() == 0
        assert "1 left by the client before a response" in recorder.output()
        assert "Traceback" not in recorder.output()


def test_answer_that_comes_before_the_request_is_whole_is_passed_on(tmp_path: Path) -> None:
    """As a proxy before the host does with a body that is too large."""
    answer = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"
    with socket.create_server(("127.0.0.1", 0)) as host:
        url = "http://{}:{}".format(*host.getsockname())
        with (
            running_recorder(url, tmp_path / "to") as recorder,
            recorder.connection() as connection,
        ):
            connection.send(post("/", b"x" * 100)[:-1])
            accepted, _ = host.accept()
            with accepted:
                accepted.recv(65536)
                accepted.sendall(answer)
                accepted.shutdown(socket.SHUT_WR)
                connection.send(b"x")
                output = connection.answer()
            assert recorder.end() == 0
    assert (output.status, output.body) == (413, b"no")
    assert recorder.recorded()[0].status == 413


def test_recorder_is_no_proxy_for_other_hosts(tmp_path: Path) -> None:
    with scripted(_never) as upstream, running_recorder(upstream.url, tmp_path / "to") as recorder:
        answer = recorder.exchange(
            b"CONNECT elsewhere.invalid:443 HTTP/1.1\r\nHost: elsewhere.invalid\r\n\r\n"
        )
        assert recorder.end() == 0
        assert upstream.incoming == []
    assert answer.status == 400
    assert "the recorder is not a proxy for other hosts" in json.loads(answer.body)["message"]


async def _never(incoming: Incoming) -> None:
    await incoming.reader.read()
    raise ConnectionError
