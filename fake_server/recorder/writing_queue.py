"""The way to the process that writes: a queue with a bound, a thread that empties it, and the answer at the end."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import queue
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Protocol

from fake_server.recorder.settings import RecorderSettings
from fake_server.recorder.writing import BodyChunk, End, Finish, Ready, Refused, Written, run
from fake_server.settings import SettingsError

ROOM_BYTES = 64 << 20
"""What may wait for the writing process. Beyond it the streams wait: memory is bounded, and nothing is lost."""

_MESSAGE_COST_BYTES = 512
_START_S = 60.0
_END_S = 10.0

Message = BodyChunk | End | Finish


class Channel(Protocol):
    """The proxy's end of the pipe."""

    def send(self, obj: object, /) -> None: ...

    def recv(self) -> object: ...

    def close(self) -> None: ...


class WritingQueue:
    """Hands messages over ``channel``. ``warn`` is told when the process is gone; the streams go on without it.

    ``put`` and ``room`` belong to the event loop; ``finish`` may be called when it has ended.
    """

    def __init__(self, channel: Channel, warn: Callable[[str], None]) -> None:
        self._channel = channel
        self._warn = warn
        self._queue: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._waiting_bytes = 0
        self._room = asyncio.Event()
        self._room.set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._gone = False
        self._ends = 0
        self._thread = threading.Thread(target=self._send_all, name="writing queue", daemon=True)
        self._thread.start()

    def put(self, message: BodyChunk | End) -> None:
        """Hand over ``message``, at once and whatever waits already."""
        if isinstance(message, End) and message.recording is not None:
            self._ends += 1
        with self._lock:
            self._waiting_bytes += _cost_bytes(message)
            full = self._waiting_bytes > ROOM_BYTES
        if full:
            self._loop = asyncio.get_running_loop()
            self._room.clear()
        self._queue.put(message)

    async def room(self) -> None:
        """Wait until no more than ``ROOM_BYTES`` wait."""
        if not self._room.is_set():
            await self._room.wait()

    def finish(self) -> Written:
        """Have everything written that has ended, and say how much it was."""
        self._queue.put(Finish())
        self._thread.join()
        written = self._answer()
        self._channel.close()
        return written

    def _answer(self) -> Written:
        try:
            if not self._gone:
                written = self._channel.recv()  # it may have much to write; if it dies, this ends too
                assert isinstance(written, Written)
                return written
        except (EOFError, OSError):
            pass
        if not self._gone:
            self._tell_gone()
        return Written(lost=self._ends)  # some may be there; none of them has been confirmed

    def _send_all(self) -> None:
        finishing = False
        while not finishing:
            batch = self._batch()
            finishing = any(isinstance(message, Finish) for message in batch)
            self._send(batch)
            self._make_room(sum(map(_cost_bytes, batch)))

    def _batch(self) -> list[Message]:
        """What waits now, at least one message; together, because each crossing costs both processes some time."""
        batch, size = [self._queue.get()], 0
        while size < 1 << 20 and not self._queue.empty():
            batch.append(self._queue.get())
            size += _cost_bytes(batch[-1])
        return batch

    def _send(self, batch: list[Message]) -> None:
        if self._gone:
            return
        try:
            self._channel.send(batch)
        except (OSError, ValueError):
            self._tell_gone()

    def _tell_gone(self) -> None:
        self._gone = True
        self._warn("the process that writes has ended; nothing is recorded any more, and all that was not is lost")

    def _make_room(self, size: int) -> None:
        with self._lock:
            self._waiting_bytes -= size
            free = self._waiting_bytes <= ROOM_BYTES // 2
        if free and self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody waits any more
                self._loop.call_soon_threadsafe(self._room.set)


def _cost_bytes(message: Message) -> int:
    return _MESSAGE_COST_BYTES + (len(message.data) if isinstance(message, BodyChunk) else 0)


class WritingProcess:
    """The process, started and ready. Raises ``SettingsError`` where its folder or a rule cannot be used."""

    def __init__(self, settings: RecorderSettings) -> None:
        context = multiprocessing.get_context("spawn")  # nothing of the proxy's sockets is to live on in it
        self.channel: Connection
        self.channel, theirs = context.Pipe()
        self._process = context.Process(target=run, args=(theirs, settings), name="writing", daemon=True)
        self._process.start()
        theirs.close()
        self.leftovers = self._ready().leftovers

    def join(self) -> None:
        """Wait for its end, which follows that of its channel."""
        self._process.join(_END_S)

    def _ready(self) -> Ready:
        try:
            said = self.channel.recv() if self.channel.poll(_START_S) else None
        except EOFError:
            said = None
        if isinstance(said, Ready):
            return said
        self._process.kill()
        self._process.join()
        if isinstance(said, Refused):
            raise SettingsError(said.setting, said.message)
        raise SettingsError("to", "the process that writes did not start; what it said stands above")
