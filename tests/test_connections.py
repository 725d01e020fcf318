"""What a connection can do: lines without an end, bodies that nobody wants, downloads that nobody
reads.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from fake_server.server.protocols import LINGER_IDLE_S
from fake_server.settings import DEFAULT_API_KEY
from fake_server.testing import FakeHost
from tests.serving import Connection, ServerProcess, raw_exchange, server_process

pytestmark = pytest.mark.server

_HEAD = b"GET /v1/ HTTP/1.1\r\nHost: h\r\n"
_CHUNKED = b"POST /v1/workflows/run HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
_PIECE = b"a" * 65536
_MOST_SENT = 48 << 20


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with server_process("--speed", "instant") as running:
        yield running


@pytest.mark.parametrize(
    ("start", "status"),
    [
        (b"GET /", 414),
        (b"A", 414),
        (_HEAD + b"X-A: ", 400),
        (_HEAD, 400),
        (_CHUNKED + b"3;", 400),
        (_CHUNKED + b"0\r\n", 400),
        (_CHUNKED + b"0\r\nX-A: ", 400),
        (b"GET  /v1/ HTTP/1.0\r\nX-A: ", 400),
    ],
    ids=[
        "request line",
        "method",
        "header",
        "header name",
        "extension",
        "trailer name",
        "trailer",
        "HTTP/1.0",
    ],
)
def test_a_line_without_an_end_is_refused_and_its_sender_cut_off(
    server: ServerProcess, start: bytes, status: int
) -> None:
    piece = _PIECE.upper()
    with socket.create_connection((server.host, server.port), timeout=20) as client:
        client.sendall(start)
        sent = 0
        with contextlib.suppress(OSError):
            while sent < _MOST_SENT:
                client.sendall(piece)
                sent += len(piece)
        assert sent < _MOST_SENT
    with Connection(server.host, server.port, timeout=20) as connection:
        connection.send(start + piece)
        assert connection.answer().status == status


@pytest.mark.parametrize("size", [1 << 20, 5 << 20, 15 << 20, 40 << 20])
@pytest.mark.parametrize(
    ("path", "key", "status"),
    [
        ("/v1/workflows/run", "bad", 401),
        ("/v1/nothing", DEFAULT_API_KEY, 404),
        ("/other", DEFAULT_API_KEY, 502),
    ],
)
def test_an_early_refusal_of_a_large_body_is_read(
    server: ServerProcess, path: str, key: str, status: int, size: int
) -> None:
    """urllib sends ``Connection: close`` and reads when it has sent all."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    request = urllib.request.Request(server.url + path, b"a" * size, headers)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=20)
    with refused.value as answer:
        assert answer.code == (413 if size > 15 << 20 else status)
        answer.read()


def test_a_client_that_stays_after_a_refusal_is_not_waited_for_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As nginx, which waits 5 s for a byte: then the server's side of the connection is gone, and
    a byte more is an error.
    """
    assert LINGER_IDLE_S == 5
    monkeypatch.setattr("fake_server.server.protocols.LINGER_IDLE_S", 0.2)
    with (
        FakeHost() as host,
        socket.create_connection(
            ("127.0.0.1", int(host.url.rpartition(":")[2])), timeout=15
        ) as client,
    ):
        client.sendall(
            b"POST /other HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 100\r\n\r\nx"
        )
        while client.recv(65536):
            pass
        time.sleep(0.5)
        client.sendall(b"y")
        time.sleep(0.2)
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            client.sendall(b"y")


_EARLY = (
    b"POST /other HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 999999999\r\n\r\n"
)


def _sent_before_the_close(most: int, pause_s: float) -> int:
    """How many bytes of a body that nobody wants are taken from a client that goes on sending."""
    with (
        FakeHost() as host,
        socket.create_connection(("127.0.0.1", int(host.url.rpartition(":")[2]))) as client,
    ):
        client.settimeout(10)
        client.sendall(_EARLY)
        sent = 0
        with contextlib.suppress(OSError):
            while sent < most:
                client.sendall(b"x" * 4096)
                sent += 4096
                time.sleep(pause_s)
        return sent


def test_so_much_of_an_unwanted_body_is_read_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket's own buffers hold some more of it."""
    monkeypatch.setattr("fake_server.server.protocols.LINGER_BYTES", 1 << 20)
    assert 1 << 20 <= _sent_before_the_close(32 << 20, 0) < 16 << 20


def test_an_unwanted_body_is_read_for_so_long_and_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fake_server.server.protocols.LINGER_S", 0.5)
    monkeypatch.setattr("fake_server.server.protocols.LINGER_IDLE_S", 0.2)
    began = time.monotonic()
    assert _sent_before_the_close(4096 * 1000, 0.01) < 4096 * 1000
    assert 0.5 <= time.monotonic() - began < 6


