"""What benchmarks share: figures, servers to load, load itself, and comparisons that a busy machine
cannot tilt.

A module of this package whose figures belong to the whole has a function ``figures() ->
list[Figure]``; ``python -m benchmarks`` finds it by that.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
FAKE = (sys.executable, "-m", "fake_server", "serve", "--port")
API_KEY = "app-FakeHostKey0123456789abc"
COMPILING = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""The environment of a process that starts as any but the first does: its code is compiled."""

_PATIENCE_S = 20.0
_PER_SECOND = re.compile(r"^Requests/sec:\s+([\d.]+)$", re.MULTILINE)
_REQUESTS = re.compile(r"^ +(\d+) requests in ", re.MULTILINE)
_FAILED = re.compile(r"^ +(Non-2xx .*|Socket errors: .*)$", re.MULTILINE)


class SkippedError(Exception):
    """A benchmark that cannot be run here; says why."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure. ``ratio`` is to what was measured beside it (``against``), ``spread`` that
    ratio's quartiles.
    """

    name: str
    value: float
    unit: str
    ratio: float | None = None
    spread: tuple[float, float] | None = None
    against: str | None = None


@dataclass(frozen=True, slots=True)
class Loaded:
    """A server that listens."""

    url: str
    port: int
    pid: int


@contextlib.contextmanager
def served(*command: str) -> Iterator[Loaded]:
    """The server of ``command``, to which a free port is given, until the end of the block. Raises
    ``SystemExit``.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith("FAKE_SERVER_")
    }
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [*command, str(port)], cwd=ROOT, env=kept, stdout=output, stderr=output
        )
        try:
            deadline = time.monotonic() + _PATIENCE_S
            while not _listens(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    output.seek(0)
                    raise SystemExit(
                        f"{' '.join(command)} does not listen:\n{output.read().decode()}"
                    )
                time.sleep(0.01)
            yield Loaded(f"http://127.0.0.1:{port}", port, process.pid)
        finally:
            process.terminate()
            process.wait(_PATIENCE_S)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_S).close()
    except ConnectionRefusedError:
        return False
    return True


def run_body(mode: str) -> bytes:
    """The body of a run in that response mode."""
    inputs = {"prompt": "a cat on a roof", "model_name": "chilloutmix_NiPrunedFp32Fix"}
    return json.dumps({"inputs": inputs, "response_mode": mode, "user": "bench"}).encode()


def resident_kb(pid: int) -> int:
    """The memory of a process, in KB."""
    ended = subprocess.run(
        ["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True
    )
    return int(ended.stdout)


def cpu_s(pid: int) -> float:
    """The seconds for which a process has had a processor. Raises ``SkippedError`` where that
    cannot be read.
    """
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
    except FileNotFoundError:
        raise SkippedError(
            "the time that a process has on the processor can be read on Linux only"
        ) from None


@dataclass(frozen=True, slots=True)
class Load:
    """What a server did under load: requests a second, and the microseconds of processor time that
    each took.

    The first is what a user sees; the second hardly knows what else the machine does.
    """

    per_s: float
    cpu_us: float


def wrk(server: Loaded, path: str, body: bytes, connections: int, seconds: float) -> Load:
    """POST ``body`` to ``path`` over ``connections`` connections at once, one request after the
    other on each.

    Raises ``SkippedError`` without wrk, and ``SystemExit`` where a response is not valid.
    """
    program = shutil.which("wrk")
    if program is None:
        raise SkippedError("wrk is not installed (apt install wrk, brew install wrk)")
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_lua(body))
        script.flush()
        command = [
            program,
            "-t",
            "1",
            "-c",
            str(connections),
            "-d",
            f"{seconds:g}s",
            "-s",
            script.name,
        ]
        before = cpu_s(server.pid)
        ended = subprocess.run(
            [*command, server.url + path], capture_output=True, text=True, check=True, timeout=60
        )
        used_s = cpu_s(server.pid) - before
    if failed := _FAILED.search(ended.stdout):
        raise SystemExit(f"{server.url} does not respond as it should: {failed[1]}")
    per_s, requests = _PER_SECOND.search(ended.stdout), _REQUESTS.search(ended.stdout)
    assert per_s is not None, ended.stdout
    assert requests is not None, ended.stdout
    return Load(float(per_s[1]), used_s / int(requests[1]) * 1e6)


def _lua(body: bytes) -> str:
    escaped = "".join(f"\\{byte:03d}" for byte in body)
    return (
        f'wrk.method = "POST"\nwrk.body = "{escaped}"\n'
        'wrk.headers["Content-Type"] = "application/json"\nwrk.headers["Authorization"] = '
        f'"Bearer {API_KEY}"\n'
    )


def compared(
    one: Callable[[], Load], other: Callable[[], Load], rounds: int
) -> tuple[list[Load], list[Load]]:
    """Load both in adjacent slices, A B B A, so that what else the machine does meets both
    alike.
    """
    ones: list[Load] = []
    others: list[Load] = []
    for number in range(rounds):
        for load, into in ((one, ones), (other, others))[:: -1 if number % 2 else 1]:
            into.append(load())
    return ones, others


def cpu_figure(name: str, ones: Sequence[Load], others: Sequence[Load], against: str) -> Figure:
    """The processor time of a request, and its ratio to what the ``others`` took in the same
    round.
    """
    ratios = [one.cpu_us / other.cpu_us for one, other in zip(ones, others, strict=True)]
    lower, ratio, upper = statistics.quantiles(ratios, n=4)
    return Figure(
        name,
        statistics.median(one.cpu_us for one in ones),
        "µs CPU",
        ratio,
        (lower, upper),
        against,
    )


def rate_figure(name: str, loads: Sequence[Load]) -> Figure:
    """The requests a second."""
    return Figure(name, statistics.median(load.per_s for load in loads), "requests/s")


def table(figures: Sequence[Figure]) -> str:
    """``figures`` for a terminal."""
    rows = [
        (figure.name, f"{figure.value:,.{_digits(figure)}f}", figure.unit, _ratio(figure))
        for figure in figures
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        f"{name:<{widths[0]}}  {value:>{widths[1]}} {unit:<{widths[2]}}  {ratio}".rstrip()
        for name, value, unit, ratio in rows
    )


def _digits(figure: Figure) -> int:
    return 0 if figure.value >= 100 else 1


def _ratio(figure: Figure) -> str:
    if figure.ratio is None:
        return ""
    spread = "" if figure.spread is None else " ({:.3f} to {:.3f})".format(*figure.spread)
    return f"{figure.ratio:.3f}{spread} of {figure.against}"
