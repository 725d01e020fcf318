"""ASGI middleware that breaks the fake from outside: requests, responses and streams changed on the
way.

``change_requests``, ``change_responses`` and ``change_streams`` take a *maker* of the change,
called once for each server, so that a change may remember what it saw without one mutant's memory
reaching another. What a change raises is kept in ``CRASHES``: a mutant that crashes shows nothing
about the suite. Only ``CutOffError`` is raised on purpose.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

RUN_PATH = "/v1/workflows/run"

Headers = tuple[tuple[bytes, bytes], ...]
Wrap = Callable[[ASGIApp], ASGIApp]

CRASHES: list[str] = []
"""What mutants' own code raised in this process since it was cleared."""


class CutOffError(Exception):
    """Raised while a response is sent: the server closes the connection in the middle of the
    body.
    """


@contextlib.contextmanager
def crashes_kept() -> Iterator[None]:
    """Keep what is raised within, and raise it again."""
    try:
        yield
    except CutOffError:
        raise
    except Exception as error:
        CRASHES.append(f"{type(error).__name__}: {error}")
        raise


def _loads(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _header(headers: Headers, name: str) -> str | None:
    wanted = name.lower().encode()
    return next((value.decode("latin-1") for key, value in headers if key.lower() == wanted), None)


@dataclass(frozen=True, slots=True)
class Request:
    """A request as the host gets it; header names in lower case."""

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
        """The body as JSON, None where it is not JSON."""
        return _loads(self.body)

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of a JSON object, empty where the body is none."""
        value = self.json
        return value if isinstance(value, dict) else {}

    @property
    def inputs(self) -> dict[str, Any]:
        """The inputs of a run, empty where they are not an object."""
        value = self.fields.get("inputs")
        return value if isinstance(value, dict) else {}

    @property
    def key(self) -> str:
        """What follows the scheme in Authorization."""
        return (self.header("authorization") or "").partition(" ")[2].strip()

    def header(self, name: str) -> str | None:
        return _header(self.headers, name)

    def with_header(self, name: str, value: str | None) -> Request:
        """With this value for the header, or without the header."""
        others = tuple(pair for pair in self.headers if pair[0] != name.encode())
        added = () if value is None else ((name.encode(), value.encode("latin-1")),)
        return replace(self, headers=(*others, *added))

    def with_body(self, body: bytes) -> Request:
        return replace(self, body=body).with_header("content-length", str(len(body)))

    def with_json(self, value: Any) -> Request:
        return self.with_body(json.dumps(value).encode())

    def with_fields(self, **changes: Any) -> Request:
        return self.with_json({**self.fields, **changes})

    def with_inputs(self, **changes: Any) -> Request:
        return self.with_fields(inputs={**self.inputs, **changes})


@dataclass(frozen=True, slots=True)
class Response:
    """A whole response; header names in any case."""

    status: int
    headers: Headers
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON, None where it is not JSON."""
        return _loads(self.body)

    @property
    def media_type(self) -> str:
        return (self.header("content-type") or "").partition(";")[0]

    def header(self, name: str) -> str | None:
        return _header(self.headers, name)

    def with_status(self, status: int) -> Response:
        return replace(self, status=status)

    def without_header(self, name: str) -> Response:
        others = (p for p in self.headers if p[0].decode("latin-1").lower() != name.lower())
        return replace(self, headers=tuple(others))

    def with_header(self, name: str, value: str) -> Response:
        """With this value in the header's old place, or at the end where it was not there."""
        new = (name.encode(), value.encode("latin-1"))
        if self.header(name) is None:
            return replace(self, headers=(*self.headers, new))
        is_it = name.lower().encode()
        return replace(
            self, headers=tuple(new if p[0].lower() == is_it else p for p in self.headers)
        )

    def with_body(self, body: bytes) -> Response:
        """With another body, and its Content-Length where there was one."""
        response = replace(self, body=body)
        if self.header("content-length") is None:
            return response
        return response.with_header("Content-Length", str(len(body)))

    def with_json(self, value: Any, **style: Any) -> Response:
        """With another JSON body in the host's style, the newline at its end kept."""
        newline = b"\n" if self.body.endswith(b"\n") else b""
        return self.with_body(json.dumps(value, **style).encode() + newline)


RequestChange = Callable[[Request], Request]
ResponseChange = Callable[[Request, Response], Response]
Frames = AsyncIterator[bytes]
StreamChange = Callable[[Frames], Frames]


def change_requests(make: Callable[[], RequestChange]) -> Wrap:
    """The host gets each request as the change makes it."""

    def wrap(app: ASGIApp) -> ASGIApp:
        change = make()

        async def mutant_app(scope: Scope, receive: Receive, send: Send) -> None:
            request = await _request(scope, receive)
            with crashes_kept():
                changed = change(request)
            changed_scope = {
                **scope,
                "method": changed.method,
                "path": changed.path,
                "raw_path": changed.path.encode(),
                "query_string": changed.query.encode("latin-1"),
                "headers": list(changed.headers),
            }
            await app(changed_scope, _receiving(changed.body, receive), send)

        return mutant_app

    return wrap


def change_responses(make: Callable[[], ResponseChange], streams: bool = False) -> Wrap:
    """The client gets each response as the change makes it; streams pass, unless ``streams`` holds
    them back whole.
    """

    def wrap(app: ASGIApp) -> ASGIApp:
        change = make()

        async def mutant_app(scope: Scope, receive: Receive, send: Send) -> None:
            request = await _request(scope, receive)
            messages: list[Message] = []

            async def hold(message: Message) -> None:
                messages.append(message)
                if not streams and _is_stream(messages[0]):
                    await send(message)
                elif message["type"] == "http.response.body" and not message.get("more_body"):
                    with crashes_kept():
                        response = change(request, _response(messages))
                    await _send(send, response)

            await app(scope, _receiving(request.body, receive), hold)

        return mutant_app

    return wrap


def change_streams(make: Callable[[], Callable[[Request], StreamChange]]) -> Wrap:
    """The client gets the changed frames of each stream, each as a chunk of its own."""

    def wrap(app: ASGIApp) -> ASGIApp:
        changes = make()

        async def mutant_app(scope: Scope, receive: Receive, send: Send) -> None:
            request = await _request(scope, receive)
            messages: asyncio.Queue[Message] = asyncio.Queue()
            running = asyncio.ensure_future(
                app(scope, _receiving(request.body, receive), messages.put)
            )
            try:
                start = await messages.get()
                await send(start)
                if not _is_stream(start):
                    await _pass_on(messages, send)
                    return
                with crashes_kept():
                    async for piece in changes(request)(_frames(messages)):
                        await send({"type": "http.response.body", "body": piece, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
            finally:
                running.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await running

        return mutant_app

    return wrap


def cut_off(when: Callable[[Request], bool]) -> Wrap:
    """Close the connection after half of each whole response to a request that ``when`` picks."""

    def wrap(app: ASGIApp) -> ASGIApp:
        async def mutant_app(scope: Scope, receive: Receive, send: Send) -> None:
            request = await _request(scope, receive)
            with crashes_kept():
                is_cut = when(request)

            async def cut(message: Message) -> None:
                body = message.get("body", b"")
                if not (body and is_cut):
                    await send(message)
                    return
                await send({**message, "body": body[: len(body) // 2], "more_body": True})
                raise CutOffError

            await app(scope, _receiving(request.body, receive), cut)

        return mutant_app

    return wrap


def chain(*wraps: Wrap) -> Wrap:
    """Several changes at once, the first of them nearest to the host."""

    def wrap(app: ASGIApp) -> ASGIApp:
        for one in wraps:
            app = one(app)
        return app

    return wrap


# Between ASGI and values
# ---------------------------------------------------------------------------------------------


async def _request(scope: Scope, receive: Receive) -> Request:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    return Request(
        scope["method"],
        scope["path"],
        scope["query_string"].decode("latin-1"),
        tuple(scope["headers"]),
        body,
    )


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


def _response(messages: list[Message]) -> Response:
    body = b"".join(message.get("body", b"") for message in messages[1:])
    return Response(messages[0]["status"], tuple(messages[0]["headers"]), body)


async def _send(send: Send, response: Response) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": response.status,
            "headers": list(response.headers),
        }
    )
    await send({"type": "http.response.body", "body": response.body})


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
