"""Writes exchanges while streams go on: neither redaction nor the disk ever holds one up.

A body grows in a spool; what does not fit into memory is written by a thread. When an exchange
ends, a process of its own redacts and writes it, and tells what could not be written.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import (
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import wait as wait_for_end
from pathlib import Path

from dify_wire.exchange import Headers, Recording, Request
from dify_wire.recording.bodies import IN_MEMORY, Spool
from dify_wire.recording.folder import RecordingWriter, remove_unfinished
from dify_wire.redaction.exchange import RecordingRedactor
from dify_wire.redaction.rules import RuleError, parse_rule
from dify_wire.redaction.suspicion import warning
from dify_wire.redaction.text import TextRedactor
from dify_wire.text_file import SpecError
from fake_server.recorder.labels import KeyLabels
from fake_server.recorder.settings import RecorderSettings
from fake_server.recorder.upstream import RawHeaders, UpstreamRequest, UpstreamResponse
from fake_server.recorder.urls import image_path
from fake_server.settings import SettingsError

WAITING_BYTES = 64 << 20
"""What may wait to be written, in bytes of memory. Beyond it new exchanges wait."""

CAPACITY_WAIT_S = 5.0
"""How long an exchange or a stream waits for the writer; then it goes on without being recorded."""

FINISH_S = 15.0
"""How long the writer may take at the end for what still waits."""

_EXCHANGE_BYTES = 2048
"""What an exchange takes in memory beside its bodies, roughly."""

_NICENESS = 10
"""On a busy machine the streams go first."""

_START_S = 60.0
_POLL_S = 0.05


@dataclass(slots=True)
class Written:
    """What was written and what was not; ``bodies_lost`` are bodies left out of recordings."""

    exchanges: int = 0
    images: int = 0
    lost: int = 0
    bodies_lost: int = 0


# In the process that writes


class _Worker:
    """Writes exchanges into one folder, with what is known of apps and host."""

    def __init__(self, settings: RecorderSettings) -> None:
        rules = [parse_rule(text) for text in settings.rules]
        labels = dict(settings.key_labels)
        redactor = RecordingRedactor(labels, rules=rules, keep_user=settings.keep_user)
        self.lock = threading.Lock()
        self.writer = RecordingWriter(settings.to, redactor)
        self._labels = KeyLabels(redactor.keys)
        self._host_version = ""

    def write(self, recording: Recording, response: Spool, request: Spool) -> list[str]:
        left_out: list[str] = []
        self._host_version = recording.header("x-version") or self._host_version
        app = self._labels.app(recording)
        with self.lock:
            self.writer.left_out = left_out.append
            self.writer.write(
                replace(recording, app=app, host_version=self._host_version),
                response if response.size else None,
                request if request.size else None,
            )
        return left_out


_workers: list[_Worker] = []


def _open(settings: RecorderSettings) -> tuple[str, ...]:
    """Open the folder; returns the unfinished files of a recorder that was killed."""
    _workers[:] = [_Worker(settings)]
    return _workers[0].writer.leftovers


def _write(recording: Recording, response: Spool, request: Spool) -> list[str]:
    """Write one exchange; returns a sentence for each body that is left out."""
    return _workers[0].write(recording, response, request)


def _close() -> str:
    """Close the folder; returns a warning of what looks secret in it, or nothing."""
    writer = _workers.pop().writer
    writer.close()
    return warning(writer.folder, writer.suspicions)


def _prepare_process() -> None:
    """The proxy handles signals; if it is killed, so that it tells nothing, this process ends."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    os.nice(_NICENESS)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait_for_end([parent.sentinel])
    if _workers:
        with _workers[0].lock:
            remove_unfinished(_workers[0].writer.folder)
            os._exit(1)
    os._exit(1)


# In the proxy


