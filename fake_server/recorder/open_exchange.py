"""What passes, noted with its time and handed to the queue: after it has been passed on, never
before.
"""

from __future__ import annotations

from itertools import count

from dify_wire.exchange import Headers, Recording, Request
from fake_server.recorder.upstream import Answer, RawHeaders, UpstreamRequest
from fake_server.recorder.writing import ANSWER, REQUEST, BodyChunk, End
from fake_server.recorder.writing_queue import ROOM_WAIT_S, WritingQueue

_numbers = count(1)


class OpenExchange:
    """One exchange with ``host``, from its request to its end; ``note`` says what a reader should
    know of it.

    Where the queue has no room for ``room_wait_s``, the recording is given up, and the exchange
    goes on.
    """

    def __init__(
        self, queue: WritingQueue, host: str, note: str = "", room_wait_s: float = ROOM_WAIT_S
    ) -> None:
        self._queue = queue
        self._host = host
        self._note = note
        self._room_wait_s = room_wait_s
        self._number = next(_numbers)
        self._given_up = False

    async def asked(self, data: bytes) -> None:
        """A chunk of the request's body; waits a bounded time where the queue has no room."""
        await self._note_chunk(BodyChunk(self._number, REQUEST, 0.0, data))

    async def came(self, at_s: float, data: bytes) -> None:
        """A chunk of the answer's body, ``at_s`` seconds after the request; waits as ``asked``
        does.
        """
        await self._note_chunk(BodyChunk(self._number, ANSWER, round(at_s, 6), data))

    def forget(self) -> None:
        """There is nothing to keep."""
        self._queue.put(End(self._number, None))

    async def _note_chunk(self, chunk: BodyChunk) -> None:
        if self._given_up:
            return
        self._queue.put(chunk)
        if not await self._queue.room(self._room_wait_s):
            self._given_up = True
            self._queue.lose(self._number)

    def end(self, request: UpstreamRequest, answer: Answer, seconds: float, ended: str) -> None:
        """The exchange is over, ``seconds`` after the request; ``ended`` says how."""
        if self._given_up:
            return
        recording = Recording(
            name="",  # the file is called after the request, once that is redacted
            app=None,
            note=self._note,
            sent_at=request.asked_at,
            host=self._host,
            host_version="",
            request=Request(request.method, _text(request.target), _texts(request.headers), b""),
            status=answer.status,
            reason=answer.reason,
            headers=_texts(answer.headers),
            chunks=(),
            seconds=round(seconds, 6),
            ended=ended,
        )
        self._queue.put(End(self._number, recording))


def _texts(headers: RawHeaders) -> Headers:
    return tuple((_text(name), _text(value)) for name, value in headers)


def _text(data: bytes) -> str:
    return data.decode("latin-1")
