"""Sends a response with the faults that scenarios inject: cut, slowed down, broken off."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from starlette.types import Message

from fake_server.clock import Wait
from fake_server.http.request import Request
from fake_server.scenarios.effects import BodyFilter, Break, Pause, Segment


class BrokenOffError(Exception):
    """The connection was ended in the middle of the response, or the client has left."""


class FaultySend:
    """Sends the body of a response in the segments that the filters of ``request`` make of it, the
    head with the first of them.

    Pauses are counted from the time at which the bytes before them were due, not from when they
    were sent: moving the clock on releases all of them together.
    """

    def __init__(self, request: Request) -> None:
        self._filters = [make() for make in request.effects.body_filters]
        self._request = request
        self._wait = Wait(request.host.clock)
        self._due = request.host.clock.ticks()
        self._head: Message | None = None

    async def __call__(self, message: Message) -> None:
        """An ASGI send. Raises ``BrokenOffError`` where the response ends before its end."""
        if message["type"] == "http.response.start":
            self._head = message
            if self._request.due is not None:
                self._due = self._request.due
            return
        self._due = max(self._due, self._request.due or self._due)
        body, more = message.get("body"), message.get("more_body")
        segments = through_filters(self._filters, body) if body else iter(())
        if more:
            await self._send_segments(segments)
            return
        await self._send_segments(self._measured([*segments, *rest_of_filters(self._filters)]))
        await self._send_body(b"", more=False)

    def _measured(self, segments: list[Segment]) -> list[Segment]:
        """The last ``segments``; where they are the whole body, the head gets their length."""
        if self._head is not None and not any(isinstance(segment, Break) for segment in segments):
            length = str(
                sum(len(segment) for segment in segments if isinstance(segment, bytes))
            ).encode()
            headers = [
                (name, length if name == b"Content-Length" else value)
                for name, value in self._head["headers"]
            ]
            self._head = {**self._head, "headers": headers}
        return segments

    async def _send_segments(self, segments: Iterable[Segment]) -> None:
        for segment in segments:
            match segment:
                case Pause(seconds):
                    await self._pause(seconds)
                case Break(reset):
                    await self._request.break_off(reset)
                    raise BrokenOffError
                case _:
                    await self._send_body(segment, more=True)

    async def _send_body(self, data: bytes, more: bool) -> None:
        if self._head is not None:
            head, self._head = self._head, None
            await self._request.send(head)
        await self._request.send({"type": "http.response.body", "body": data, "more_body": more})

    async def _pause(self, seconds: float) -> None:
        speed = self._request.host.settings.speed
        if speed is None:
            return
        self._due += seconds / speed
        if not await self._wait.until(lambda: self._due, self._request.receive):
            if self._wait.over:
                await self._request.break_off()
            raise BrokenOffError


def through_filters(filters: Sequence[BodyFilter], chunk: bytes) -> Iterator[Segment]:
    """What the filters, one after the other, make of ``chunk``."""
    if not filters:
        yield chunk
        return
    for segment in filters[0].feed(chunk):
        if isinstance(segment, bytes):
            yield from through_filters(filters[1:], segment)
            continue
        if isinstance(segment, Break):
            yield from rest_of_filters(filters[1:])  # what they hold back goes before the end
        yield segment


def rest_of_filters(filters: Sequence[BodyFilter]) -> Iterator[Segment]:
    """What the filters still hold when the response is over."""
    for number, one in enumerate(filters, start=1):
        for segment in one.end():
            if isinstance(segment, bytes):
                yield from through_filters(filters[number:], segment)
                continue
            if isinstance(segment, Break):
                yield from rest_of_filters(filters[number:])
            yield segment
