"""The log on stderr: for a person by default, one JSON object a line with ``--log-format json``.

A thread of its own writes the lines: a pipe that is not read takes 64 KiB and then blocks its
writer, which must not be the event loop. What cannot be written waits, up to a bound; beyond it
lines are lost and counted.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import sys
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from json.encoder import encode_basestring as quoted
from typing import TextIO

from fake_server.journal.entry import Entry

WAITING_BYTES = 1 << 20
"""More than this is not kept for a reader: further lines are lost and counted."""

TOGETHER_S = 0.1
"""Lines of the log that come within this time are written together, so each at most so late."""

_CLOSE_S = 0.5
_HUMAN_TIME = "%H:%M:%S"


class LineWriter:
    """Writes to ``stream`` in the background; ``lost_line`` reports how many were lost."""

    def __init__(
        self, stream: TextIO, lost_line: Callable[[int], str], most_bytes: int = WAITING_BYTES
    ) -> None:
        self._stream = stream
        self._lost_line = lost_line
        self._most_bytes = most_bytes
        self._lines: deque[bytes] = deque()
        self.waiting_bytes = 0
        """What has been handed over and not yet taken to be written."""
        self._unreported = 0
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._writing = False
        self._flushing = 0
        self._thread: threading.Thread | None = None
        self.lost = 0
        """How many lines were lost since the start."""

    def write(self, line: str) -> None:
        """Have ``line`` (with its line end) written. From any thread; returns at once."""
        data = line.encode("utf-8", "backslashreplace")
        with self._lock:
            if self.waiting_bytes + len(data) > self._most_bytes:
                self.lost += 1
                self._unreported += 1
                return
            self._lines.append(data)
            self.waiting_bytes += len(data)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="log", daemon=True)
                self._thread.start()
            elif len(self._lines) == 1:
                self._changed.notify_all()

    def flush(self, timeout_s: float = _CLOSE_S) -> None:
        """Return once everything is written, after ``timeout_s`` at the latest."""
        with self._changed:
            self._flushing += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._lines and not self._writing, timeout_s)
            self._flushing -= 1

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._lines))
                self._changed.wait_for(lambda: self._flushing > 0, TOGETHER_S)
            self._write(self._taken())
            with self._changed:
                self._writing = False
                self._changed.notify_all()

    def _taken(self) -> bytes:
        """All that waits, and how many lines are missing after it."""
        with self._changed:
            self._writing = True
            data = b"".join(self._lines)
            self._lines.clear()
            self.waiting_bytes = 0
            lost, self._unreported = self._unreported, 0
        return data + self._lost_line(lost).encode() if lost else data

    def _write(self, data: bytes) -> None:
        with contextlib.suppress(OSError, ValueError):  # the other end is closed
            if sys.platform == "win32" and self._stream.isatty():
                # A console takes text: the bytes would be read as those of its code page.
                self._stream.write(data.decode())
                self._stream.flush()
                return
            try:
                descriptor = self._stream.fileno()
            except io.UnsupportedOperation:
                self._stream.write(data.decode())
                return
            # Past the stream's own buffer: its lock, held by a blocked thread, would stop the exit.
            while data:
                data = data[os.write(descriptor, data) :]


class Lines(logging.Formatter, ABC):
    """Records, and requests without a record, as lines: the same ones in a fraction of the time."""

    _second = -1
    _time = ""
    """Of that second, as far as all lines of it have it."""

    @abstractmethod
    def request_line(self, at: float, entry: Entry, target: str) -> str:
        """As the record of the logger ``fake_server.access`` would be formatted."""


class HumanLines(Lines):
    """For a person: the local time and the message."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(message)s", datefmt=_HUMAN_TIME)

    def request_line(self, at: float, entry: Entry, target: str) -> str:
        second = int(at)
        if second != self._second:
            self._second = second
            self._time = datetime.fromtimestamp(second).strftime(_HUMAN_TIME)
        status, size, tenths = entry.logged_status, entry.sent_bytes, entry.tenths_of_ms
        method, ms = entry.scope["method"], f"{tenths // 10}.{tenths % 10}"
        line = f"{self._time} {method} {target} {status} {size} B {ms} ms"
        return f"{line}; {entry.hint}" if entry.hint else line


class JsonLines(Lines):
    """Each record as one JSON object, with a request's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False)

    def request_line(self, at: float, entry: Entry, target: str) -> str:
        second = int(at)
        milliseconds = round((at - second) * 1_000_000) // 1000
        if milliseconds == 1000:
            second, milliseconds = second + 1, 0
        if second != self._second:
            self._second = second
            self._time = datetime.fromtimestamp(second, UTC).isoformat()[: -len("+00:00")]
        method, path = quoted(entry.scope["method"]), quoted(target)
        status, size, tenths = entry.logged_status, entry.sent_bytes, entry.tenths_of_ms
        ms = f"{tenths // 10}.{tenths % 10}"
        hint = quoted(entry.hint)[1:-1]
        more, field = (f"; {hint}", f', "hint": "{hint}"') if hint else ("", "")
        return (
            f'{{"time": "{self._time}.{milliseconds:03}+00:00", "level": "info", '
            f'"logger": "fake_server.access", '
            f'"message": {method[:-1]} {path[1:-1]} {status} {size} B {ms} ms{more}", '
            f'"client": {quoted(entry.client or "-")}, "method": {method}, "path": {path}, '
            f'"operation": {quoted(entry.operation or "-")}, '
            f'"status": {status}, "bytes": {size}, "ms": {ms}{field}}}'
        )


class BackgroundHandler(logging.Handler):
    """Writes records to ``stream`` without ever blocking whoever logs them."""

    def __init__(self, stream: TextIO, lines: Lines) -> None:
        super().__init__()
        self.setFormatter(lines)
        self._lines = lines
        self._writer = LineWriter(stream, self._lost_line)

    @property
    def lost(self) -> int:
        """How many records could not be written, because the log was not read."""
        return self._writer.lost

    def emit(self, record: logging.LogRecord) -> None:
        self._writer.write(self.format(record) + "\n")

    def write_request(self, at: float, entry: Entry, target: str) -> None:
        """Write the line of a request that is over; see ``AccessLog``."""
        self._writer.write(self._lines.request_line(at, entry, target) + "\n")

    def flush(self) -> None:
        self._writer.flush()

    def _lost_line(self, count: int) -> str:
        message = f"{count} lines of the log are missing here: it was not read"
        record = logging.LogRecord(__name__, logging.WARNING, __file__, 0, message, None, None)
        return self.format(record) + "\n"


def set_up_logging(log_format: str) -> BackgroundHandler:
    """Send the log of the fake, and what uvicorn warns of, to stderr."""
    handler = BackgroundHandler(sys.stderr, JsonLines() if log_format == "json" else HumanLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("fake_server").setLevel(logging.INFO)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # invalid forms get a response
    return handler
