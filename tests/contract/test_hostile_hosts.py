"""Hosts that are broken beyond any contract: each is a finding with its evidence, in time, in
memory, and no traceback.

The whole suite runs, but for the checks that generate requests; those meet one such host at
the end.
"""

from __future__ import annotations

import gzip
import itertools
import json
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from contract.checks import CHECKS
from contract.cli import exit_code
from tests.contract.hosts import Behaviour, answer, dify_at_first, host, saying
from tests.serving import ROOT

pytestmark = pytest.mark.server

KEY = "app-SampleKey0123456789abcde"
TIMEOUT_S = 0.5
START_S = 15.0
"""For the interpreter, the imports and the checks themselves, on a busy machine."""

MEMORY_BYTES = 700 << 20

_MEASURED = """
import os, re, sys
from contract.cli import exit_code

code = exit_code(sys.argv[2:])
# ru_maxrss would count the parent's
peak = re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())
open(sys.argv[1], "w").write(str(int(peak[1]) * 1024))
sys.stdout.flush()
os._exit(code)
"""
SSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\r\n"
FRAME = (
    b'data: {"event": "workflow_started", "workflow_run_id": "r", "task_id": "t", "data": {}}\n\n'
)


QUICK = [argument for check in CHECKS.values() if check.slow for argument in ("--skip", check.name)]

