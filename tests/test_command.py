"""How a command ends: its exit code, one line on stderr, a traceback only for ``--debug``."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from contract.cli import cli as contract_cli
from dify_wire.command import CommandError, exit_code, with_common_options
from dify_wire.text_file import SpecError
from fake_server.cli import cli

_UNFORESEEN = (
    "Error: tool failed: ValueError: two lines; this is a mistake in tool: please report it with "
    "the traceback that --debug shows\n"
)


def _raise(error: BaseException) -> Callable[[], object]:
    def run() -> object:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (CommandError("give a file"), 2, "Error: give a file\n"),
        (click.UsageError("no such option"), 2, "Error: no such option\n"),
        (SpecError("a.yml", "line 3", "take it out"), 2, "Error: a.yml: line 3: take it out\n"),
        (KeyboardInterrupt(), 130, ""),
        (SystemExit(0), 0, ""),
        (SystemExit(1), 2, ""),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 2, ""),
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
            2,
            "Error: tool cannot write: no space left on device; make room and run it again\n",
        ),
        (ValueError("two\nlines"), 2, _UNFORESEEN),
    ],
)
def test_every_error_is_one_line_and_a_code(
    error: BaseException, code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(_raise(error), "tool", []) == code
    assert capsys.readouterr().err == message


def test_a_long_error_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    exit_code(_raise(ValueError("x" * 100_000)), "tool", [])
    assert len(capsys.readouterr().err) < 600


def test_debug_shows_the_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        exit_code(lambda: 1 // 0, "tool", ["--debug"])


@pytest.mark.parametrize(("result", "code"), [(None, 0), (1, 1), ("text", 0)])
def test_what_a_command_returns_is_its_code(result: object, code: int) -> None:
    assert exit_code(lambda: result, "tool", []) == code


def test_every_command_takes_debug() -> None:
    group = click.Group("outer", commands={"inner": click.Command("inner")})
    with_common_options(group)
    for arguments in (["--debug", "inner"], ["inner", "--debug"]):
        assert group.main(arguments, standalone_mode=False) is None


def test_debug_is_not_a_setting(tmp_path: Path) -> None:
    config = tmp_path / "settings.toml"
    config.write_text("debug = true")
    with pytest.raises(click.BadParameter, match="'debug' is not a known setting"):
        cli.main(["serve", "--config", str(config)], standalone_mode=False)


BAD_TOML = {
    "nested 3,000 deep": b"a = " + b"[" * 3_000 + b"]" * 3_000,
    "a number of 5,000 digits": b"seed = " + b"9" * 5_000,
    "not TOML": b"port = ",
    "not UTF-8": b"host = '\xff'",
    "a NUL": b"host = '\0'",
    "a table where a text belongs": b"[host]\na = 1",
    "a date": b"host = 2024-05-01",
    "an endless number": b"seed = inf",
}


@pytest.mark.parametrize("content", BAD_TOML.values(), ids=BAD_TOML)
def test_a_bad_config_names_its_file(content: bytes, tmp_path: Path) -> None:
    config = tmp_path / "settings.toml"
    config.write_bytes(content)
    with pytest.raises(click.BadParameter) as error:
        cli.main(["serve", "--config", str(config)], standalone_mode=False)
    assert str(config) in error.value.message
    assert "\n" not in error.value.message.strip()


@pytest.mark.server
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_is_one_line() -> None:
    command = [sys.executable, "-m", "fake_server", "scenarios"]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(command, text=True, stdout=full, stderr=subprocess.PIPE, check=False)
    assert ended.returncode == 2
    assert ended.stderr == (
        "Error: fake-server cannot write: no space left on device; make room and run it again\n"
    )


def test_hidden_option_is_not_suggested(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["record", "--fetch-picture"]
    assert exit_code(lambda: cli(arguments, standalone_mode=False), "fake-server", arguments) == 2
    assert "--fetch-images" in (error := capsys.readouterr().err)
    assert "--fetch-pictures" not in error


def _all_commands(command: click.Command, *path: str) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from _all_commands(below, *path, name)


@pytest.mark.parametrize(
    ("program", "path"),
    [
        (program, path)
        for program, group in {"fake-server": cli, "contract": contract_cli}.items()
        for path in _all_commands(group)
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value) or "itself",
)
def test_help_is_whole_in_80_columns(program: str, path: tuple[str, ...]) -> None:
    group = {"fake-server": cli, "contract": contract_cli}[program]
    shown = CliRunner(env={"COLUMNS": "80"}).invoke(group, [*path, "--help"], terminal_width=80)
    assert shown.exit_code == 0
    assert max(map(len, shown.output.splitlines())) <= 80
    assert "..." not in shown.output.partition("Commands:")[2]


@pytest.mark.parametrize("program", ["fake-server", "contract"])
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_shell_completion_is_a_script(program: str, shell: str) -> None:
    package = program.replace("-", "_")
    ended = subprocess.run(
        [sys.executable, "-m", package],
        env={**os.environ, f"_{package.upper()}_COMPLETE": f"{shell}_source"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert program in ended.stdout


def test_completion_knows_commands_and_options() -> None:
    """As bash asks for it."""
    for words, found in (("fake-server se", "serve"), ("fake-server serve --sp", "--speed")):
        environment = {
            "_FAKE_SERVER_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split()) - 1),
        }
        ended = subprocess.run(
            [sys.executable, "-m", "fake_server"],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=True,
        )
        assert f"plain,{found}\n" in ended.stdout


@pytest.mark.parametrize(
    ("program", "words", "typed", "completed"),
    [
        ("fake-server", ["serve", "--host-version"], "1.1", {"1.10.1", "1.13.3", "1.14.2"}),
        ("fake-server", ["serve", "--speed"], "i", {"instant"}),
        ("fake-server", ["serve", "--on-miss"], "f", {"fake", "forward"}),
        ("fake-server", ["scenarios"], "cut", {"cut_stream"}),
        ("fake-server", ["app", "check", "--host-version"], "0.1", {"0.15.3"}),
        ("fake-server", [], "do", {"doctor"}),
        ("contract", ["run", "--only"], "ping_", set()),
        ("contract", ["run", "--only"], "pings_are", {"pings_are_as_many_as_are_due"}),
        ("contract", ["run", "--host-version"], "a", {"auto"}),
        ("contract", ["upgrade", "0.6.4"], "0.1", {"0.15.3"}),
    ],
)
def test_shells_complete_values(
    program: str, words: list[str], typed: str, completed: set[str]
) -> None:
    group = {"fake-server": cli, "contract": contract_cli}[program]
    found = ShellComplete(group, {}, program, "").get_completions(words, typed)
    assert {one.value for one in found} >= completed
    assert all(one.value.startswith(typed) for one in found)


@pytest.mark.skipif(os.name != "posix", reason="closes streams as a POSIX shell does")
@pytest.mark.parametrize("command", ["contract list", "fake_server scenarios"])
def test_a_stdout_that_is_closed(command: str) -> None:
    line = f"exec {sys.executable} -m {command} >&-"
    ended = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
