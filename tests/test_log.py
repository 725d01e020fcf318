"""A log that nobody reads loses lines and holds up nobody."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dify_wire.redaction.text import TextRedactor
from fake_server.clock import Clock
from fake_server.journal.exchanges import AccessLog, Counters, Journal
from fake_server.server.log import (
    WAITING_BYTES,
    BackgroundHandler,
    HumanLines,
    JsonLines,
    Lines,
    LineWriter,
)
from tests.admin.calling import admin, host, run
from tests.asgi import call, scope
from tests.serving import ROOT, raw_exchange, server_process

_PIPE_BYTES = 1 << 16


class _Records(logging.Handler):
    """Keeps the records of a logger."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(record)

    @contextlib.contextmanager
    def of(self, name: str) -> Iterator[None]:
        logger = logging.getLogger(name)
        level = logger.level
        logger.addHandler(self)
        logger.setLevel(logging.INFO)
        try:
            yield
        finally:
            logger.removeHandler(self)
            logger.setLevel(level)


def _lost(count: int) -> str:
    return f"{count} lost\n"


def _read_until(descriptor: int, end: bytes) -> bytes:
    data = b""
    while not data.endswith(end):
        data += os.read(descriptor, 1 << 20)
    return data


def test_lines_are_written_in_order() -> None:
    stream = io.StringIO()
    writer = LineWriter(stream, _lost)
    for number in range(100):
        writer.write(f"line {number}\n")
    writer.flush(5.0)
    assert stream.getvalue() == "".join(f"line {number}\n" for number in range(100))


def test_a_flush_waits_for_no_further_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the banner of a start nor the end of a server is late for the sake of a batch."""
    monkeypatch.setattr("fake_server.server.log.TOGETHER_S", 3600.0)
    stream = io.StringIO()
    writer = LineWriter(stream, _lost)
    for line in ("one\n", "two\n"):
        writer.write(line)
        writer.flush(30.0)
    assert stream.getvalue() == "one\ntwo\n"


def test_waiting_lines_are_bounded_to_the_byte() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb"), os.fdopen(writing, "w") as stream:
        os.set_blocking(writing, False)
        with contextlib.suppress(BlockingIOError):
            while os.write(writing, b"#" * 4096):
                pass
        os.set_blocking(writing, True)
        writer = LineWriter(stream, _lost, most_bytes=1000)
        writer.write("first\n")  # taken by the thread, which blocks on it
        deadline = time.monotonic() + 5
        while writer.waiting_bytes and time.monotonic() < deadline:
            time.sleep(0.001)
        for _ in range(10):
            writer.write("y" * 99 + "\n")
        assert (writer.waiting_bytes, writer.lost) == (1000, 0)
        writer.write("\n")
        assert (writer.waiting_bytes, writer.lost) == (1000, 1)
        text = _read_until(reading, b" lost\n").lstrip(b"#")
        assert text == b"first\n" + b"".join([b"y" * 99 + b"\n"] * 10) + b"1 lost\n"


def test_a_closed_pipe_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        writer = LineWriter(stream, _lost)
        writer.write("to nobody\n")
        writer.flush(5.0)


def test_records_are_written_as_the_formatter_has_them() -> None:
    stream = io.StringIO()
    handler = BackgroundHandler(stream, HumanLines())
    handler.handle(logging.LogRecord("x", logging.INFO, "", 0, "a \ud800 %s", ("b",), None))
    handler.flush()
    assert stream.getvalue()[8:] == " a \\ud800 b\n"
    assert handler.lost == 0


_REQUESTS = st.tuples(
    st.sampled_from(["GET", 'O"DD']),
    st.text(st.characters(codec="latin-1", exclude_characters="?"), min_size=1),
    st.none() | st.just("runWorkflow"),
    st.none() | st.just(("127.0.0.1", 1)),
    st.none() | st.just(200),
    st.floats(0, 600),
)


@given(
    at=st.floats(1e9, 2e9) | st.integers(0, 10**10).map(lambda us: 1.7e9 + us / 1e6), of=_REQUESTS
)
@pytest.mark.parametrize("lines", [HumanLines(), JsonLines()], ids=["human", "json"])
def test_the_line_of_a_request_is_that_of_its_record(
    lines: Lines,
    at: float,
    of: tuple[str, str, str | None, tuple[str, int] | None, int | None, float],
) -> None:
    method, target, operation, client, status, seconds = of
    records = _Records()
    log = AccessLog(Journal(Clock()), Counters(), TextRedactor)
    entry = log.begin(
        {**scope(method, "/"), "raw_path": target.encode("latin-1"), "client": client}
    )
    entry.operation, entry.status, entry.sent_bytes = operation, status, 12
    entry.began -= seconds
    with records.of("fake_server.access"):
        log.end(entry)
    [record] = records.found
    record.created = at
    assert lines.request_line(at, entry, record.fields["path"]) == lines.format(record)


def test_a_program_with_the_fake_inside_gets_records(caplog: pytest.LogCaptureFixture) -> None:
    app = host()
    with caplog.at_level(logging.INFO, "fake_server.access"):
        run(app)
        call(app, "GET", "/v1/nowhere?api_key=app-0123456789abcdefghijklmn", {"Host": "h"})
    names = [record.name for record in caplog.records]
    first, second = caplog.messages
    assert names == ["fake_server.access"] * 2
    assert re.fullmatch(r"POST /v1/workflows/run 200 \d+ B \d+\.\d ms", first)
    assert re.fullmatch(r"GET /v1/nowhere\?api_key=\[redacted\] 404 \d+ B \d+\.\d ms", second)


@pytest.mark.server
def test_the_last_lines_are_written_before_the_end() -> None:
    """They come up to 0.1 s later; a server that ends does not wait for that."""
    with server_process("--speed", "instant") as server:
        for number in range(3):
            request = f"GET /v1/{number} HTTP/1.1\r\nHost: h\r\n\r\n".encode()
            raw_exchange(server.host, server.port, request)
        os.kill(server.pid, signal.SIGTERM)
        os.waitid(os.P_PID, server.pid, os.WEXITED | os.WNOWAIT)
        log = server.log.read_text()
    assert re.findall(r" GET /v1/(\d) 404 \d+ B ", log) == ["0", "1", "2"]


def test_the_metrics_count_lost_lines() -> None:
    app = host()
    app.host.counters.log_lines_lost = lambda: 7
    assert b"fake_dify_log_lines_lost_total 7.0" in admin(app, "GET", "/metrics").body


@pytest.mark.server
@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_whose_log_and_output_nobody_reads_answers_and_ends(
    tmp_path: Path, signal_number: int
) -> None:
    """Far more is logged than a pipe and the bound hold."""
    ready = tmp_path / "ready.json"
    command = [
        sys.executable,
        "-m",
        "fake_server",
        "serve",
        "--port",
        "0",
        "--ready-file",
        str(ready),
    ]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        deadline = time.monotonic() + 20
        while not ready.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        port = int(ready.read_text().split('"url": "http://127.0.0.1:')[1].split('"')[0])
        request = f"GET /v1/{'x' * 4000} HTTP/1.1\r\nHost: h\r\n\r\n".encode()
        for _ in range((WAITING_BYTES + 3 * _PIPE_BYTES) // 4000):
            assert raw_exchange("127.0.0.1", port, request).status == 404
        began = time.monotonic()
        process.send_signal(signal_number)
        assert process.wait(10) == 0
        assert time.monotonic() - began < 5
