"""Ways to break the fake from outside: what it hears, what it says and what it tells in a stream,
changed on the way.

    hearing     the request is changed before the host hears it: a lenient host is one that hears
    what was not said answering   a whole answer is changed before it is sent telling     the frames
    of a stream are changed as they pass cutting     the connection is closed in the middle of an
    answer

The first three take a *maker* of the change and not the change itself, called once for each server,
so that a change may remember what it saw before without one mutant's memory reaching another.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

RUN_PATH = "/v1/workflows/run"

Headers = tuple[tuple[bytes, bytes], ...]
Wrap = Callable[[ASGIApp], ASGIApp]


class CutOffError(Exception):
    """Raised while an answer is sent: the server closes the connection in the middle of the
    body.
    """


@dataclass(frozen=True, slots=True)
class Heard:
    """A request as the host hears it; header names in lower case."""

    method: str
    path: str
    query: str
    headers: Headers
    body: bytes

    @property
    def is_run(self) -> bool:
        return self.method == "POST" and self.path == RUN_PATH

    @property
    def is_file(self) -> bool:
        return self.path.startswith("/files/tools/")

    @property
    def json(self) -> Any:
        """The body as JSON, None where it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of a JSON object, none where the body is none."""
        return self.json if isinstance(self.json, dict) else {}

    def header(self, name: str) -> str | None:
        return next(
            (value.decode("latin-1") for key, value in self.headers if key == name.encode()), None
        )

    def with_header(self, name: str, value: str | None) -> Heard:
        """With this value for the header, or without the header."""
        kept = tuple(pair for pair in self.headers if pair[0] != name.encode())
        return replace(
            self,
            headers=kept if value is None else (*kept, (name.encode(), value.encode("latin-1"))),
        )

    def with_json(self, value: Any) -> Heard:
        body = json.dumps(value).encode()
        return replace(self, body=body).with_header("content-length", str(len(body)))

    def with_fields(self, **changes: Any) -> Heard:
        return self.with_json({**self.fields, **changes})


@dataclass(frozen=True, slots=True)
class Said:
    """A whole answer; header names in any case."""

    status: int
    headers: Headers
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON, None where it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    def header(self, name: str) -> str | None:
        return next(
            (
                v.decode("latin-1")
                for k, v in self.headers
                if k.decode("latin-1").lower() == name.lower()
            ),
            None,
        )

    def without_header(self, name: str) -> Said:
        return replace(
            self,
            headers=tuple(
                p for p in self.headers if p[0].decode("latin-1").lower() != name.lower()
            ),
        )

    def with_header(self, name: str, value: str) -> Said:
        """With this value in the header's old place, or at the end where it was not there."""
        new = (name.encode(), value.encode("latin-1"))
        if self.header(name) is None:
            return replace(self, headers=(*self.headers, new))
        return replace(
            self,
            headers=tuple(
                new if p[0].decode("latin-1").lower() == name.lower() else p for p in self.headers
            ),
        )

    def with_body(self, body: bytes) -> Said:
        """With another body, its length told if the old one's was."""
        said = replace(self, body=body)
        return (
            said
            if self.header("content-length") is None
            else said.with_header("Content-Length", str(len(body)))
        )

    def with_json(self, value: Any) -> Said:
        """With another JSON body in the host's style, the newline at its end kept."""
        return self.with_body(
            json.dumps(value).encode() + (b"\n" if self.body.endswith(b"\n") else b"")
        )


Hearing = Callable[[Heard], Heard]
Answering = Callable[[Heard, Said], Said]
Frames = AsyncIterator[bytes]
Telling = Callable[[Frames], Frames]


def hearing(make: Callable[[], Hearing]) -> Wrap:
    """The host hears each request as the change makes it."""

    def wrap(app: ASGIApp) -> ASGIApp:
        change = make()

        async def broken(scope: Scope, receive: Receive, send: Send) -> None:
            heard = await _heard(scope, receive)
            changed = change(heard)
            await app({**scope, **_scope_of(changed)}, _receiving(changed.body, receive), send)

        return broken

    return wrap


