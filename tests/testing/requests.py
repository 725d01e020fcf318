"""Runs as bytes, for hosts that listen."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from fake_server.testing import FakeHost
from tests.serving import Connection, RawAnswer


def run(fake: FakeHost, **fields: Any) -> bytes:
    """A blocking run, as bytes; ``fields`` replaces parts of its body."""
    body = {"inputs": {"prompt": "a cat"}, "response_mode": "blocking", "user": "u", **fields}
    return message("POST", "/v1/workflows/run", fake.api_key, json.dumps(body).encode())


def message(
    method: str, path: str, api_key: str, body: bytes = b"", kind: str = "application/json"
) -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: fake\r\nAuthorization: Bearer {api_key}\r\n"
    return f"{head}Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def connected(fake: FakeHost) -> Connection:
    to = urlsplit(fake.url)
    return Connection(to.hostname or "", to.port or 0)


def sent(fake: FakeHost, raw: bytes) -> RawAnswer:
    """The answer to ``raw`` on a connection of its own."""
    with connected(fake) as connection:
        return connection.exchange(raw)


def finished(fake: FakeHost, **fields: Any) -> dict[str, Any]:
    """The ``data`` of a blocking run that succeeds over HTTP."""
    answer = sent(fake, run(fake, **fields))
    assert answer.status == 200
    data: dict[str, Any] = json.loads(answer.body)["data"]
    return data


def image_url(data: dict[str, Any]) -> str:
    url: str = data["outputs"]["files"][0]["url"]
    return url
