"""``fake-server record`` as a command: what it refuses, in one line and with exit code 2, and what
it says.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import click
import pytest

from fake_server.cli.servers import record
from fake_server.recorder.settings import DEFAULT_PORT, DEFAULT_TIMEOUT_S
from tests.recorder.upstreams import Incoming, get, recorder_process, scripted
from tests.serving import ROOT, _environment

pytestmark = pytest.mark.server


def refused(folder: Path, *args: str) -> str:
    """The one line in which it refuses ``args``."""
    command = [sys.executable, "-m", "fake_server", "record", "--port", "0", *args]
    ended = subprocess.run(
        command,
        cwd=folder,
        env=_environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    *usage, line = ended.stderr.splitlines()
    assert all(not text or text.startswith(("Usage: ", "Try ")) for text in usage), ended.stderr
    assert line.startswith("Error: ")
    return line


def test_folder_with_other_things_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / "thesis.doc").write_text("a year of work")
    line = refused(tmp_path, "--upstream", "http://127.0.0.1:9", "--to", "to")
    assert line.startswith("Error: --to: to: the folder: it holds no recordings, but thesis.doc")
    assert [path.name for path in (tmp_path / "to").iterdir()] == ["thesis.doc"]


def test_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    line = refused(tmp_path, "--upstream", "http://127.0.0.1:9", "--to", "file/to")
    assert line.startswith("Error: --to: file/to: ")
    assert "cannot be written" in line


def test_rules_and_labels_are_checked(tmp_path: Path) -> None:
    args = ("--upstream", "http://127.0.0.1:9", "--to", "to")
    assert "header:NAME" in refused(tmp_path, *args, "--redact", "headr:X")
    assert "--redact" in refused(tmp_path, *args, "--redact", "text:(")
    assert "KEY=LABEL" in refused(tmp_path, *args, "--api-key-label", "app-secret")
    assert "app-secret" not in refused(tmp_path, *args, "--api-key-label", "app-secret= ")


def test_addresses_are_checked(tmp_path: Path) -> None:
    assert "--upstream" in refused(tmp_path, "--upstream", "dify.example:6060", "--to", "to")
    assert "Missing option '--upstream'" in refused(tmp_path, "--to", "to")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        args = ("--upstream", "http://127.0.0.1:9", "--to", "to", "--port")
        assert refused(tmp_path, *args, port).startswith(
            f"Error: --port: cannot listen on 127.0.0.1:{port}"
        )
        probe = socket.create_server(("127.0.0.1", 0))
        own = str(probe.getsockname()[1])
        probe.close()
    looped = refused(tmp_path, "--upstream", f"http://127.0.0.1:{own}", "--to", "to", "--port", own)
    assert "it is this recorder itself" in looped


def test_folder_that_another_recorder_writes_is_refused(tmp_path: Path) -> None:
    with recorder_process("http://127.0.0.1:9", tmp_path / "to") as recorder:
        line = refused(tmp_path, "--upstream", "http://127.0.0.1:9", "--to", "to")
        assert "another recorder writes into it" in line
        assert recorder.end() == 0


def test_it_says_where_it_listens_and_tells_a_line_a_request_without_secrets(
    tmp_path: Path,
) -> None:
    async def script(incoming: Incoming) -> None:
        await incoming.whole(b"{}")

    with scripted(script) as upstream, recorder_process(upstream.url, tmp_path / "to") as recorder:
        recorder.exchange(get("/x?sign=planted-signature&api_key=planted-key&timestamp=1"))
        assert recorder.end() == 0
        first, line, last = recorder.output().splitlines()
    assert first == (
        f"Recording {upstream.url} into {recorder.folder}."
        f" Send requests to {recorder.url}; Ctrl-C ends it."
    )
    assert "GET /x?sign=[redacted]&api_key=[redacted]&timestamp=1 200 2 B" in line
    assert last == f"Recorded into {recorder.folder}: 1 exchange, 0 images, 0 lost."


def test_defaults_of_the_command_are_those_of_the_settings() -> None:
    """They stand in both, because the command line must not load what a recorder needs."""
    defaults = {
        option.name: option.default for option in record.params if isinstance(option, click.Option)
    }
    assert (defaults["port"], defaults["timeout_s"]) == (DEFAULT_PORT, DEFAULT_TIMEOUT_S)


def test_every_option_is_explained_in_the_docs() -> None:
    page = (ROOT / "docs/recordings.md").read_text()
    for option in record.params:
        if not getattr(option, "hidden", False):
            assert f"`{option.opts[0]}" in page, option.opts[0]


def test_nothing_of_the_recorder_is_loaded_for_the_fake() -> None:
    """Neither by the command line nor by the app: its first answer is not to wait for it."""
    code = "import fake_server.cli, fake_server.server.run, sys; print('h11' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env=environment,
    )
    assert ended.stdout == "False\n"
