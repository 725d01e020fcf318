"""The examples of docs/testing.md do what the page says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fake_server.testing import FakeHost
from tests.serving import ROOT
from tests.tools import QUICK, needed

pytestmark = pytest.mark.server

PAGE = (ROOT / "docs/testing.md").read_text("utf-8")
ENDED = "trap - EXIT\nkill $server\nwait $server\n"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_every_block_is_run() -> None:
    """By the tests below: a block in another language would need one of its own."""
    languages = re.findall(r"^```(\w*)$", PAGE, re.MULTILINE)
    assert set(languages[::2]) == {"python", "sh"}
    assert set(languages[1::2]) == {""}


def test_examples_in_python_pass(tmp_path: Path) -> None:
    """Each is a file of its own, as a newcomer copies it into an empty folder."""
    for block in blocks("python"):
        named = re.match(r"# (test_\w+\.py)\n", block)
        assert named is not None, block
        (tmp_path / named[1]).write_text(block)
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", *QUICK, str(tmp_path)]
    ended = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stdout
    assert "9 passed" in ended.stdout


def test_example_for_the_shell_runs(tmp_path: Path) -> None:
    [script] = blocks("sh")
    needed("curl")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path}
    command = ["sh", "-euc", script + ENDED]
    subprocess.run(command, cwd=tmp_path, env=environment, timeout=60, check=True)
    assert json.loads((tmp_path / "response.json").read_bytes())["data"]["status"] == "succeeded"


def test_every_part_of_a_host_is_on_the_page() -> None:
    names = [name for name in vars(FakeHost) if not name.startswith("_")]
    assert [name for name in [*names, "url", "api_key", "clock"] if name not in PAGE] == []