def answering(make: Callable[[], Answering], streams: bool = False) -> Wrap:
    """The client is told each answer as the change makes it; streams pass, unless ``streams`` holds
    them back whole.
    """

    def wrap(app: ASGIApp) -> ASGIApp:
        change = make()

        async def broken(scope: Scope, receive: Receive, send: Send) -> None:
            heard = await _heard(scope, receive)
            said: list[Message] = []

            async def hold(message: Message) -> None:
                said.append(message)
                if not streams and _is_stream(said[0]):
                    await send(message)
                elif message["type"] == "http.response.body" and not message.get("more_body"):
                    await _send(send, change(heard, _said(said)))

            await app(scope, _receiving(heard.body, receive), hold)

        return broken

    return wrap


def telling(make: Callable[[], Callable[[Heard], Telling]]) -> Wrap:
    """The frames of each stream are told as the change makes them, each as a chunk of its own."""

    def wrap(app: ASGIApp) -> ASGIApp:
        changes = make()

        async def broken(scope: Scope, receive: Receive, send: Send) -> None:
            heard = await _heard(scope, receive)
            messages: asyncio.Queue[Message] = asyncio.Queue()
            running = asyncio.ensure_future(
                app(scope, _receiving(heard.body, receive), messages.put)
            )
            try:
                start = await messages.get()
                await send(start)
                if not _is_stream(start):
                    await _pass_on(messages, send)
                    return
                async for piece in changes(heard)(_frames(messages)):
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
            finally:
                running.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await running

        return broken

    return wrap


def cutting(when: Callable[[Heard], bool]) -> Wrap:
    """The connection is closed after half of each whole answer to a request that ``when`` picks."""

    def wrap(app: ASGIApp) -> ASGIApp:
        async def broken(scope: Scope, receive: Receive, send: Send) -> None:
            heard = await _heard(scope, receive)

            async def cut(message: Message) -> None:
                body = message.get("body", b"")
                if not body or not when(heard):
                    await send(message)
                    return
                await send({**message, "body": body[: len(body) // 2], "more_body": True})
                raise CutOffError

            await app(scope, _receiving(heard.body, receive), cut)

        return broken

    return wrap


def chained(*wraps: Wrap) -> Wrap:
    """Broken in several places at once, the first of them nearest to the host."""

    def wrap(app: ASGIApp) -> ASGIApp:
        for one in wraps:
            app = one(app)
        return app

    return wrap


# Between ASGI and values
# ---------------------------------------------------------------------------------------------


async def _heard(scope: Scope, receive: Receive) -> Heard:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    return Heard(
        scope["method"],
        scope["path"],
        scope["query_string"].decode("latin-1"),
        tuple(scope["headers"]),
        body,
    )


def _scope_of(heard: Heard) -> Mapping[str, Any]:
    return {
        "method": heard.method,
        "path": heard.path,
        "raw_path": heard.path.encode(),
        "query_string": heard.query.encode("latin-1"),
        "headers": list(heard.headers),
    }


def _receiving(body: bytes, receive: Receive) -> Receive:
    """What was read already, then what comes."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again


def _is_stream(start: Message) -> bool:
    return any(
        k.lower() == b"content-type" and v.startswith(b"text/event-stream")
        for k, v in start["headers"]
    )


def _said(messages: list[Message]) -> Said:
    body = b"".join(message.get("body", b"") for message in messages[1:])
    return Said(messages[0]["status"], tuple(messages[0]["headers"]), body)


async def _send(send: Send, said: Said) -> None:
    await send(
        {"type": "http.response.start", "status": said.status, "headers": list(said.headers)}
    )
    await send({"type": "http.response.body", "body": said.body})


async def _pass_on(messages: asyncio.Queue[Message], send: Send) -> None:
    while True:
        message = await messages.get()
        await send(message)
        if not message.get("more_body"):
            return


async def _frames(messages: asyncio.Queue[Message]) -> Frames:
    """Each frame with its blank line, whatever chunks they came in."""
    pending = b""
    while True:
        message = await messages.get()
        *whole, pending = (pending + message.get("body", b"")).split(b"\n\n")
        for frame in whole:
            yield frame + b"\n\n"
        if not message.get("more_body"):
            return
