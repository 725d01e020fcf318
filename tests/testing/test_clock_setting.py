"""``--clock``: a server whose clock starts frozen, from whatever says its settings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving import Connection, running_server

pytestmark = pytest.mark.server

SHOWN = "Wed, 01 May 2024 12:00:00 GMT"


def date_of(*args: str) -> str | None:
    with running_server(*args) as server, Connection(server.host, server.port) as connection:
        return connection.exchange(b"GET /v1/ HTTP/1.1\r\nHost: x\r\n\r\n").header("date")


@pytest.mark.parametrize("said", ["2024-05-01T12:00:00", "2024-05-01T14:00:00+02:00"])
def test_flag_freezes_the_server_at_a_moment(said: str) -> None:
    assert date_of("--clock", said) == SHOWN


@pytest.mark.parametrize("said", ['"2024-05-01T12:00:00Z"', "2024-05-01T12:00:00Z"])
def test_toml_may_say_it_as_a_text_or_in_its_own_way(said: str, tmp_path: Path) -> None:
    (tmp_path / "fake.toml").write_text(f"clock = {said}\n")
    assert date_of("--config", str(tmp_path / "fake.toml")) == SHOWN


@pytest.mark.parametrize("said", ["noon", "2024-13-01", "1914-05-01"])
def test_what_is_no_moment_is_one_clear_line(said: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fake_server", "serve", "--port", "0", "--clock", said]
    ended = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=20, check=False
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"Error: --clock: {said!r} is no moment")
    assert ended.stderr.endswith("write it as 2024-05-01T12:00:00Z\n")
    assert ended.stderr.count("\n") == 1
