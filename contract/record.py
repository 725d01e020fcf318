"""Records what a host sends to the requests of the checks (docs/recordings.md).

An exchange is written as soon as it has ended, beside the checks: nothing is lost on an interrupt.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from contract.check import CLOCK_MOVED, CURRENT_CHECK, SIDE_REQUEST
from contract.target import Capabilities, Transport
from dify_wire.app_kind import MAIN
from dify_wire.exchange import Exchange, Recording, Request
from dify_wire.recording.folder import RecordingWriter, is_recordings_folder, read_folder
from dify_wire.text_file import RecordingError

PREFLIGHT_NAME = "preflight"
"""The name of the requests before the first check, which find out if checks can run at all."""


class Sender(Transport, Protocol):
    """A transport that knows how it sends a request."""

    def as_sent(self, request: Request) -> Request: ...


def keys_of(capabilities: Capabilities) -> dict[str, str]:
    """The label of each key; the workflow app's is ``main``."""
    return {capabilities.api_key: MAIN} | {key: kind for kind, key in capabilities.app_keys.items()}


def open_folder(folder: Path, append: bool) -> list[str]:
    """The names of the recordings that are in ``folder`` already.

    Raises ``RecordingError`` if there are some and not ``append``, or if it holds anything else.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return []
    if not is_recordings_folder(folder):
        message = "it is not a recordings folder; name an empty one, or a new one"
        raise RecordingError(folder, "the folder", message)
    if not any(folder.glob("*.yaml")):
        return []
    if not append:
        message = "there are recordings in it; name another one, or add to it with --append"
        raise RecordingError(folder, "the folder", message)
    return [recording.name for recording in read_folder(folder)]


class Recorder:
    """A transport that passes the exchanges of ``sender`` to ``write``, in the order they end.

    Those before the first check wait for it: a host that cannot be checked leaves no recording.
    Counted are exchanges ``without_response``, and those ``while_clock_moved``.
    """

    def __init__(
        self,
        sender: Sender,
        host: str,
        keys: Mapping[str, str],
        write: Callable[[Recording], None],
        names: Iterable[str] = (),
    ) -> None:
        self._sender = sender
        self._host = host
        self._keys = keys
        self._write = write
        self._names = Counter(names)
        self._lock = threading.Lock()
        self._host_version = ""
        self._waiting: list[Recording] = []
        self.without_response = 0
        self.while_clock_moved = 0

    def send(self, request: Request, on_chunk: Callable[[bytes], None] | None = None) -> Exchange:
        exchange = self._sender.send(request, on_chunk)
        if SIDE_REQUEST.get():
            return exchange
        with self._lock:
            if exchange.status is None:
                self.without_response += 1
            elif CLOCK_MOVED.get():
                self.while_clock_moved += 1
            else:
                self._waiting.append(self._recording(exchange, exchange.status))
                if CURRENT_CHECK.get():
                    for recording in self._waiting:
                        self._write(recording)
                    self._waiting.clear()
        return exchange

    def _recording(self, exchange: Exchange, status: int) -> Recording:
        self._host_version = exchange.header("x-version") or self._host_version
        credentials = exchange.request.header("authorization", "").partition(" ")[2]
        return Recording(
            name=self._name(CURRENT_CHECK.get() or PREFLIGHT_NAME),
            app=self._keys.get(credentials.strip()),
            sent_at=exchange.sent_at,
            host=self._host,
            host_version=self._host_version,
            request=self._sender.as_sent(exchange.request),
            status=status,
            reason=exchange.reason,
            headers=exchange.headers,
            chunks=exchange.chunks,
            seconds=exchange.seconds,
            ended=exchange.ended,
        )

    def _name(self, check: str) -> str:
        """The check's name, with a number from the second exchange on."""
        while True:
            self._names[check] += 1
            number = self._names[check]
            name = check if number == 1 else f"{check}_{number}"
            if number == 1 or name not in self._names:
                return name


class BackgroundWriter:
    """Writes recordings in a thread, while checks run; ``lost`` says what could not be written."""

    def __init__(self, writer: RecordingWriter) -> None:
        self._writer = writer
        self._thread = ThreadPoolExecutor(1, "recording")
        self.exchanges = 0
        self.images = 0
        self.lost: list[str] = []
        writer.left_out = self.lost.append

    def write(self, recording: Recording) -> None:
        self._thread.submit(self._write, recording)

    def finish(self) -> None:
        """Wait until everything is written."""
        self._thread.shutdown()

    def _write(self, recording: Recording) -> None:
        try:
            self._writer.write(recording)
        except Exception as error:  # whatever it is, the next exchanges are still to be written
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            self.lost.append(f"{recording.name} could not be written ({reason})")
        else:
            self.exchanges += 1
            self.images += recording.media_type.startswith("image/")
