"""An answer on its way to a client, troubled by the scenarios of its request: cut, slowed down,
broken off.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from starlette.types import Message, Receive, Scope, Send

from fake_server.clock import Clock
from fake_server.http.connection import break_off
from fake_server.http.scope import DUE
from fake_server.scenarios.effects import Break, Pause, Piece, PieceMaker
from fake_server.waiting import Wait


class BrokenOffError(Exception):
    """The connection has been ended in the middle of the answer, or there is nobody left to get
    it.
    """


class TroubledSend:
    """Sends an answer's body in the pieces that ``makers`` make of it; its head goes with the first
    of them.

    Pauses are counted from the moment at which the bytes before them were due, not from when they
    could be sent: a clock that has been moved on releases all of them together.
    """

    def __init__(
        self,
        makers: Sequence[PieceMaker],
        asgi: tuple[Scope, Receive, Send],
        clock: Clock,
        speed: float | None,
    ) -> None:
        self._makers = makers
        self._scope, self._receive, self._send = asgi
        self._clock = clock
        self._speed = speed
        self._wait = Wait(clock)
        self._due: float = self._scope.get(DUE, clock.ticks())
        self._head: Message | None = None

    async def __call__(self, message: Message) -> None:
        """An ASGI send. Raises ``BrokenOffError`` where the answer ends before its end."""
        if message["type"] == "http.response.start":
            self._head = message
            return
        self._due = max(self._due, self._scope.get(DUE, self._due))
        body, more = message.get("body"), message.get("more_body")
        pieces = _through(self._makers, body) if body else iter(())
        if more:
            await self._pass_on(pieces)
            return
        await self._pass_on(self._measured([*pieces, *_rest(self._makers)]))
        await self._body(b"", more=False)

    def _measured(self, pieces: list[Piece]) -> list[Piece]:
        """The last ``pieces``; where they are all there is, the head gets their length instead of
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

    async def _pass_on(self, pieces: Iterable[Piece]) -> None:
        for piece in pieces:
            match piece:
                case Pause(seconds):
                    await self._pause(seconds)
                case Break(reset):
                    await self._break_off(reset)
                case _:
                    await self._body(piece, more=True)

    async def _body(self, data: bytes, more: bool) -> None:
        if self._head is not None:
            head, self._head = self._head, None
            await self._send(head)
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

    async def _pause(self, seconds: float) -> None:
        if self._speed is None:
            return
        self._due += seconds / self._speed
        if not await self._wait.until(lambda: self._due, self._receive):
            if self._wait.over:
                await self._break_off(reset=False)
            raise BrokenOffError

    async def _break_off(self, reset: bool) -> None:
        await break_off(self._scope, self._receive, reset)
        raise BrokenOffError


def _through(makers: Sequence[PieceMaker], chunk: bytes) -> Iterator[Piece]:
    """What the makers, one after the other, make of ``chunk``."""
    if not makers:
        yield chunk
        return
    for piece in makers[0].feed(chunk):
        if isinstance(piece, bytes):
            yield from _through(makers[1:], piece)
            continue
        if isinstance(piece, Break):
            yield from _rest(makers[1:])  # whatever holds bytes back sends them before it ends
        yield piece


def _rest(makers: Sequence[PieceMaker]) -> Iterator[Piece]:
    """What the makers still have when the answer is over."""
    for number, maker in enumerate(makers, start=1):
        for piece in maker.end():
            if isinstance(piece, bytes):
                yield from _through(makers[number:], piece)
                continue
            if isinstance(piece, Break):
                yield from _rest(makers[number:])
            yield piece
