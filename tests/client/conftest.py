from __future__ import annotations

import os
from pathlib import Path
from unittest import mock

import pytest

from dify_wire.command import exit_code
from fake_server.cli import cli
from fake_server.testing import FakeHost
from tests.client.running import Ended, Request


@pytest.fixture
def request_(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Request:
    """Runs ``fake-server request`` in an empty folder."""

    def run(*args: str, to: FakeHost | str, **environ: str) -> Ended:
        monkeypatch.chdir(tmp_path)
        url = to if isinstance(to, str) else to.url
        arguments = ["request", *args, "--base-url", url]
        with mock.patch.dict(os.environ, environ):
            code = exit_code(
                lambda: cli.main(arguments, prog_name="fake-server", standalone_mode=False),
                "fake-server",
                arguments,
            )
        return Ended(code, *capfd.readouterr())

    return run
