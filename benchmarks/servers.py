"""Servers to be measured: each a process of its own, on a core of its own."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from benchmarks.measure import SkippedError

ROOT = Path(__file__).parent.parent
API_KEY = "app-FakeHostKey0123456789abc"
PORT = "{port}"
"""Stands in a command where the port belongs."""

_PATIENCE_S = 30.0


def fake(*flags: str) -> list[str]:
    """The command of the fake, with further flags."""
    return [sys.executable, "-m", "fake_server", "serve", "--port", PORT, *flags]


def environment() -> dict[str, str]:
    """Ours, without settings of the fake, and with byte code as any but the first start has it."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("FAKE_SERVER_") and name != "PYTHONDONTWRITEBYTECODE"
    }


@dataclass(frozen=True, slots=True)
class Server:
    """A server that listens."""

    url: str
    port: int
    pid: int

    def cpu_s(self) -> float:
        """The seconds for which its processes, with all of their threads, have had a processor."""
        time.sleep(0.005)  # what runs at this moment is not counted before it rests
        return sum(map(_cpu_s, _family(self.pid)))

    def memory_mb(self) -> float:
        """The memory in which its processes reside."""
        return sum(map(_resident_kb, _family(self.pid))) / 1024


@contextlib.contextmanager
def served(
    command: Sequence[str],
    more_environment: Mapping[str, str] | None = None,
    on_one_core: bool = True,
) -> Iterator[Server]:
    """The server of ``command`` on a free port, until the end of the block. Raises ``SystemExit``
    where it does not listen.
    """
    port = free_port()
    with tempfile.TemporaryFile() as output:
        process = started(command, port, output, more_environment, on_one_core)
        try:
            deadline = time.monotonic() + _PATIENCE_S
            while not _listens(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    output.seek(0)
                    raise SystemExit(f"{' '.join(command)} fails:\n{output.read().decode()}")
                time.sleep(0.01)
            yield Server(f"http://127.0.0.1:{port}", port, process.pid)
        finally:
            end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a server, kindly if it can be."""
    process.terminate()
    try:
        process.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_S).close()
    except ConnectionRefusedError:
        return False
    return True


_CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def started(
    command: Sequence[str],
    port: int,
    output: IO[bytes] | int = subprocess.DEVNULL,
    more_environment: Mapping[str, str] | None = None,
    on_one_core: bool = True,
) -> subprocess.Popen[bytes]:
    """A server on the first core; from then on we, and what load we start, run on the others."""
    _run_on(_CORES[:1] if on_one_core else _CORES)
    try:
        return subprocess.Popen(
            [part.replace(PORT, str(port)) for part in command],
            cwd=ROOT,
            env={**environment(), **(more_environment or {})},
            stdout=output,
            stderr=output,
        )
    finally:
        _run_on(_CORES[1:])


def _run_on(cores: list[int]) -> None:
    if len(_CORES) > 1:
        os.sched_setaffinity(0, cores)


def _family(pid: int) -> Iterator[int]:
    """A process and all that it has started."""
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError):  # the thread has ended
            for child in children.read_text().split():
                yield from _family(int(child))


def _cpu_s(pid: int) -> float:
    """By the process's own clock, as clock_getcpuclockid(3) makes it of the pid."""
    _only_linux()
    return time.clock_gettime(~pid << 3 | 2)


def _resident_kb(pid: int) -> int:
    _only_linux()
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def _only_linux() -> None:
    if sys.platform != "linux":
        raise SkippedError("processor time and memory of other processes can be read on Linux only")
