"""docs/contract.md says what is true: every option is in it, its commands and its program run."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys

import click
import pytest

from contract.cli import exit_code, run
from contract.cli.compare import diff, drift
from contract.cli.recordings import record
from tests.serving import ROOT, server_process

pytestmark = pytest.mark.server

PAGE = (ROOT / "docs/contract.md").read_text()
COMMANDS = (run, record, diff, drift)
OPTIONS = {
    parameter.opts[0]: parameter
    for command in COMMANDS
    for parameter in command.params
    if isinstance(parameter, click.Option)
}


@pytest.mark.parametrize("option", OPTIONS.values(), ids=OPTIONS)
def test_every_option_is_documented(option: click.Option) -> None:
    assert re.search(rf"`{option.opts[0]}\b", PAGE)


def block(after: str, language: str) -> str:
    match = re.search(rf"```{language}\n(.*?)```", PAGE[PAGE.index(after) :], re.DOTALL)
    assert match is not None
    return match[1]


def test_first_command_holds_on_the_fake(capsys: pytest.CaptureFixture[str]) -> None:
    program, *arguments = shlex.split(block("# Does a host", "sh"))
    assert program == "contract"
    with server_process("--speed", "instant") as server:
        arguments = [
            server.url if argument.startswith("http:") else argument for argument in arguments
        ]
        assert exit_code([*arguments, "--only", "*_is_405"]) == 0
    assert "Passed: no check failed." in capsys.readouterr().out


def test_program_checks_the_recorded_host() -> None:
    program = block("## Where a check was seen to pass", "python").replace("CHECKS.values()", "few")
    program = program.replace("folder = ", "few = list(CHECKS.values())[:60]\nfolder = ", 1)
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "passed parameters_need_the_key" in ended.stdout
