"""Writes exchanges while streams go on: neither redaction nor the disk ever holds one up.

A body grows in a spool; what does not fit into memory is written by a thread. When an exchange
ends, a process of its own redacts and writes it, and reports what could not be written.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import threading
import time
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
from typing import NamedTuple

from dify_wire.exchange import Headers, Recording, Request
from dify_wire.recording.bodies import IN_MEMORY, Spool
from dify_wire.recording.folder import RecordingWriter, remove_unfinished
from dify_wire.redaction.exchange import RecordingRedactor
from dify_wire.redaction.rules import RuleError, parse_rule
from dify_wire.redaction.suspicion import warning
from dify_wire.redaction.text import TextRedactor
from dify_wire.strict import counted
from dify_wire.text_file import SpecError
from fake_server.recorder.settings import KeyLabels, RecorderSettings
from fake_server.recorder.upstream import RawHeaders, UpstreamRequest, UpstreamResponse, image_path
from fake_server.settings import SettingsError

WAITING_BYTES = 64 << 20
"""What may wait to be written, in bytes of memory. Beyond it new exchanges wait."""

CAPACITY_WAIT_S = 5.0
"""How long an exchange or a stream waits for the writer; then it goes on without being recorded."""

STUCK_S = 15.0
"""If the writer writes nothing for so long at the end, what still waits is lost."""

REPORT_S = 2.0
"""How often the writer reports at the end that it is not done."""

_EXCHANGE_BYTES = 2048
"""What an exchange takes in memory beside its bodies, roughly."""

_NICENESS = 10
"""On a busy machine the streams go first."""

_TOGETHER_S = 0.05
"""How long an exchange waits for others to be handed over with: each time wakes four threads, while
a client may be waiting.
"""

MOST_TOGETHER = 16
"""How many exchanges are handed over at once; their results come at once too."""

_START_S = 60.0
_POLL_S = 0.05


@dataclass(slots=True)
class Written:
    """What was written and what was not; ``bodies_lost`` are bodies left out of recordings."""

    exchanges: int = 0
    images: int = 0
    lost: int = 0
    bodies_lost: int = 0


class Ended(NamedTuple):
    """An exchange that has ended, its bodies beside it; ``size`` is what it takes in memory."""

    recording: Recording
    response: Spool
    request: Spool
    size: int


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


def _write(batch: list[Ended]) -> list[list[str] | Exception]:
    """Write exchanges; returns for each a sentence for each body that is left out, or why it could
    not be written.
    """
    return [_result(ended) for ended in batch]


def _result(ended: Ended) -> list[str] | Exception:
    try:
        return _workers[0].write(ended.recording, ended.response, ended.request)
    except Exception as error:  # whatever it is, the next exchanges are still to be written
        return error


def _close() -> str:
    """Close the folder; returns a warning of what looks secret in it, or nothing."""
    writer = _workers.pop().writer
    writer.close()
    return warning(writer.folder, writer.suspicions)


def _prepare_process() -> None:
    """The proxy handles signals; if it is killed without ending this process, this process ends."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if hasattr(os, "nice"):  # not on Windows
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
    ``kill`` ends the process if it is stuck at the end. All but ``finish`` belongs to the event
    loop.
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
        self._unwritten = 0
        self._ended: list[Ended] = []
        self._pending: set[Future[list[list[str] | Exception]]] = set()
        self._is_gone = False
        self._is_counted = False
        """What ends now has been counted as lost."""

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

    async def add(self, spool: Spool, at_s: float, chunks: list[bytes]) -> None:
        """Add to a spool. Raises ``OSError`` and ``TimeoutError``."""
        if spool.in_memory and spool.size + sum(map(len, chunks)) <= IN_MEMORY:
            _add(spool, at_s, chunks)
            return
        added = asyncio.wrap_future(self._disk.submit(_add, spool, at_s, chunks))
        await asyncio.wait_for(asyncio.shield(added), CAPACITY_WAIT_S)

    def write(self, recording: Recording, response: Spool, request: Spool) -> None:
        """Write an exchange that has ended, together with others that end soon."""
        size = _EXCHANGE_BYTES + sum(one.size for one in (response, request) if one.in_memory)
        with self._lock:
            self._waiting_bytes += size
            self._unwritten += 1
        if not self._ended:
            asyncio.get_running_loop().call_later(_TOGETHER_S, self._submit_ended)
        self._ended.append(Ended(recording, response, request, size))

    def _submit_ended(self) -> None:
        ended, self._ended = self._ended, []
        for at in range(0, len(ended), MOST_TOGETHER):
            self._disk.submit(self._submit, ended[at : at + MOST_TOGETHER])

    def discard(self, *spools: Spool) -> None:
        """Drop the bodies of an exchange."""
        self._disk.submit(_discard, spools)

    def lose(self, why: str) -> None:
        """Count an exchange that is not recorded, and warn."""
        with self._lock:
            self.written.lost += 1
        self._warn(why)

    def finish(
        self, report: Callable[[str], object], at_once: bool = False, stuck_s: float = STUCK_S
    ) -> Written:
        """Wait until all is written, and say how much it was; ``report`` gets what it waits for.

        What is not written is lost if nothing is written for ``stuck_s`` seconds, at Ctrl-C, or
        with ``at_once`` after a moment.
        """
        if not at_once:
            self._submit_ended()
        try:
            why = "the recorder ends at once" if at_once else self._wait(report, stuck_s)
        except KeyboardInterrupt:
            why = "the recorder ends at once"
        if self._unwritten:
            self._give_up(why)
        elif not self._is_gone:
            with suppress(BrokenProcessPool, TimeoutError):
                if message := self._executor.submit(_close).result(stuck_s):
                    self._warn(message)
        self._disk.shutdown(wait=False, cancel_futures=True)
        self._executor.shutdown(wait=not self._is_gone, cancel_futures=True)
        return self.written

    def _wait(self, report: Callable[[str], object], stuck_s: float) -> str:
        """Wait until all is written, or writing is stuck; returns why it waits no longer."""
        left, now = -1, time.monotonic()
        progress_at = reported_at = now
        while self._unwritten:
            if self._unwritten != left:
                left, progress_at = self._unwritten, now
            elif now - progress_at > stuck_s:
                return f"nothing has been written for {stuck_s:g} s"
            if now - reported_at > REPORT_S:
                report(f"Writing the last {counted(left, 'exchange')}; Ctrl-C loses them.")
                reported_at = now
            time.sleep(_POLL_S)
            now = time.monotonic()
        wait([self._disk.submit(_discard, ())], stuck_s)  # what was discarded before
        return ""

    def _give_up(self, why: str) -> None:
        """End the process that writes, and count what it has not written as lost."""
        self._is_gone = True
        self._kill()
        # The executor cancels what waits; a future cancelled here would be an error in its thread.
        self._executor.shutdown(wait=False, cancel_futures=True)
        wait(set(self._pending), 1.0)
        with self._lock:
            self.written.lost += self._unwritten
            self._unwritten = 0
            self._is_counted = True
        remove_unfinished(self._folder)
        self._warn(f"{why}: {counted(self.written.lost, 'exchange')} lost")

    def _warn(self, message: str) -> None:
        self._warn_unredacted(self._redactor.text(message))

    def _submit(self, batch: list[Ended]) -> None:
        """In the thread, after what it still adds to the spools."""
        try:
            for ended in batch:
                ended.response.close()
                ended.request.close()
            future = self._executor.submit(_write, batch)
        except (OSError, RuntimeError) as error:
            future = Future()
            future.set_exception(error)
        self._pending.add(future)
        future.add_done_callback(lambda done: self._note_results(done, batch))

    def _note_results(self, done: Future[list[list[str] | Exception]], batch: list[Ended]) -> None:
        self._pending.discard(done)
        error = CancelledError() if done.cancelled() else done.exception()
        if isinstance(error, BrokenProcessPool | CancelledError) and not self._is_gone:
            self._is_gone = True
            self._warn(
                "the process that writes has ended; nothing is recorded any more,"
                " and all that was not is lost"
            )
        results = [error] * len(batch) if error else done.result()
        for ended, result in zip(batch, results, strict=True):
            self._note_result(ended, result)

    def _note_result(self, ended: Ended, result: list[str] | BaseException | None) -> None:
        recording = ended.recording
        _discard((ended.response, ended.request))
        error = result if isinstance(result, BaseException) else None
        left_out = result if isinstance(result, list) else []
        if error and not isinstance(error, BrokenProcessPool | CancelledError):
            what = f"{recording.request.method} {recording.request.path}"
            self._warn(f"{what} could not be written ({_reason(error)}); it is lost")
        for message in left_out:
            self._warn(message)
        image = is_image(recording)
        with self._lock:
            if self._is_counted:
                return
            self._waiting_bytes -= ended.size
            self._unwritten -= 1
            self.written.lost += error is not None
            self.written.images += image and not error
            self.written.exchanges += not image and not error
            self.written.bodies_lost += len(left_out)


def start_writer(settings: RecorderSettings, warn: Callable[[str], None]) -> ExchangeWriter:
    """A writer with a process of its own. Raises ``SettingsError`` for a bad folder or rule."""
    # Spawned, so that nothing of the proxy's sockets lives on in the process.
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(1, context, _prepare_process)
    try:
        pid = executor.submit(os.getpid).result(_START_S)
        kill = getattr(signal, "SIGKILL", signal.SIGTERM)  # on Windows the second ends at once, too
        return ExchangeWriter(settings, executor, warn, lambda: os.kill(pid, kill))
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


def _add(spool: Spool, at_s: float, chunks: list[bytes]) -> None:
    for data in chunks:
        spool.add(at_s, data)


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
        await self._add(self._request, 0.0, [data])

    async def add_response_chunks(self, at_s: float, chunks: list[bytes]) -> None:
        """Add chunks that arrived together, ``at_s`` seconds after the request."""
        await self._add(self._response, round(at_s, 6), chunks)

    async def _add(self, spool: Spool, at_s: float, chunks: list[bytes]) -> None:
        if not self._writer:
            return
        try:
            await self._writer.add(spool, at_s, chunks)
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