class ExchangeWriter:
    """Has exchanges written by ``executor``, in whose process the folder is opened.

    ``warn`` is called for each loss. ``leftovers`` are the files of a recorder that was killed.
    ``kill`` ends the process if it takes too long at the end. All but ``finish`` belongs to the
    event loop.
    """

    def __init__(
        self,
        settings: RecorderSettings,
        executor: Executor,
        warn: Callable[[str], None],
        kill: Callable[[], None] = lambda: None,
    ) -> None:
        self.written = Written()
        self.leftovers = executor.submit(_open, settings).result(_START_S)
        self._folder = settings.to
        self._executor = executor
        self._kill = kill
        self._redactor = redactor(settings)
        self._warn_unredacted = warn
        self._disk = ThreadPoolExecutor(1, "spooling")
        self._lock = threading.Lock()
        self._waiting_bytes = 0
        self._pending: set[Future[list[str]]] = set()
        self._is_gone = False

    @property
    def folder(self) -> Path:
        return self._folder

    async def has_capacity(self, within_s: float = CAPACITY_WAIT_S) -> bool:
        """Wait until not too much waits to be written; False if that takes too long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self._waiting_bytes > WAITING_BYTES:  # noqa: ASYNC110  # other threads end it
                    await asyncio.sleep(_POLL_S)
        return self._waiting_bytes <= WAITING_BYTES

    async def add(self, spool: Spool, at_s: float, data: bytes) -> None:
        """Add to a spool. Raises ``OSError`` and ``TimeoutError``."""
        if spool.in_memory and spool.size + len(data) <= IN_MEMORY:
            spool.add(at_s, data)
            return
        added = asyncio.wrap_future(self._disk.submit(spool.add, at_s, data))
        await asyncio.wait_for(asyncio.shield(added), CAPACITY_WAIT_S)

    def write(self, recording: Recording, response: Spool, request: Spool) -> None:
        """Write an exchange that has ended."""
        size = _EXCHANGE_BYTES + sum(one.size for one in (response, request) if one.in_memory)
        with self._lock:
            self._waiting_bytes += size
        self._disk.submit(self._submit, recording, response, request, size)

    def discard(self, *spools: Spool) -> None:
        """Drop the bodies of an exchange."""
        self._disk.submit(_discard, spools)

    def lose(self, why: str) -> None:
        """Count an exchange that is not recorded, and warn."""
        with self._lock:
            self.written.lost += 1
        self._warn(why)

    def finish(self, within_s: float = FINISH_S) -> Written:
        """Wait until all is written, and say how much it was; what takes longer is lost."""
        wait([self._disk.submit(lambda: None)], within_s / 2)
        _, late = wait(set(self._pending), within_s)
        if late:
            if not self._is_gone:
                self._warn("the process that writes takes too long for the rest, which is lost")
            self._is_gone = True
            self._kill()
            for future in late:
                future.cancel()
            wait(late, 1.0)
            remove_unfinished(self._folder)
        elif not self._is_gone:
            with suppress(BrokenProcessPool, TimeoutError):
                if message := self._executor.submit(_close).result(within_s):
                    self._warn(message)
        self._disk.shutdown(wait=False)
        self._executor.shutdown(wait=not late, cancel_futures=True)
        return self.written

    def _warn(self, message: str) -> None:
        self._warn_unredacted(self._redactor.text(message))

    def _submit(self, recording: Recording, response: Spool, request: Spool, size: int) -> None:
        """In the thread, after what it still adds to the spools."""
        try:
            response.close()
            request.close()
            future = self._executor.submit(_write, recording, response, request)
        except (OSError, RuntimeError) as error:
            future = Future()
            future.set_exception(error)
        self._pending.add(future)
        future.add_done_callback(
            lambda done: self._note_result(done, recording, (response, request), size)
        )

    def _note_result(
        self, done: Future[list[str]], recording: Recording, spools: tuple[Spool, ...], size: int
    ) -> None:
        self._pending.discard(done)
        _discard(spools)
        try:
            left_out = done.result()
        except (BrokenProcessPool, CancelledError):
            self._note_loss(size)
            if not self._is_gone:
                self._is_gone = True
                self._warn(
                    "the process that writes has ended; nothing is recorded any more,"
                    " and all that was not is lost"
                )
        except Exception as error:  # whatever it is, the next exchanges are still to be written
            self._note_loss(size)
            what = f"{recording.request.method} {recording.request.path}"
            self._warn(f"{what} could not be written ({_reason(error)}); it is lost")
        else:
            with self._lock:
                self._waiting_bytes -= size
                image = is_image(recording)
                self.written.images += image
                self.written.exchanges += not image
                self.written.bodies_lost += len(left_out)
            for message in left_out:
                self._warn(message)

    def _note_loss(self, size: int) -> None:
        with self._lock:
            self._waiting_bytes -= size
            self.written.lost += 1


def start_writer(settings: RecorderSettings, warn: Callable[[str], None]) -> ExchangeWriter:
    """A writer with a process of its own. Raises ``SettingsError`` for a bad folder or rule."""
    # Spawned, so that nothing of the proxy's sockets lives on in the process.
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(1, context, _prepare_process)
    try:
        pid = executor.submit(os.getpid).result(_START_S)
        return ExchangeWriter(settings, executor, warn, lambda: os.kill(pid, signal.SIGKILL))
    except RuleError as error:
        setting, message = "redact", str(error)
    except SpecError as error:
        setting, message = "to", str(error)
    except (BrokenProcessPool, TimeoutError):
        setting, message = "to", "the process that writes did not start; its output is above"
    executor.shutdown(wait=False, cancel_futures=True)
    raise SettingsError(setting, message)


def redactor(settings: RecorderSettings) -> TextRedactor:
    """Keeps out of messages what is kept out of the recordings."""
    keys = [key for key, _ in settings.key_labels]
    return TextRedactor(keys, [parse_rule(text) for text in settings.rules], settings.keep_user)


def is_image(recording: Recording) -> bool:
    """Whether it is the whole file of a run's image, whoever fetched it."""
    return (
        recording.request.method == "GET"
        and recording.status == 200
        and recording.ended == "complete"
        and image_path(recording.request.target) is not None
    )