_QUICK_NAMES = [name for name, check in CHECKS.items() if not check.slow]
SOME = [argument for name in _QUICK_NAMES[::8] for argument in ("--only", name)]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended."""

    code: int
    out: str
    err: str
    report: dict[str, Any]
    seconds: float

    @property
    def counts(self) -> Counter[str]:
        return Counter(check["status"] for check in self.report["checks"])

    @property
    def answers(self) -> str:
        return "\n".join(exchange["response"] for exchange in self.report["exchanges"])


@dataclass(frozen=True, slots=True)
class Session:
    """Runs ``contract run`` and reads what it says."""

    folder: Path
    captured: pytest.CaptureFixture[str]

    def here(self, url: str, *arguments: str) -> Ended:
        """In this process."""
        began = time.monotonic()
        code = exit_code(self._arguments(url, *arguments))
        output = self.captured.readouterr()
        return Ended(code, output.out, output.err, self._report(), time.monotonic() - began)

    def apart(self, url: str, *arguments: str) -> Ended:
        """In a process of its own, whose memory can be measured."""
        began = time.monotonic()
        command = [sys.executable, "-c", _MEASURED, self._peak, *self._arguments(url, *arguments)]
        ended = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
        )
        return Ended(
            ended.returncode, ended.stdout, ended.stderr, self._report(), time.monotonic() - began
        )

    @property
    def _peak(self) -> str:
        return str(self.folder / "peak")

    def peak_memory_bytes(self) -> int:
        """The most memory that the process had that ran apart."""
        return int(Path(self._peak).read_text())

    def _arguments(self, url: str, *arguments: str) -> list[str]:
        flags = ["--base-url", url, "--api-key", KEY, "--json", str(self.folder / "report.json")]
        return ["run", *flags, "--timeout", str(TIMEOUT_S), *arguments]

    def _report(self) -> dict[str, Any]:
        path = self.folder / "report.json"
        reported: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return reported


@pytest.fixture
def session_runner(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Session:
    return Session(tmp_path, capsys)


def flood(connection: socket.socket, head: bytes, piece: bytes) -> None:
    """``head`` and then ``piece`` for ever, as fast as it is read."""
    connection.sendall(head)
    while True:
        connection.sendall(piece)


def hang(connection: socket.socket, _: bytes) -> None:
    connection.recv(1)


def reset(connection: socket.socket, _: bytes) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def close_mid_stream(connection: socket.socket, _: bytes) -> None:
    connection.sendall(SSE.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n"))
    connection.sendall(f"{len(FRAME):x}\r\n".encode() + FRAME + b"\r\n40\r\ndata: {")


def never_end(connection: socket.socket, _: bytes) -> None:
    connection.sendall(SSE)
    while True:
        connection.sendall(FRAME)
        time.sleep(0.05)


def drip_headers(connection: socket.socket, _: bytes) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    for number in itertools.count():
        connection.sendall(f"X-{number}: y\r\n".encode())
        time.sleep(0.05)


def redirect(connection: socket.socket, _: bytes) -> None:
    connection.sendall(
        answer(b"", "308 PERMANENT REDIRECT", "text/html", "Location: /v1/workflows/run")
    )


def garbage(connection: socket.socket, _: bytes) -> None:
    connection.sendall(bytes(range(256)) * 40)


BOMB = gzip.compress(bytes(64 << 20), 9)
HOSTS: dict[str, Behaviour] = {
    "html": saying(answer(b"<!doctype html><title>Welcome</title>", content_type="text/html")),
    "empty": saying(answer(b"", content_type="application/json")),
    "json of another kind": saying(
        answer(b'{"data": {"outputs": [[[]]], "status": {}}, "task_id": 5}')
    ),
    "nested json": saying(answer(b"[" * 200_000)),
    "lone surrogates": saying(
        answer(b'{"task_id": "\\ud83d", "data": {"status": "\\udc00\\u0000\\u001b[31m"}}')
    ),
    "close mid-stream": close_mid_stream,
    "reset": reset,
    "garbage": garbage,
    "redirect loop": redirect,
    "gzip bomb": saying(answer(BOMB, "200 OK", "application/json", "Content-Encoding: gzip")),
}


FINDINGS = (
    "empty",
    "json of another kind",
    "nested json",
    "lone surrogates",
    "close mid-stream",
    "gzip bomb",
)


@pytest.mark.parametrize("name", FINDINGS)
def test_host_beyond_any_contract_is_a_finding(name: str, session_runner: Session) -> None:
    with host(dify_at_first(HOSTS[name])) as url:
        ended = session_runner.here(url, *QUICK)
    expect_failures(ended)
    assert ended.seconds < START_S + 8 * TIMEOUT_S


def expect_failures(ended: Ended) -> None:
    """A whole report that says what is broken, shows it, and where nothing stumbled."""
    assert ended.code == 1, ended.out + ended.err
    assert ended.err == ""
    assert ended.counts["failed"] > 0, ended.out
    assert ended.counts["error"] == 0, [
        check for check in ended.report["checks"] if check["status"] == "error"
    ]
    assert ended.report["exchanges"]
    assert "Traceback" not in ended.out


BAD_GATEWAY = answer(
    b"<html><title>502 Bad Gateway</title>", "502 Bad Gateway", "text/html", "Server: nginx/1.22.1"
)
UNAVAILABLE = answer(
    b"<html><title>503 Busy</title>", "503 Service Temporarily Unavailable", "text/html"
)
NO_DATABASE = answer(
    b'{"message": "Internal Server Error", "code": "unknown"}\n', "500 INTERNAL SERVER ERROR"
)
GONE: dict[str, tuple[Behaviour, str]] = {
    "html": (HOSTS["html"], "no Dify is at this address"),
    "reset": (reset, "3 requests in a row without a response"),
    "garbage": (garbage, "3 requests in a row without a response"),
    "redirect loop": (redirect, "is redirected to /v1/workflows/run (308)"),
    "bad gateway": (
        saying(BAD_GATEWAY),
        "a proxy (nginx/1.22.1) responds, but not the host behind it",
    ),
    "rate limit": (saying(UNAVAILABLE), "the host takes no requests now: 503"),
    "no database": (saying(NO_DATABASE), "the host fails: GET /v1/parameters got 500 unknown"),
    "hang": (hang, "3 requests in a row without a response"),
    "never end": (never_end, "3 requests in a row without a response"),
    "drip headers": (drip_headers, "3 requests in a row without a response"),
}


@pytest.mark.parametrize(("behave", "cause"), GONE.values(), ids=GONE)
def test_host_that_goes_away_is_one_cause_and_no_failure(
    behave: Behaviour, cause: str, session_runner: Session
) -> None:
    """It worked at first; what it answers once it has gone says nothing of the contract. Nobody
    waits long for it.
    """
    with host(dify_at_first(behave)) as url:
        ended = session_runner.here(url, *QUICK)
    assert ended.code == 2, ended.out + ended.err
    assert ended.err == ""
    assert cause in ended.report["cause"]
    assert f"The host could not be checked to the end: {ended.report['cause']}." in ended.out
    assert ended.counts["failed"] == ended.counts["error"] == 0, ended.out
    assert ended.report["images"]["cost"] == 0
    reasons = {check["reason"] for check in ended.report["checks"] if check["status"] == "not run"}
    assert reasons == {ended.report["cause"]}
    assert ended.seconds < START_S + 8 * TIMEOUT_S


FLOODS: dict[str, tuple[bytes, bytes]] = {
    "picture without end": (
        b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\n",
        b"\x89PNG\r\n\x1a\n" * 8192,
    ),
    "4 GB promised": (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4294967296\r\n\r\n",
        b"[" * (1 << 16),
    ),
    "empty lists": (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[",
        b"[]," * (1 << 14),
    ),
    "one-byte chunks": (
        SSE.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n"),
        b"1\r\n\n\r\n" * (1 << 13),
    ),
    "blank lines": (SSE, b"\n" * (1 << 16)),
    "headers without end": (b"HTTP/1.1 200 OK\r\n", b"X-Y: z\r\n" * 4096),
}


@pytest.mark.parametrize(("head", "piece"), FLOODS.values(), ids=FLOODS)
def test_flood_is_a_finding_in_little_memory(
    head: bytes, piece: bytes, session_runner: Session
) -> None:
    """Answers without end, to every request: read up to a limit, told, and never in memory all at
    once.
    """
    with host(dify_at_first(lambda connection, _: flood(connection, head, piece))) as url:
        ended = session_runner.apart(url, *SOME, "--timeout", "5")
    if head.endswith(b"OK\r\n"):  # headers without end are no answer
        assert "3 requests in a row without a response" in ended.report["cause"]
    else:
        expect_failures(ended)
    assert session_runner.peak_memory_bytes() < MEMORY_BYTES


def test_host_that_goes_away_after_a_failure_fails(session_runner: Session) -> None:
    """It answers ten requests and then is gone: results stay, the rest is not
    run.
    """
    answered = itertools.count()

    def behave(connection: socket.socket, _: bytes) -> None:
        if next(answered) < 10:
            connection.sendall(answer(b"{}", "400 BAD REQUEST"))
        else:
            with suppress(OSError):
                os.close(connection.detach())

    with host(dify_at_first(behave)) as url:
        ended = session_runner.here(url, *QUICK)
    expect_failures(ended)
    assert ended.counts["not run"] > 0
    assert "3 requests in a row without a response" in ended.report["cause"]


def test_checks_that_generate_requests_meet_another_api(session_runner: Session) -> None:
    with host(dify_at_first(HOSTS["json of another kind"])) as url:
        ended = session_runner.apart(url)
    expect_failures(ended)
