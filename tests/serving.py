"""A real server in a thread or a process, and exchanges with it byte for byte over a socket.

No HTTP client stands between: a client would tidy what is sent and hide what comes back, and both
are what is tested.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from fake_server.app import create_app
from fake_server.cli.servers import serve
from fake_server.server.server import ServerThread
from fake_server.settings import read_settings

ROOT = Path(__file__).parent.parent

LOG = "server.log"
"""The file with everything that a server in a process of its own has printed."""

_START_S = 20.0
_END_S = 10.0


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that listens."""

    url: str
    api_key: str

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 0


@dataclass(frozen=True, slots=True)
class ServerProcess(RunningServer):
    """A server in a process of its own. ``log`` is the file with everything it has printed."""

    pid: int
    log: Path


@contextlib.contextmanager
def running_server(*args: str) -> Iterator[RunningServer]:
    """What ``fake-server serve`` with ``args`` serves, on a free port, in a thread of this process:
    ten times as quick to start as a process.
    """
    context = serve.make_context("serve", ["--port", "0", *args])
    with context:
        settings = read_settings(context.params)
    thread = ServerThread(create_app(settings), settings)
    thread.start()
    try:
        yield RunningServer(thread.url, settings.api_keys[0])
    finally:
        thread.stop()


@contextlib.contextmanager
def server_process(*args: str) -> Iterator[ServerProcess]:
    """``fake-server serve`` with ``args`` on a free port, ended by SIGTERM; fails if the server
    does not end well.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with command_process("serve", *args, cwd=folder) as ready:
            log = folder / LOG
            yield ServerProcess(ready["url"], ready["api_key"], ready["pid"], log)


@contextlib.contextmanager
def command_process(command: str, *args: str, cwd: Path) -> Iterator[dict[str, Any]]:
    """A command of ``fake-server`` that serves, on a free port, ended by SIGTERM; what it writes
    to its ready file. Fails if the command does not end well.
    """
    own = [sys.executable, "-m", "fake_server", command, "--port", "0"]
    log = cwd / LOG
    with tempfile.TemporaryDirectory() as elsewhere:
        ready = Path(elsewhere) / "ready.json"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [*own, *args, "--ready-file", str(ready)],
                cwd=cwd,
                env=_environment(),
                stdout=out,
                stderr=out,
            )
        try:
            yield _wait_for(ready, process, log)
        except BaseException:
            process.kill()
            process.wait()
            raise
        process.send_signal(signal.SIGTERM)
        assert process.wait(_END_S) == 0, (
            f"the server ended with {process.returncode}:\n{log.read_text()}"
        )


def _environment() -> dict[str, str]:
    """Ours without settings that would reach the server behind the test's back, and with this
    checkout first.
    """
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith("FAKE_SERVER_")
    }
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), kept.get("PYTHONPATH", "")])),
    }


def _wait_for(ready: Path, process: subprocess.Popen[bytes], log: Path) -> dict[str, Any]:
    deadline = time.monotonic() + _START_S
    while not ready.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"the server did not start:\n{log.read_text()}")
        time.sleep(0.005)
    content: dict[str, Any] = json.loads(ready.read_text())
    return content


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """An answer as it came. ``chunks`` are (seconds after the request was sent, bytes), one for
    each HTTP chunk.

    ``interim`` are the status lines that came before, such as ``HTTP/1.1 100 Continue``.
    """

    status_line: str
    status: int
    headers: list[tuple[str, str]]
    body: bytes
    chunks: list[tuple[float, bytes]]
    interim: list[str] = field(default_factory=list)

    def header(self, name: str) -> str | None:
        """The value of the first header ``name``, whatever its case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


def raw_exchange(host: str, port: int, raw: bytes, timeout: float = 10.0) -> RawAnswer:
    """Send ``raw`` on a connection of its own and read one whole answer. Raises ``EOFError`` for
    half of one.
    """
    with Connection(host, port, timeout) as connection:
        return connection.exchange(raw)


class Connection:
    """One TCP connection; each ``exchange`` is the next request on it. ``timeout`` bounds each wait
    for bytes.
    """

    def __init__(self, host: str, port: int, timeout: float = 10.0) -> None:
        self._socket = socket.create_connection((host, port), timeout=timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unread = b""
        self._sent_at = 0.0

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def send(self, raw: bytes) -> None:
        self._sent_at = time.monotonic()
        # A server may refuse and close before it has read everything; what it said is still there
        # to be read.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(raw)

    def rest(self) -> bytes:
        """Everything up to the end of the connection."""
        return self._unread + b"".join(data for _, data in self._to_the_end())

    def exchange(self, raw: bytes) -> RawAnswer:
        """Send ``raw`` and read the answer to it."""
        self.send(raw)
        return self.answer(bodiless=raw.startswith(b"HEAD "))

    def answer(self, bodiless: bool = False) -> RawAnswer:
        """Read the next answer; ``bodiless`` says that its request was HEAD."""
        interim: list[str] = []
        while True:
            status_line, headers = self._head()
            status = int(status_line.split()[1])
            if status >= 200:
                break
            interim.append(status_line)
        chunks = [] if bodiless or status in (204, 304) else self._chunks(dict(_lowered(headers)))
        body = b"".join(data for _, data in chunks)
        return RawAnswer(status_line, status, headers, body, chunks, interim)

    def frames(self) -> Iterator[tuple[float, bytes]]:
        """The frames of the stream that comes next, each as soon as it is whole: (seconds after the
        request, bytes).
        """
        headers = self._head()[1]
        assert dict(_lowered(headers)).get("transfer-encoding") == "chunked"
        pending = b""
        for at_s, data in self._chunked():
            pending += data
            *frames, pending = pending.split(b"\n\n")
            yield from ((at_s, frame) for frame in frames)
        assert not pending, f"the stream ended inside a frame: {pending!r}"

    def _head(self) -> tuple[str, list[tuple[str, str]]]:
        lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines[1:])
        return lines[0], [(name, value.strip()) for name, _, value in pairs]

    def _chunks(self, headers: dict[str, str]) -> list[tuple[float, bytes]]:
        if headers.get("transfer-encoding") == "chunked":
            return list(self._chunked())
        if "content-length" in headers:
            return [(self._elapsed_s(), self._exactly(int(headers["content-length"])))]
        return list(self._to_the_end())

    def _chunked(self) -> Iterator[tuple[float, bytes]]:
        while (size := int(self._until(b"\r\n"), 16)) > 0:
            data = self._exactly(size)
            assert self._exactly(2) == b"\r\n"
            yield self._elapsed_s(), data
        assert self._exactly(2) == b"\r\n"

    def _to_the_end(self) -> Iterator[tuple[float, bytes]]:
        data, self._unread = self._unread, b""
        while data or (data := self._socket.recv(65536)):
            yield self._elapsed_s(), data
            data = b""

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._unread:
            self._unread += self._more()
        found, _, self._unread = self._unread.partition(mark)
        return found

    def _exactly(self, size: int) -> bytes:
        while len(self._unread) < size:
            self._unread += self._more()
        found, self._unread = self._unread[:size], self._unread[size:]
        return found

    def _more(self) -> bytes:
        data = self._socket.recv(65536)
        if not data:
            raise EOFError(
                f"the server closed in the middle of an answer, after {self._unread[-200:]!r}"
            )
        return data

    def _elapsed_s(self) -> float:
        return time.monotonic() - self._sent_at


def _lowered(headers: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    return ((name.lower(), value.lower()) for name, value in headers)
