"""Keeps what a host answers to the checks' own requests, as recordings (docs/recordings.md).

An exchange is written as soon as it has ended, beside the judging: nothing whole is lost when that
is cut short.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from contract.current_check import CLOCK_MOVED, CURRENT_CHECK, SIDE_REQUEST
from contract.target import Capabilities, Transport
from dify_wire.exchange import MAIN, Exchange, Recording, Request
from dify_wire.recording.folder import RecordingWriter, is_recordings_folder, read_folder
from dify_wire.redaction.exchange import RecordingRedactor
from dify_wire.redaction.rules import Rule
from dify_wire.text_file import RecordingError

PREFLIGHT_NAME = "preflight"
"""The name of what is asked before the first check: whether the host can be judged at all."""


class Sender(Transport, Protocol):
    """A transport that can say what it makes of a request."""

    def as_sent(self, request: Request) -> Request: ...


@dataclass(slots=True)
class Kept:
    """What has been written, and what has not.

    Left out are exchanges ``without_answer`` and those ``at_another_time``; ``lost`` are others
    with the reason.
    """

    exchanges: int = 0
    pictures: int = 0
    without_answer: int = 0
    at_another_time: int = 0
    lost: list[str] = field(default_factory=list)


def keys_of(capabilities: Capabilities) -> dict[str, str]:
    """The label of each key that was lent; the workflow app's is ``main``."""
    return {capabilities.api_key: MAIN} | {key: kind for kind, key in capabilities.app_keys.items()}


def open_folder(folder: Path, append: bool) -> list[str]:
    """The names of the recordings that are in ``folder`` already.

    Raises ``RecordingError`` where there are some and nothing is to be appended, or anything else
    is in it.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return []
    if not is_recordings_folder(folder):
        raise RecordingError(
            folder, "the folder", "it is none of recordings; name an empty one, or a new one"
        )
    if not any(folder.glob("*.yaml")):
        return []
    if not append:
        message = "there are recordings in it; name another one, or add to it with --append"
        raise RecordingError(folder, "the folder", message)
    return [recording.name for recording in read_folder(folder)]


def redactor(
    capabilities: Capabilities, rules: Sequence[Rule], keep_user: bool
) -> RecordingRedactor:
    """One that keeps to itself what ``capabilities`` holds."""
    return RecordingRedactor(
        keys_of(capabilities), secrets=capabilities.secrets, rules=rules, keep_user=keep_user
    )


class Recorder:
    """A transport that hands every exchange of ``sender`` to ``keep``, in the order in which they
    end.
    """

    def __init__(
        self, sender: Sender, host: str, keys: Mapping[str, str], names: Iterable[str] = ()
    ) -> None:
        self._sender = sender
        self._host = host
        self._keys = keys
        self._lock = threading.Lock()
        self._named = Counter(names)
        self._host_version = ""
        self._keep: Callable[[Recording], None] = lambda _: None
        self._held: list[Recording] = []
        self.without_answer = 0
        self.at_another_time = 0

    def into(self, keep: Callable[[Recording], None]) -> Recorder:
        """This recorder, with whoever is to have the recordings."""
        self._keep = keep
        return self

    def send(self, request: Request, on_chunk: Callable[[bytes], None] | None = None) -> Exchange:
        exchange = self._sender.send(request, on_chunk)
        if SIDE_REQUEST.get():
            return exchange
        with self._lock:
            if exchange.status is None:
                self.without_answer += 1
            elif CLOCK_MOVED.get():
                self.at_another_time += 1
            else:
                self._hand_over(self._recording(exchange), bool(CURRENT_CHECK.get()))
        return exchange

    def _hand_over(self, recording: Recording, of_a_check: bool) -> None:
        """What is asked before the first check waits for it: a host that cannot be judged leaves no
        recording.
        """
        self._held.append(recording)
        if of_a_check:
            for held in self._held:
                self._keep(held)
            self._held.clear()

    def _recording(self, exchange: Exchange) -> Recording:
        assert exchange.status is not None
        sent = self._sender.as_sent(exchange.request)
        self._host_version = exchange.header("x-version") or self._host_version
        return Recording(
            name=self._name(CURRENT_CHECK.get() or PREFLIGHT_NAME),
            app=self._app(exchange.request),
            sent_at=exchange.sent_at,
            host=self._host,
            host_version=self._host_version,
            request=sent,
            status=exchange.status,
            reason=exchange.reason,
            headers=exchange.headers,
            chunks=exchange.chunks,
            seconds=exchange.seconds,
            ended=exchange.ended,
        )

    def _name(self, asking: str) -> str:
        """The check's name, with a number from the second exchange on."""
        while True:
            self._named[asking] += 1
            number = self._named[asking]
            name = asking if number == 1 else f"{asking}_{number}"
            if number == 1 or name not in self._named:
                return name

    def _app(self, request: Request) -> str | None:
        credentials = request.header("authorization", "").partition(" ")[2]
        return self._keys.get(credentials.strip())


class FolderKeeper:
    """Writes recordings with ``writer`` on a thread of its own; what the disk refuses is told by
    ``kept``.
    """

    def __init__(self, writer: RecordingWriter) -> None:
        self._writer = writer
        self._thread = ThreadPoolExecutor(1, "recording")
        self.kept = Kept()
        writer.left_out = self.kept.lost.append

    def keep(self, recording: Recording) -> None:
        self._thread.submit(self._write, recording)

    def finish(self) -> None:
        """Wait until everything is written."""
        self._thread.shutdown()

    def _write(self, recording: Recording) -> None:
        try:
            self._writer.write(recording)
        except (
            Exception
        ) as error:  # whatever it is, the exchanges after this one are still to be kept
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            self.kept.lost.append(f"{recording.name} could not be written ({reason})")
        else:
            self.kept.exchanges += 1
            self.kept.pictures += recording.media_type.startswith("image/")
