"""Hosts that do as a script says, over real sockets, and a recorder before them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import click
import pytest

import fake_server.server.record as record_module
from dify_wire.exchange import Recording
from dify_wire.recording.folder import read_folder
from fake_server.cli.servers import record
from fake_server.recorder.settings import RecorderSettings
from fake_server.recorder.writing import ExchangeWriter
from fake_server.server.record import RecordingServer
from fake_server.server.server import ToolServer, address, bind
from tests.serving import Connection, RawAnswer, _environment, _wait_for, raw_exchange

_JSON = "Content-Type: application/json\r\n"
_EVENTS = "Content-Type: text/event-stream; charset=utf-8\r\n"


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request as the scripted host received it, and the connection to answer on."""

    head: str
    body: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def target(self) -> str:
        return self.head.split(" ")[1]

    @property
    def headers(self) -> list[tuple[str, str]]:
        return [
            (name, value.strip())
            for name, _, value in (line.partition(":") for line in self.head.split("\r\n")[1:])
        ]

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def whole(
        self,
        body: bytes,
        headers: str = "Content-Type: application/json\r\n",
        status: str = "200 OK",
    ) -> None:
        await self.send(
            f"HTTP/1.1 {status}\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body
        )

    async def stream(self) -> None:
        await self.send(f"HTTP/1.1 200 OK\r\n{_EVENTS}Transfer-Encoding: chunked\r\n\r\n".encode())

    async def chunk(self, data: bytes) -> None:
        await self.send(b"%x\r\n%b\r\n" % (len(data), data))


Script = Callable[[Incoming], Awaitable[None]]


@dataclass(slots=True)
class Upstream:
    """A scripted host that listens. ``asked`` are all requests so far; ``gone`` is set when a
    client has closed.
    """

    url: str
    loop: asyncio.AbstractEventLoop
    incoming: list[Incoming] = field(default_factory=list)

    @property
    def netloc(self) -> str:
        return urlsplit(self.url).netloc


