"""Sends a response with the faults that scenarios inject: cut, slowed down, broken off."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from starlette.types import Message

from fake_server.http.request import Request
from fake_server.scenarios.effects import Break, Pause, Piece, PieceMaker
from fake_server.waiting import Wait


class BrokenOffError(Exception):
    """The connection was ended in the middle of the response, or the client has left."""


class FaultySend:
    """Sends the body of a response in the pieces that ``makers`` make of it; the head goes with the
    first of them.

    Pauses are counted from the time at which the bytes before them were due, not from when they
    were sent: moving the clock on releases all of them together.
    """

    def __init__(self, makers: Sequence[PieceMaker], request: Request) -> None:
        self._makers = makers
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
        pieces = through_makers(self._makers, body) if body else iter(())
        if more:
            await self._send_pieces(pieces)
            return
        await self._send_pieces(self._measured([*pieces, *rest_of_makers(self._makers)]))
        await self._send_body(b"", more=False)

    def _measured(self, pieces: list[Piece]) -> list[Piece]:
        """The last ``pieces``; where they are all there are, the head gets their length instead of
        the body's own.
        """
        if self._head is not None and not any(isinstance(piece, Break) for piece in pieces):
            length = str(sum(len(piece) for piece in pieces if isinstance(piece, bytes))).encode()
            headers = [
                (name, length if name == b"Content-Length" else value)
                for name, value in self._head["headers"]
            ]
            self._head = {**self._head, "headers": headers}
        return pieces

    async def _send_pieces(self, pieces: Iterable[Piece]) -> None:
        for piece in pieces:
            match piece:
                case Pause(seconds):
                    await self._pause(seconds)
                case Break(reset):
                    await self._request.break_off(reset)
                    raise BrokenOffError
                case _:
                    await self._send_body(piece, more=True)

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


def through_makers(makers: Sequence[PieceMaker], chunk: bytes) -> Iterator[Piece]:
    """What the makers, one after the other, make of ``chunk``."""
    if not makers:
        yield chunk
        return
    for piece in makers[0].feed(chunk):
        if isinstance(piece, bytes):
            yield from through_makers(makers[1:], piece)
            continue
        if isinstance(piece, Break):
            yield from rest_of_makers(makers[1:])  # what they hold back goes before the end
        yield piece


def rest_of_makers(makers: Sequence[PieceMaker]) -> Iterator[Piece]:
    """What the makers still hold when the response is over."""
    for number, maker in enumerate(makers, start=1):
        for piece in maker.end():
            if isinstance(piece, bytes):
                yield from through_makers(makers[number:], piece)
                continue
            if isinstance(piece, Break):
                yield from rest_of_makers(makers[number:])
            yield piece
