"""One replica of a fake: writes what it notes into the log in batches, follows the log, and has
commands performed by every replica in the same order.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import marshal
import time
import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from fake_server.shared.log import ALIVE_S, Log, LogError, Segment, Snapshot

if TYPE_CHECKING:
    from fake_server.shared.journal import SharedJournal

FLUSH_S = 0.02
"""What is noted is in the log at most so much later."""

NOTES = 100_000
"""So many notes wait for a log that cannot be reached; beyond it the oldest are dropped."""

_HEARTBEAT_S = ALIVE_S / 3
_ACKNOWLEDGED_S = 1.0
_PERFORMED_S = 5.0
_TURN_S = 0.005
_AGAIN_S = 0.25
_FORMAT = 4
"""Of ``marshal``: the same in every Python from 3.4 on."""

_log = logging.getLogger("fake_server")

Note = tuple[Any, ...]
"""A kind, and what is known of it, of ``marshal``'s types."""


class Performer(NamedTuple):
    """What performs commands: their effects and results are the same in every replica."""

    perform: Callable[..., Any]
    snapshot: Callable[[], Any]
    """The state that commands have made, in JSON."""
    restore: Callable[[Any], None]


class Replica:
    """A replica that follows ``log``."""

    def __init__(self, log: Log, journal: SharedJournal) -> None:
        self._shared, self._journal = log, journal
        self.receivers: dict[str, Callable[..., None]] = {}
        """What is called with each kind of note of others."""
        self._id = ""
        self._notes: list[Note] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._flush_at: asyncio.TimerHandle | None = None
        self._flushing = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._performer: Performer | None = None
        self._performed: dict[str, asyncio.Future[Any]] = {}
        self._position = self._commanded = 0
        self._moved = asyncio.Event()
        self.degraded = ""
        """Why the log cannot be reached; empty where it can."""

    # Beginning and end
    # ------------------------------------------------------------------------------------------

    async def start(self, performer: Performer) -> None:
        """Be as the others are. Raises ``LogError``."""
        self._performer = performer
        self._loop = asyncio.get_running_loop()
        self._id = uuid.uuid4().hex  # not earlier: workers are copies of one process
        await self._shared.connect(self._id)
        snapshot = await self._shared.load()
        if snapshot is not None:
            performer.restore(json.loads(snapshot.data))
            self._commanded = snapshot.position
        end = await self._shared.end()
        await self._shared.follow(self._received)
        await self._reach(end)
        self._keep(self._heartbeat())
        self.wake()

    async def stop(self) -> None:
        """Write what is left, and be gone."""
        if self._loop is None:
            return
        with contextlib.suppress(LogError):
            await self.flush()
        self._loop = None
        if self._flush_at is not None:
            self._flush_at.cancel()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._shared.close()

    async def _heartbeat(self) -> None:
        while self._loop is not None:
            await asyncio.sleep(_HEARTBEAT_S)
            await self._tell_position()

    async def _tell_position(self) -> None:
        with contextlib.suppress(LogError):
            await self._reached(self._shared.seen(self._position))

    def _keep(self, coroutine: Any) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Writing
    # ------------------------------------------------------------------------------------------

    def note(self, note: Note) -> None:
        """Have ``note`` in the log soon."""
        self._notes.append(note)
        if self._flush_at is None:
            self.wake()

    def wake(self, after_s: float = FLUSH_S) -> None:
        """Write what there is soon."""
        if self._flush_at is None and self._loop is not None:
            self._flush_at = self._loop.call_later(after_s, self._flush_now)

    def _flush_now(self) -> None:
        self._flush_at = None

        async def flush() -> None:
            with contextlib.suppress(LogError):
                await self.flush()

        self._keep(flush())

    async def flush(self) -> None:
        """Write everything that has been noted. Raises ``LogError``."""
        async with self._flushing:
            notes, self._notes = self._notes, []
            entries = self._journal.unsent()
            if not notes and not entries:
                return
            packed = [entry.packed() for entry in entries]
            data = marshal.dumps((notes, packed), _FORMAT)
            new = sum(not entry.number for entry in entries)
            try:
                segment = await self._reached(self._shared.append(data, new))
            except LogError:
                self._notes = (notes + self._notes)[-NOTES:]
                self._journal.send_again(entries)
                self.wake(_AGAIN_S)
                raise
            self._journal.number(entries, segment.base)

    async def _reached(self, call: Any) -> Any:
        """What ``call`` returns; keeps whether the log can be reached."""
        try:
            result = await call
        except LogError as error:
            if not self.degraded:
                _log.warning("the store cannot be reached: %s", error)
            self.degraded = str(error)
            raise
        if self.degraded:
            _log.info("the store is back")
            self.degraded = ""
        return result

    # Reading
    # ------------------------------------------------------------------------------------------

    def _received(self, segments: Sequence[Segment]) -> None:
        commanded = False
        for segment in segments:
            first, rest = marshal.loads(segment.data)  # noqa: S302  # of replicas alone
            if isinstance(first, str):
                commanded = True
                if segment.position > self._commanded or segment.position <= self._position:
                    self._commanded = segment.position
                    self._perform(first, json.loads(rest))
            elif segment.sender != self._id:
                for kind, *values in first:
                    receive = self.receivers.get(kind)
                    if receive is not None:  # else of a later version
                        receive(*values)
                if rest:
                    self._journal.receive(rest, segment.base)
            self._position = segment.position
        self._moved.set()
        if commanded:
            self._keep(self._tell_position())

    async def settled(self) -> None:
        """Return once all is known that any replica responded before. Raises ``LogError``."""
        await self.flush()
        if await self._reached(self._shared.others()):
            await asyncio.sleep(2 * FLUSH_S)
        await self._reach(await self._reached(self._shared.end()))

    async def _reach(self, position: int) -> None:
        until = time.monotonic() + _PERFORMED_S
        while self._position < position:
            self._moved.clear()
            try:
                await asyncio.wait_for(self._moved.wait(), until - time.monotonic())
            except TimeoutError:
                raise LogError("what others wrote does not come") from None

    async def count(self, name: bytes) -> int:
        """How often any replica has counted ``name``, this time among them."""
        count: int = await self._reached(self._shared.count(name))
        return count

    # Commands
    # ------------------------------------------------------------------------------------------

    async def everywhere(self, name: str, *arguments: Any) -> Any:
        """Have a command performed by all replicas; returns or raises what it does here, once all
        that are alive have performed it. Raises ``LogError``.
        """
        await self.flush()
        token = uuid.uuid4().hex
        data = marshal.dumps((token, json.dumps([name, *arguments])), _FORMAT)
        performed = self._performed[token] = asyncio.get_running_loop().create_future()
        try:
            segment = await self._reached(self._shared.append(data, 0))
            async with asyncio.timeout(_PERFORMED_S):
                result = await performed
        except TimeoutError:
            raise LogError("the command has not come back") from None
        finally:
            del self._performed[token]
        assert self._performer is not None
        state = json.dumps(self._performer.snapshot()).encode()
        await self._shared.save(Snapshot(self._commanded, state))
        if name == "reset":
            await self._shared.forget(segment.position)
        with contextlib.suppress(TimeoutError):  # a replica has died
            async with asyncio.timeout(_ACKNOWLEDGED_S):
                while await self._shared.behind(segment.position):  # noqa: ASYNC110
                    await asyncio.sleep(_TURN_S)
        return result

    def _perform(self, token: str, command: list[Any]) -> None:
        assert self._performer is not None
        waiting = self._performed.get(token)
        result, problem = None, None
        try:
            result = self._performer.perform(*command)
        except Exception as error:
            problem = error
        if waiting is not None and not waiting.done():
            if problem is None:
                waiting.set_result(result)
            else:
                waiting.set_exception(problem)
