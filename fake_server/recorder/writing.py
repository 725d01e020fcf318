"""The process that writes. Redaction and the disk take their time, and none of it is the streams'.

It reads messages until it is told to finish or the proxy is gone. A body grows in a spool; an
exchange is written when its ``End`` has come, so that one which never ended leaves nothing. What
cannot be written is told on stderr at once.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from dify_wire.exchange import Recording
from dify_wire.recording.bodies import Spool
from dify_wire.recording.folder import RecordingWriter
from dify_wire.redaction.exchange import RecordingRedactor
from dify_wire.redaction.rules import RuleError, parse_rule
from dify_wire.redaction.suspicion import warning
from dify_wire.redaction.text import TextRedactor
from dify_wire.text_file import SpecError
from fake_server.recorder.image_urls import picture_path
from fake_server.recorder.labels import KeyLabels
from fake_server.recorder.settings import RecorderSettings

REQUEST, ANSWER = "request", "answer"

_MOST_WAITING = 64
"""Exchanges that have ended and wait to be written, each with at most a spool's memory; after that
nothing is read.
"""

_NICENESS = 10
"""On a busy machine the streams go first."""


@dataclass(frozen=True, slots=True)
class BodyChunk:
    """A chunk of the body of a request or an answer, ``at_s`` seconds after the request was
    sent.
    """

    exchange: int
    part: str
    at_s: float
    data: bytes


@dataclass(frozen=True, slots=True)
class End:
    """An exchange has ended. ``recording`` is all of it but the bodies; None where there is nothing
    to keep.
    """

    exchange: int
    recording: Recording | None


@dataclass(frozen=True, slots=True)
class Finish:
    """Nothing more will come: write what is whole, and say how much it was."""


@dataclass(slots=True)
class Written:
    """What has been written so far, and what could not be. ``bodies_lost`` counts bodies left out
    of recordings.
    """

    exchanges: int = 0
    pictures: int = 0
    lost: int = 0
    bodies_lost: int = 0


@dataclass(frozen=True, slots=True)
class Ready:
    """The folder can be written. ``leftovers`` are files of a recorder that was killed; they have
    been removed.
    """

    leftovers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """The folder or a rule cannot be used, and why."""

    setting: str
    message: str


class Writer(Protocol):
    """What writes an exchange: ``dify_wire.recording.folder.RecordingWriter``."""

    def spool(self) -> Spool: ...

    def write(
        self, exchange: Recording, answer: Spool | None = None, request: Spool | None = None
    ) -> Path: ...


@dataclass(slots=True)
class _Open:
    """An exchange that has not ended. ``lost`` says why it cannot be kept."""

    spools: dict[str, Spool] = field(default_factory=dict)
    lost: str = ""

    def discard(self) -> None:
        for spool in self.spools.values():
            with contextlib.suppress(
                OSError
            ):  # a full disk may refuse even the last bytes of what is thrown away
                spool.discard()
        self.spools.clear()


class ExchangeWriter:
    """Takes messages and writes exchanges. ``warn`` is told of each loss; nothing that the disk
    does is raised.

    ``progress`` is called with what is written after each exchange.
    """

    def __init__(
        self,
        writer: Writer,
        labels: KeyLabels,
        warn: Callable[[str], None],
        progress: Callable[[Written], None] = lambda _: None,
    ) -> None:
        self.written = Written()
        self._writer = writer
        self._labels = labels
        self._warn = warn
        self._progress = progress
        self._open: dict[int, _Open] = {}
        self._thread = ThreadPoolExecutor(1, "writing")
        self._waiting = threading.Semaphore(_MOST_WAITING)
        self._host_version = ""

    def take(self, message: BodyChunk | End) -> None:
        """Note a chunk, or write an exchange that has ended; waits where too many wait already."""
        if isinstance(message, BodyChunk):
            self._note(message)
            return
        exchange = self._open.pop(message.exchange, None) or _Open()
        if message.recording is None:
            exchange.discard()
            return
        self._waiting.acquire()
        self._thread.submit(self._write, message.recording, exchange)

    def left_out(self, what: str) -> None:
        """Count a body that is left out of its recording."""
        self.written.bodies_lost += 1
        self._warn(what)

    def finish(self) -> Written:
        """Write what has ended, drop what has not, and say how much it was."""
        self._thread.shutdown()
        for exchange in self._open.values():
            exchange.discard()
        return self.written

    def _note(self, chunk: BodyChunk) -> None:
        exchange = self._open.setdefault(chunk.exchange, _Open())
        if exchange.lost:
            return
        try:
            if chunk.part not in exchange.spools:
                exchange.spools[chunk.part] = self._writer.spool()
            exchange.spools[chunk.part].add(chunk.at_s, chunk.data)
        except OSError as error:
            exchange.lost = _reason(error)
            exchange.discard()
            self._warn(
                f"the disk takes no more of an exchange that is under way ({exchange.lost}); it is lost"
            )

    def _write(self, recording: Recording, exchange: _Open) -> None:
        try:
            if exchange.lost:
                self.written.lost += 1
                return
            self._place(self._labelled(recording), exchange)
            has_picture = is_picture(recording)
            self.written.pictures += has_picture
            self.written.exchanges += not has_picture
        except (
            Exception
        ) as error:  # whatever it is, the exchanges after this one are still to be kept
            self.written.lost += 1
            what = f"{recording.request.method} {recording.request.path}"
            self._warn(f"{what} could not be written ({_reason(error)}); it is lost")
        finally:
            self._progress(self.written)
            exchange.discard()
            self._waiting.release()

    def _place(self, recording: Recording, exchange: _Open) -> None:
        self._writer.write(recording, exchange.spools.get(ANSWER), exchange.spools.get(REQUEST))

    def _labelled(self, recording: Recording) -> Recording:
        """With what is known of the app, and of the host from this answer or an earlier one."""
        self._host_version = recording.header("x-version") or self._host_version
        return replace(recording, app=self._labels.app(recording), host_version=self._host_version)


def is_picture(recording: Recording) -> bool:
    """Whether it is the whole file of a run's image, whoever fetched it."""
    return (
        recording.request.method == "GET"
        and recording.status == 200
        and recording.ended == "complete"
        and picture_path(recording.request.target) is not None
    )


