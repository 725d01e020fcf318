"""The documentation says what is true: its commands run, its tables are whole, its example is
accepted.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import click
import pytest

from contract.cli import cli as contract_cli
from fake_server.cli import cli as fake_server_cli
from fake_server.cli.servers import serve
from fake_server.settings import DEFAULT_API_KEY
from tests.serving import ROOT, server_process
from tests.tools import needed

pytestmark = pytest.mark.server

README = (ROOT / "README.md").read_text()
OPTIONS = [
    parameter
    for parameter in serve.params
    if isinstance(parameter, click.Option) and parameter.envvar
]


def block(text: str, after: str, language: str) -> str:
    """The first fenced block of ``language`` after the words ``after``."""
    match = re.search(rf"```{language}\n(.*?)```", text[text.index(after) :], re.DOTALL)
    assert match is not None
    return match[1]


def test_quick_start_of_the_readme_gives_a_png_on_disk(tmp_path: Path) -> None:
    """The very commands, but for the port."""
    commands = block(README, "The same with curl", "sh")
    assert f"Bearer {DEFAULT_API_KEY}" in commands
    with server_process("--speed", "instant") as server:
        commands = commands.replace("http://127.0.0.1:6060", server.url)
        needed("curl")
        subprocess.run(["sh", "-ec", commands], cwd=tmp_path, check=True)
    assert (tmp_path / "image.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_every_make_target_explains_itself_and_the_readme_names_those_of_the_work() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony is not None
    for target in phony[1].split():
        assert re.search(rf"^{target}:.* ## \S", makefile, re.MULTILINE), target
    assert {"test", "check", "rhythm", "fuzz"} <= set(
        re.findall(r"^make (\w+)", README, re.MULTILINE)
    )


@pytest.mark.parametrize("page", ["README.md", "docs/recordings.md", "docs/contract.md"])
def test_commands_in_the_pages_know_their_options(page: str) -> None:
    """A line that begins with one of our commands can be pasted: the command is there, and so are
    its flags.
    """
    shown = re.compile(r"^ *(?:\.venv/bin/)?(fake-server|contract) ([a-z]+)\b(.*)$", re.MULTILINE)
    commands = shown.findall((ROOT / page).read_text())
    assert commands
    for tool, name, rest in commands:
        command = {"fake-server": fake_server_cli, "contract": contract_cli}[tool].commands[name]
        if isinstance(command, click.Group):
            command = command.commands[rest.split()[0]]
        known = {
            flag
            for parameter in command.params
            for flag in (*parameter.opts, *parameter.secondary_opts)
        }
        assert set(re.findall(r"(?<= )--[a-z-]+", rest)) <= known, f"{page}: {tool} {name}{rest}"


def test_ci_calls_the_readmes_own_command() -> None:
    script = ROOT / ".ci/run"
    assert os.access(script, os.X_OK)
    assert re.search(r"^(\w+=\S+ )*make test$", script.read_text(), re.MULTILINE)