def _discard(spools: tuple[Spool, ...]) -> None:
    for spool in spools:
        with suppress(OSError):  # a full disk may refuse even the last bytes of what is dropped
            spool.discard()


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


class OpenExchange:
    """One exchange with ``host`` under way; ``note`` is for whoever reads the recording.

    Without a ``writer`` nothing is recorded.
    """

    def __init__(self, writer: ExchangeWriter | None, host: str, note: str = "") -> None:
        self._writer = writer
        self._host = host
        self._note = note
        folder = writer.folder if writer else Path()
        self._request, self._response = Spool(folder), Spool(folder)

    async def start(self) -> None:
        """Wait a bounded time for the writer if it is behind."""
        if self._writer and not await self._writer.has_capacity():
            self._lose("the process that writes cannot keep up; an exchange is lost")

    async def add_request_chunk(self, data: bytes) -> None:
        await self._add(self._request, 0.0, data)

    async def add_response_chunk(self, at_s: float, data: bytes) -> None:
        """Add a chunk that arrived ``at_s`` seconds after the request."""
        await self._add(self._response, round(at_s, 6), data)

    async def _add(self, spool: Spool, at_s: float, data: bytes) -> None:
        if not self._writer:
            return
        try:
            await self._writer.add(spool, at_s, data)
        except TimeoutError:
            self._lose("the disk cannot keep up; an exchange that is under way is lost")
        except OSError as error:
            why = f"the disk takes no more of an exchange that is under way ({_reason(error)})"
            self._lose(f"{why}; it is lost")

    def discard(self) -> None:
        """There is nothing to record."""
        if self._writer:
            self._writer.discard(self._request, self._response)
            self._writer = None

    def end(
        self, request: UpstreamRequest, response: UpstreamResponse, seconds: float, ended: str
    ) -> None:
        """Record the exchange, which took ``seconds``; ``ended`` is one of ``ENDS``."""
        if not self._writer:
            return
        recording = Recording(
            name="",  # the file is named after the request, once that is redacted
            note=self._note,
            sent_at=request.sent_at,
            host=self._host,
            request=Request(request.method, _text(request.target), _texts(request.headers)),
            status=response.status,
            reason=response.reason,
            headers=_texts(response.headers),
            seconds=round(seconds, 6),
            ended=ended,
        )
        self._writer.write(recording, self._response, self._request)
        self._writer = None

    def _lose(self, why: str) -> None:
        if self._writer:
            self._writer.lose(why)
        self.discard()


def _texts(headers: RawHeaders) -> Headers:
    return tuple((_text(name), _text(value)) for name, value in headers)


def _text(data: bytes) -> str:
    return data.decode("latin-1")