def run(connection: Any, settings: RecorderSettings, counts: Any) -> None:
    """The process: ``connection`` brings lists of messages, and takes ``Ready`` or ``Refused``,
    later ``Written``.

    ``counts`` is shared memory for ``written_in``, which outlives a process that is killed.
    """
    for sig in (signal.SIGINT, signal.SIGTERM):
        signal.signal(
            sig, signal.SIG_IGN
        )  # the proxy takes them, and says when there is nothing more to write
    os.nice(_NICENESS)
    opened = _opened(settings)
    if isinstance(opened, Refused):
        connection.send(opened)
        return
    writer, labels = opened
    connection.send(Ready(writer.leftovers))
    text = redactor(settings).text
    exchange_writer = ExchangeWriter(
        writer, labels, lambda message: _warn(text(message)), partial(_share, counts)
    )
    writer.left_out = exchange_writer.left_out
    with writer:
        finished = _take_all(connection, exchange_writer)
        written = exchange_writer.finish()
    if message := warning(settings.to, writer.suspicions):
        _warn(message)
    if finished:
        connection.send(written)


def redactor(settings: RecorderSettings) -> TextRedactor:
    """Keeps out of the log what is kept out of the recordings."""
    keys = [key for key, _ in settings.key_labels]
    return TextRedactor(keys, [parse_rule(text) for text in settings.rules], settings.keep_user)


def _opened(settings: RecorderSettings) -> tuple[RecordingWriter, KeyLabels] | Refused:
    try:
        rules = [parse_rule(text) for text in settings.rules]
        redactor = RecordingRedactor(
            dict(settings.key_labels), rules=rules, keep_user=settings.keep_user
        )
        return RecordingWriter(settings.to, redactor), KeyLabels(redactor.keys)
    except RuleError as error:
        return Refused("redact", str(error))
    except SpecError as error:
        return Refused("to", str(error))


def written_in(counts: Sequence[int]) -> Written:
    """What the writing process has written, by its ``counts``."""
    return Written(*counts)


def _share(counts: Any, written: Written) -> None:
    counts[:] = astuple(written)


def _take_all(connection: Any, exchange_writer: ExchangeWriter) -> bool:
    """Take messages; whether the end was told, as it is not when the proxy was killed."""
    while True:
        try:
            messages = connection.recv()
        except (EOFError, OSError):
            return False
        for message in messages:
            if isinstance(message, Finish):
                return True
            exchange_writer.take(message)


def _warn(message: str) -> None:
    print(f"Warning: {message}", file=sys.stderr, flush=True)  # noqa: T201  # stderr is where the recorder speaks


def _reason(error: BaseException) -> str:
    strerror = getattr(error, "strerror", None)
    return strerror or str(error) or type(error).__name__
