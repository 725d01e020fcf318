"""The way to the process that writes: a queue with a bound, a thread that empties it, and the
answer at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import queue
import threading
from collections.abc import Callable
from dataclasses import fields, replace
from multiprocessing.connection import Connection
from typing import Protocol

from dify_wire.recording.folder import remove_unfinished
from fake_server.recorder.settings import RecorderSettings
from fake_server.recorder.writing import (
    BodyChunk,
    End,
    Finish,
    Ready,
    Refused,
    Written,
    run,
    written_in,
)
from fake_server.settings import SettingsError

ROOM_BYTES = 64 << 20
"""What may wait for the writing process. Beyond it the streams wait, so that memory is bounded."""

ROOM_WAIT_S = 5.0
"""How long a stream waits for room; then it goes on, and its recording is lost."""

FINISH_S = 15.0
"""How long the writing process may take at the end for what still waits: half of it to take it
over, half to write.
"""

_MESSAGE_COST_BYTES = 512
_START_S = 60.0

Message = BodyChunk | End | Finish


class Channel(Protocol):
    """The proxy's end of the pipe."""

    def send(self, obj: object, /) -> None: ...

    def poll(self, timeout: float, /) -> bool: ...

    def recv(self) -> object: ...

    def close(self) -> None: ...


class WritingQueue:
    """Hands messages over ``channel``. ``warn`` is told when the process is gone; the streams go on
    without it.

    ``progress`` says what the process has written so far, even when it is gone. ``put``, ``room``
    and ``lose`` belong to the event loop; ``finish`` may be called when it has ended.
    """

    def __init__(
        self,
        channel: Channel,
        warn: Callable[[str], None],
        progress: Callable[[], Written] = Written,
    ) -> None:
        self._channel = channel
        self._warn = warn
        self._progress = progress
        self._queue: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._waiting_bytes = 0
        self._room = asyncio.Event()
        self._room.set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._gone = False
        self._ends = 0
        self._lost = 0
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

    async def room(self, within_s: float = ROOM_WAIT_S) -> bool:
        """Wait until no more than ``ROOM_BYTES`` wait; False where that takes longer than
        ``within_s``.
        """
        if self._room.is_set():
            return True
        try:
            await asyncio.wait_for(self._room.wait(), within_s)
        except TimeoutError:
            return False
        return True

    def lose(self, exchange: int) -> None:
        """Give up the recording of an exchange that is under way."""
        self._lost += 1
        self.put(End(exchange, None))
        self._warn("the process that writes cannot keep up; an exchange that is under way is lost")

    def finish(self, within_s: float = FINISH_S) -> Written:
        """Have everything written that has ended, and say how much it was; what takes longer is
        lost.
        """
        self._queue.put(Finish())
        self._thread.join(within_s / 2)
        written = self._answer(0.0 if self._thread.is_alive() else within_s / 2)
        self._channel.close()
        return replace(written, lost=written.lost + self._lost)

    def _answer(self, within_s: float) -> Written:
        if not self._gone:
            try:
                if self._channel.poll(within_s):
                    written = self._channel.recv()
                    assert isinstance(written, Written)
                    return written
                self._gone = True
                self._warn("the process that writes takes too long for the rest, which is lost")
            except (EOFError, OSError):
                self._tell_gone()
        written = self._progress()
        return replace(written, lost=self._ends - written.exchanges - written.pictures)

    def _send_all(self) -> None:
        finishing = False
        while not finishing:
            batch = self._batch()
            finishing = any(isinstance(message, Finish) for message in batch)
            self._send(batch)
            self._make_room(sum(map(_cost_bytes, batch)))

    def _batch(self) -> list[Message]:
        """What waits now, at least one message; together, because each crossing costs both
        processes some time.
        """
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
        self._warn(
            "the process that writes has ended; nothing is recorded any more, and all that was not is lost"
        )

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
    """The process, started and ready. Raises ``SettingsError`` where its folder or a rule cannot be
    used.
    """

    def __init__(self, settings: RecorderSettings) -> None:
        context = multiprocessing.get_context(
            "spawn"
        )  # nothing of the proxy's sockets is to live on in it
        self.channel: Connection
        self.channel, theirs = context.Pipe()
        self._counts = context.RawArray("Q", len(fields(Written)))
        self._folder = settings.to
        arguments = (theirs, settings, self._counts)
        self._process = context.Process(target=run, args=arguments, name="writing", daemon=True)
        self._process.start()
        theirs.close()
        self.leftovers = self._ready().leftovers

    def written(self) -> Written:
        """What it has written so far; also after its end."""
        return written_in(self._counts)

    def join(self, within_s: float = 1.0) -> None:
        """Wait for its end, which follows that of its channel. Where it takes longer, it is killed
        and swept after.
        """
        self._process.join(within_s)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
            remove_unfinished(self._folder)

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
        raise SettingsError(
            "to", "the process that writes did not start; what it said stands above"
        )
