"""Requests to an ASGI app without a socket: the test is the server, and holds both ends of the
exchange.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from starlette.types import ASGIApp, Message, Receive, Scope

RequestHeaders = Mapping[str, str] | Iterable[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class AsgiAnswer:
    """A whole answer; ``messages`` are all that the app sent, in order."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    messages: list[Message]

    def header(self, name: str) -> str | None:
        """The value of the only header ``name``, whatever its case; None where there is none."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) < 2, f"{name} is there {len(values)} times: {values}"
        return values[0] if values else None

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def chunks(self) -> list[bytes]:
        """The pieces of the body that are not empty."""
        return [message["body"] for message in self.messages[1:] if message.get("body")]


def call(
    app: ASGIApp,
    method: str,
    path: str,
    headers: RequestHeaders = (),
    body: bytes | Iterable[bytes] = b"",
) -> AsgiAnswer:
    """Send one request, its ``body`` in one piece or in several, and return the answer. The client
    never leaves.
    """
    return asyncio.run(exchange(app, scope(method, path, headers), client(body)))


async def exchange(app: ASGIApp, request: Scope, receive: Receive) -> AsgiAnswer:
    """Let ``app`` answer ``request``; what it sends must be one whole answer."""
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    await app(request, receive, send)
    return answer(messages)


def answer(messages: list[Message]) -> AsgiAnswer:
    """What ``messages`` say; fails where they are not one whole answer."""
    start, *parts = messages
    assert start["type"] == "http.response.start"
    assert all(part["type"] == "http.response.body" for part in parts)
    assert [bool(part.get("more_body")) for part in parts] == [True] * (len(parts) - 1) + [False]
    headers = [
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"]
    ]
    return AsgiAnswer(
        start["status"], headers, b"".join(part.get("body", b"") for part in parts), messages
    )


def scope(method: str, path: str, headers: RequestHeaders = (), http_version: str = "1.1") -> Scope:
    """The scope of a request for ``path`` (with its query, as on the request line); ``Host`` is
    added if missing.
    """
    raw_path, _, query = path.partition("?")
    pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
    if http_version == "1.1" and "host" not in {name.lower() for name, _ in pairs}:
        pairs.insert(0, ("Host", "127.0.0.1:6060"))
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": http_version,
        "method": method,
        "scheme": "http",
        "path": unquote(raw_path),
        "raw_path": raw_path.encode("ascii"),
        "root_path": "",
        "query_string": query.encode("ascii"),
        "headers": [
            (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in pairs
        ],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 6060),
    }


def client(body: bytes | Iterable[bytes] = b"", leaves: bool = False) -> Receive:
    """A client that sends ``body`` and then leaves, or stays for ever."""
    pieces = iter([body] if isinstance(body, bytes) else body)
    following: list[bytes | None] = [next(pieces, b"")]

    async def receive() -> Message:
        piece = following[0]
        if piece is not None:
            following[0] = next(pieces, None)
            return {"type": "http.request", "body": piece, "more_body": following[0] is not None}
        if not leaves:
            await asyncio.get_running_loop().create_future()
        return {"type": "http.disconnect"}

    return receive


def run_body(
    prompt: str = "a cat", mode: str = "blocking", user: str = "alg123", **inputs: str
) -> bytes:
    """The JSON of a run of the default app."""
    return json.dumps(
        {"inputs": {"prompt": prompt, **inputs}, "response_mode": mode, "user": user}
    ).encode()


def json_headers(api_key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}