@contextlib.contextmanager
def scripted(script: Script) -> Iterator[Upstream]:
    """A host in a thread that answers each request by ``script``."""
    loop = asyncio.new_event_loop()
    upstream = Upstream("", loop)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                incoming = await _read(reader, writer)
                upstream.incoming.append(incoming)
                await script(incoming)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = loop.run_until_complete(
        asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 20, backlog=512)
    )
    upstream.url = "http://{}:{}".format(*server.sockets[0].getsockname()[:2])
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield upstream
    finally:
        asyncio.run_coroutine_threadsafe(_end(server), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end(server: asyncio.Server) -> None:
    server.close()
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0)  # transports close


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Incoming:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").removesuffix("\r\n\r\n")
    incoming = Incoming(head, b"", reader, writer)
    body = b""
    if incoming.header("transfer-encoding") == "chunked":
        while size := int(await reader.readline(), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
    else:
        body = await reader.readexactly(int(incoming.header("content-length") or 0))
    return Incoming(head, body, reader, writer)


_WRITING_S = 50.0


class RunningRecorder:
    """A recorder that listens at ``url`` and writes into ``folder``."""

    url: str
    folder: Path

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or 0

    def connection(self) -> Connection:
        return Connection(*self.address)

    def exchange(self, raw: bytes, timeout: float = 10.0) -> RawAnswer:
        """Send ``raw`` on a connection of its own."""
        host, port = self.address
        return raw_exchange(host, port, raw, timeout)

    def written(self, count: int) -> None:
        """Return when it has written ``count`` exchanges."""
        deadline = time.monotonic() + _WRITING_S
        while len(list(self.folder.glob("*.yaml"))) < count:
            assert time.monotonic() < deadline, self.output()
            time.sleep(0.01)

    def recorded(self) -> list[Recording]:
        """Everything in the folder, once the recorder has ended."""
        return read_folder(self.folder)

    def end(self) -> int:
        """End it; returns the exit code."""
        raise NotImplementedError

    def output(self) -> str:
        """Everything it has printed."""
        raise NotImplementedError


@dataclass
class RecorderThread(RunningRecorder):
    """A recorder that listens in a thread, and writes in another."""

    url: str
    folder: Path
    server: ToolServer
    loop: asyncio.AbstractEventLoop
    exit_code: Future[int]
    lines: list[str]

    def end(self) -> int:
        with contextlib.suppress(RuntimeError):  # it has ended
            self.loop.call_soon_threadsafe(self.server.end)
        return self.exit_code.result(60)

    def output(self) -> str:
        return "\n".join(self.lines)


@contextlib.contextmanager
def running_recorder(upstream: str, folder: Path, *args: str) -> Iterator[RecorderThread]:
    """``fake-server record`` on a free port, in threads of this process: quick to start."""
    flags = ["--upstream", upstream, "--to", str(folder), "--port", "0", *args]
    settings = _settings(flags)
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(handler.format(record))  # type: ignore[method-assign]
    sock = bind(settings)
    writer = ExchangeWriter(
        settings, ThreadPoolExecutor(1), lambda message: lines.append(f"Warning: {message}")
    )
    recording = RecordingServer(settings, sock, writer, lines.append)
    loop, exit_code = Future[asyncio.AbstractEventLoop](), Future[int]()

    def listening() -> None:
        loop.set_result(asyncio.get_running_loop())

    def run() -> None:
        try:
            exit_code.set_result(recording.run())
        except BaseException as error:
            exit_code.set_exception(error)

    recording.server.on_listening = listening
    logger = logging.getLogger("fake_server")
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    thread = threading.Thread(target=run)
    thread.start()
    recorder = RecorderThread(
        address(sock), folder, recording.server, loop.result(30), exit_code, lines
    )
    try:
        yield recorder
    finally:
        recorder.end()
        thread.join()
        logger.removeHandler(handler)
        logger.setLevel(level)


def _settings(flags: list[str]) -> RecorderSettings:
    """The settings that the command makes of ``flags``."""
    found: list[RecorderSettings] = []

    def record_forever(settings: RecorderSettings) -> int:
        found.append(settings)
        return 0

    with record.make_context("record", flags) as context, pytest.MonkeyPatch.context() as patch:
        patch.setattr(record_module, "record_forever", record_forever)
        with contextlib.suppress(click.exceptions.Exit):
            record.invoke(context)
    return found[0]


@dataclass
class RecorderProcess(RunningRecorder):
    """``fake-server record`` in a process of its own."""

    url: str
    pid: int
    folder: Path
    process: subprocess.Popen[bytes]
    log: Path

    def end(self, sig: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(sig)
        return self.process.wait()

    def output(self) -> str:
        return self.log.read_text()

    def peak_bytes(self) -> int:
        """The most memory that it, or a process of its own, has had so far. Only Linux tells.

        Not by the process's resource usage: that begins with whatever the process had that started
        it.
        """
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return max(map(_peak_bytes, [str(self.pid), *children]))

    def writing_pid(self) -> int:
        """The process that writes. Only Linux tells."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        commands = {pid: Path(f"/proc/{pid}/cmdline").read_text() for pid in children}
        return next(int(pid) for pid, line in commands.items() if "spawn_main" in line)

    def kill(self, with_writing: bool) -> None:
        """SIGKILL, for the proxy alone or for the process that writes as well."""
        (os.killpg if with_writing else os.kill)(self.pid, signal.SIGKILL)
        self.process.wait()


def _peak_bytes(pid: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


@contextlib.contextmanager
def recorder_process(
    upstream: str, folder: Path, *args: str, limit_bytes: int | None = None
) -> Iterator[RecorderProcess]:
    """A recorder on a free port, ended and judged by the test; whatever happens it does not outlive
    it.

    No file that it writes may grow beyond ``limit_bytes``: a disk that is full for whatever is
    larger.
    """
    with tempfile.TemporaryDirectory() as beside:
        ready, log = Path(beside) / "ready.json", Path(beside) / "log"
        command = [
            sys.executable,
            "-m",
            "fake_server",
            "record",
            "--upstream",
            upstream,
            "--to",
            str(folder),
        ]
        command += ["--port", "0", "--ready-file", str(ready), *args]
        if limit_bytes is not None:
            command = ["sh", "-c", f'ulimit -f {limit_bytes // 512}; exec "$@"', "sh", *command]
        with log.open("wb") as out:
            process = subprocess.Popen(
                command,
                cwd=beside,
                env=_environment(),
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        try:
            output = _wait_for(ready, process, log)
            yield RecorderProcess(output["url"], output["pid"], folder, process, log)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


def get(target: str, headers: str = "") -> bytes:
    """A request without a body."""
    return f"GET {target} HTTP/1.1\r\nHost: client-said\r\n{headers}\r\n".encode()


def post(target: str, body: bytes, headers: str = "") -> bytes:
    """A request with a JSON body."""
    head = f"POST {target} HTTP/1.1\r\nHost: client-said\r\n"
    head += f"Content-Type: application/json\r\n{headers}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def run_body(mode: str = "streaming", user: str = "u", prompt: str = "一只猫") -> bytes:
    return json.dumps({"inputs": {"prompt": prompt}, "response_mode": mode, "user": user}).encode()


def wait_until(holds: Callable[[], bool]) -> None:
    """Until it holds, and no longer than a test may take."""
    waiting = threading.Event()
    for _ in range(2000):
        if holds():
            return
        waiting.wait(0.01)
    raise AssertionError("it never came to hold")
