"""With a seed and a clock that stands still, a server is a function of its requests, to the
byte.
"""

from __future__ import annotations

import json
import re
import socket

import pytest

from fake_server.settings import DEFAULT_API_KEY
from fake_server.testing import FakeHost
from tests.serving import server_process
from tests.testing.requests import message

pytestmark = pytest.mark.server

FROZEN = [
    "--seed",
    "7",
    "--clock",
    "2024-05-01T12:00:00Z",
    "--speed",
    "instant",
    "--app",
    "app-chat=chat",
]


def whole(host: str, port: int, raw: bytes) -> bytes:
    """Every byte of the response to ``raw`` until the server closes the connection."""
    with socket.create_connection((host, port), timeout=5) as connection:
        connection.sendall(raw.replace(b"\r\nHost:", b"\r\nConnection: close\r\nHost:", 1))
        return b"".join(iter(lambda: connection.recv(65536), b""))


def requests() -> list[bytes]:
    """All but the image's, whose URL is in a response."""
    run = {"inputs": {"prompt": "一只猫"}, "response_mode": "blocking", "user": "u"}
    bodies = [
        run,
        run,
        {**run, "response_mode": "streaming"},
        {**run, "response_mode": "batch"},
        {"user": "u"},
    ]
    runs = [
        message("POST", "/v1/workflows/run", DEFAULT_API_KEY, json.dumps(body).encode())
        for body in bodies
    ]
    head = b'Content-Disposition: form-data; name="file"; filename="a.png"'
    form = b"--b\r\n" + head + b"\r\nContent-Type: image/png\r\n\r\nx\r\n--b--"
    return [
        *runs,
        message("POST", "/v1/workflows/run", "app-wrong", b"{}"),
        message("POST", "/v1/workflows/run", "app-chat", b"{}"),
        message(
            "POST", "/v1/files/upload", DEFAULT_API_KEY, form, "multipart/form-data; boundary=b"
        ),
        message("GET", "/v1/parameters?user=u", DEFAULT_API_KEY),
        message("GET", "/v1/nothing", DEFAULT_API_KEY),
        b"GET /v1/ HTTP/1.0\r\nHost: x\r\n\r\n",
        b"nonsense\r\n\r\n",
    ]


def conversation(host: str, port: int) -> list[bytes]:
    """The responses to a dozen requests and, with the URL in the first, to one for its image."""
    responses = [whole(host, port, raw) for raw in requests()]
    url = re.search(rb'"url": "(/files/[^"]+)"', responses[0])
    assert url is not None
    return [*responses, whole(host, port, message("GET", url[1].decode(), DEFAULT_API_KEY))]


def test_two_processes_and_a_thread_respond_the_same_to_the_byte() -> None:
    """Headers, dates, ids, signatures and images; and the thread once more after a reset."""
    with server_process(*FROZEN) as server, server_process(*FROZEN) as other:
        first = conversation(server.host, server.port)
        assert conversation(other.host, other.port) == first
    statuses = [int(response.split(b" ", 2)[1]) for response in first]
    assert statuses == [200, 200, 200, 400, 400, 401, 400, 201, 200, 404, 200, 400, 200]
    assert all(b"wed, 01 may 2024 12:00:00 gmt" in response.lower() for response in first)
    assert b"\x89PNG" in first[-1]
    assert first[0] != first[1]
    with FakeHost(seed=7, clock="2024-05-01T12:00:00Z", apps={"app-chat": "chat"}) as fake:
        port = int(fake.url.rpartition(":")[2])
        assert conversation("127.0.0.1", port) == first
        fake.clock.advance(1000)
        fake.reset()
        assert conversation("127.0.0.1", port) == first
