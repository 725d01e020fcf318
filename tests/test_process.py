"""The fake as a process: how it starts, what it logs, and how it ends."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dify_wire.recording.folder import RecordingWriter
from tests.recording.samples import recording
from tests.serving import Connection, ServerProcess, raw_exchange, server_process
from tests.tools import needed

pytestmark = pytest.mark.server


def run_request(server: ServerProcess, mode: str) -> bytes:
    body = json.dumps({"inputs": {"prompt": "一只猫"}, "response_mode": mode, "user": "u"}).encode()
    head = (
        f"POST /v1/workflows/run HTTP/1.1\r\nHost: {server.host}\r\nAuthorization: Bearer "
        f"{server.api_key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def log_with(server: ServerProcess, requests: int) -> str:
    """The log once it tells of ``requests``: a line is written when the answer has gone."""
    deadline = time.monotonic() + 5
    while (text := server.log.read_text()).count(
        '"operation"'
    ) < requests and time.monotonic() < deadline:
        time.sleep(0.01)
    return text


def start(*args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run ``serve`` to its end, which these tests expect at once."""
    command = [sys.executable, "-m", "fake_server", "serve", *args]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=20, check=False)


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_open_streams_and_exits_with_0(sig: signal.Signals) -> None:
    """server_process fails unless the exit code is 0; the stream ends whole frames, without a
    terminal event.
    """
    with (
        server_process("--speed", "0.1") as server,
        Connection(server.host, server.port) as connection,
    ):
        connection.send(run_request(server, "streaming"))
        frames = connection.frames()
        assert b"workflow_started" in next(frames)[1]
        began = time.monotonic()
        os.kill(server.pid, sig)
        rest = [frame for _, frame in frames]
        assert time.monotonic() - began < 3
        assert not any(b"workflow_finished" in frame for frame in rest)


def test_signal_answers_a_waiting_blocking_call_as_a_host_that_goes_away() -> None:
    with (
        server_process("--speed", "0.1") as server,
        Connection(server.host, server.port) as connection,
    ):
        connection.send(run_request(server, "blocking"))
        time.sleep(0.1)
        os.kill(server.pid, signal.SIGTERM)
        assert connection.answer().status == 502


def test_request_whose_body_is_on_its_way_does_not_hold_up_the_end() -> None:
    """Nobody waits for the rest of it, and nobody finds a traceback in the log."""
    with (
        server_process("--speed", "instant") as server,
        Connection(server.host, server.port) as connection,
    ):
        connection.send(run_request(server, "streaming")[:-5])
        time.sleep(0.1)
        began = time.monotonic()
        os.kill(server.pid, signal.SIGTERM)
        with pytest.raises(EOFError):
            connection.answer()
        assert time.monotonic() - began < 2
        assert "Traceback" not in server.log.read_text()


@pytest.mark.parametrize(
    "sent", [b"", b"GET /v1/", b"POST /v1/ HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n"]
)
def test_connections_made_together_with_the_signal_do_not_hold_up_the_end(sent: bytes) -> None:
    """The server sees both at once, because it was stopped meanwhile."""
    with server_process("--speed", "instant") as server, contextlib.ExitStack() as stack:
        os.kill(server.pid, signal.SIGSTOP)
        for _ in range(50):
            connection = stack.enter_context(socket.create_connection((server.host, server.port)))
            connection.sendall(sent)
        os.kill(server.pid, signal.SIGTERM)
        os.kill(server.pid, signal.SIGCONT)
        connection.settimeout(3)  # less than the server would wait for what runs
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(1) == b""


def test_taken_port_is_one_clear_line_and_exit_code_2(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = start("--port", str(port), cwd=tmp_path)
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert str(port) in ended.stderr
    assert "another --port" in ended.stderr


def test_address_that_is_none_is_a_clear_error(tmp_path: Path) -> None:
    ended = start("--port", "0", "--host", "no such host", cwd=tmp_path)
    assert ended.returncode == 2
    assert ended.stderr.startswith(
        "Error: --host: 'no such host' is not an address of this machine"
    )


def test_wrong_spec_opens_no_port(tmp_path: Path) -> None:
    """The error comes before the socket: the port can still be bound while the message is there."""
    (tmp_path / "bad.yaml").write_text("openapi: 3.2.0\ninfo: [\n")
    ready = tmp_path / "ready.json"
    ended = start("--port", "0", "--spec", "bad.yaml", "--ready-file", str(ready), cwd=tmp_path)
    assert ended.returncode == 2
    assert "bad.yaml: line " in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not ready.exists()


def test_unwritable_ready_file_is_a_clear_error(tmp_path: Path) -> None:
    ended = start("--port", "0", "--ready-file", "no/such/folder/ready.json", cwd=tmp_path)
    assert ended.returncode == 2
    assert "--ready-file: no/such/folder/ready.json cannot be written" in ended.stderr


def test_json_log_has_one_line_a_request_and_no_secret() -> None:
    with server_process("--speed", "instant", "--log-format", "json") as server:
        answer = raw_exchange(server.host, server.port, run_request(server, "blocking"))
        url = json.loads(answer.body)["data"]["outputs"]["files"][0]["url"]
        raw_exchange(server.host, server.port, f"GET {url} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        text = log_with(server, requests=2)
    lines = [
        json.loads(line)
        for line in text.splitlines()
        if line.startswith("{") and '"logger"' in line
    ]
    assert [(line["method"], line["operation"], line["status"]) for line in lines] == [
        ("POST", "runWorkflow", 200),
        ("GET", "getToolFile", 200),
    ]
    text = "\n".join(map(str, lines))
    assert server.api_key not in text
    assert url.partition("sign=")[2] not in text


def test_banner_shows_address_key_and_the_documents_request() -> None:
    with server_process("--speed", "instant") as server:
        shown = server.log.read_text()
    assert server.url in shown
    assert f"Authorization: Bearer {server.api_key}" in shown
    assert "一个胸有成竹的男人" in shown


def test_banner_of_a_replay_shows_no_request_that_was_not_recorded(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path) as writer:
        writer.write(recording(b"data: {}\n\n"))
    with server_process("--replay", str(tmp_path)) as server:
        shown = server.log.read_text()
    assert f"Responses come from {tmp_path}; what was not recorded: error." in shown
    assert "curl" not in shown


def test_tls_with_certificate_files(tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = (
        f"{needed('openssl')} req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost".split()
    )
    files = [
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-keyout",
        str(key),
        "-out",
        str(certificate),
    ]
    subprocess.run([*command, *files], check=True, capture_output=True)
    with server_process("--ssl-certfile", str(certificate), "--ssl-keyfile", str(key)) as server:
        assert server.url.startswith("https://")
        trust = ssl.create_default_context(cafile=str(certificate))
        connection = http.client.HTTPSConnection(server.host, server.port, context=trust, timeout=5)
        connection.request("GET", "/v1/")
        assert connection.getresponse().status == 200
        connection.close()


def test_unusable_certificate_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("no certificate")
    (tmp_path / "key.pem").write_text("no key")
    ended = start(
        "--port", "0", "--ssl-certfile", "cert.pem", "--ssl-keyfile", "key.pem", cwd=tmp_path
    )
    assert ended.returncode == 2
    assert "cert.pem" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_second_sigterm_does_not_cut_off_the_end() -> None:
    """A supervisor may send it twice; the exit code is 0 all the same."""
    with server_process("--speed", "instant") as server:
        for _ in range(20):
            with contextlib.suppress(ProcessLookupError):
                os.kill(server.pid, signal.SIGTERM)
            time.sleep(0.002)