def test_requests_that_come_together_are_answered_in_order(server: ServerProcess) -> None:
    """Whatever follows a request on its connection waits for it."""
    bad = b"GET /v1/%d HTTP/1.1\r\nHost: h\r\n\r\n"
    with Connection(server.host, server.port, timeout=20) as connection:
        connection.send(b"".join(_HEAD + b"\r\n" + bad % number for number in range(500)))
        statuses = [connection.answer().status for _ in range(1000)]
    assert statuses == [200, 404] * 500


def _image_target(server: ServerProcess) -> str:
    body = json.dumps(
        {"inputs": {"prompt": "一只猫"}, "response_mode": "blocking", "user": "u"}
    ).encode()
    head = (
        f"POST /v1/workflows/run HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {server.api_key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    answer = raw_exchange(server.host, server.port, head.encode() + body)
    target: str = json.loads(answer.body)["data"]["outputs"]["files"][0]["url"]
    return target


def test_downloads_that_nobody_reads_do_not_hold_up_the_end() -> None:
    """They are broken off, and nothing is said about it."""
    with server_process("--speed", "instant") as server, contextlib.ExitStack() as clients:
        get = f"GET {_image_target(server)} HTTP/1.1\r\nHost: h\r\n\r\n".encode()
        for _ in range(5):
            client = clients.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect((server.host, server.port))
            client.sendall(get * 100)
        time.sleep(1)
        began = time.monotonic()
        os.kill(server.pid, signal.SIGTERM)
        while _is_listening(server):
            time.sleep(0.02)
        while _runs(server.pid):
            assert time.monotonic() - began < 4, "it did not end at once"
            time.sleep(0.02)
        assert "Traceback" not in server.log.read_text()
        assert "Cancel" not in server.log.read_text()


def test_a_download_ends_when_its_client_leaves() -> None:
    with FakeHost(speed="instant") as host:
        host.scenario("huge_png", megabytes=30)
        body = json.dumps(
            {"inputs": {"prompt": "x"}, "response_mode": "blocking", "user": "u"}
        ).encode()
        headers = {"Authorization": f"Bearer {host.api_key}", "Content-Type": "application/json"}
        with urllib.request.urlopen(
            urllib.request.Request(f"{host.url}/v1/workflows/run", body, headers)
        ) as answer:
            target = json.load(answer)["data"]["outputs"]["files"][0]["url"]
        with socket.create_connection(
            ("127.0.0.1", int(host.url.rpartition(":")[2])), timeout=20
        ) as client:
            client.sendall(f"GET {target} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
            assert client.recv(1000)
        deadline = time.monotonic() + 10
        while (state := host.requests[-1].state) == "running" and time.monotonic() < deadline:
            time.sleep(0.01)
        assert state == "client left"


def test_requests_that_wait_behind_another_do_not_hold_up_the_end() -> None:
    """The first gets its 502; nobody waits for the client that has sent more."""
    body = json.dumps(
        {"inputs": {"prompt": "x"}, "response_mode": "blocking", "user": "u"}
    ).encode()
    with (
        server_process("--speed", "0.1") as server,
        Connection(server.host, server.port) as connection,
    ):
        head = (
            "POST /v1/workflows/run HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer "
            f"{server.api_key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        connection.send((head.encode() + body) * 3)
        time.sleep(0.3)
        began = time.monotonic()
        os.kill(server.pid, signal.SIGTERM)
        assert connection.answer().status == 502
        while _runs(server.pid):
            assert time.monotonic() - began < 4, "it did not end at once"
            time.sleep(0.02)


def _runs(pid: int) -> bool:
    """Whether the process is there and has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _is_listening(server: ServerProcess) -> bool:
    with (
        contextlib.suppress(OSError),
        socket.create_connection((server.host, server.port), timeout=1),
    ):
        return True
    return False


def test_a_reset_after_the_client_has_left_is_quiet() -> None:
    scenarios = ("connection_reset", "connection_reset; at_byte=10")
    with server_process("--speed", "1") as server:
        for scenario, mode in itertools.product(scenarios, ("streaming", "blocking")):
            run = {"inputs": {"prompt": "x"}, "response_mode": mode, "user": "u"}
            body = json.dumps(run).encode()
            head = (
                "POST /v1/workflows/run HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer "
                f"{server.api_key}\r\nX-Fake-Scenario: {scenario}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            for pause_s in (0, 0.01, 0.1, 0.3):
                with Connection(server.host, server.port) as connection:
                    connection.send(head.encode() + body)
                    time.sleep(pause_s)
        time.sleep(0.3)
        assert raw_exchange(server.host, server.port, _HEAD + b"\r\n").status == 200
        assert "Traceback" not in server.log.read_text()
