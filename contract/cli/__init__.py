"""The command ``contract``: check a host, record it, compare two of them, list the checks.

Each setting is a flag, else ``CONTRACT_<NAME>`` from the environment. Exit codes: 0 if every check
passed, 1 if a check failed or two hosts differ, 2 if the host could not be checked, 130 after
Ctrl-C (with the report so far).
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

import click

from contract.cli.compare import diff, drift
from contract.cli.recordings import har, recordings
from contract.cli.run import list_, record, run
from dify_wire import command


def main() -> None:
    """Run the command line; it ends with an exit code, never with a traceback."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError):  # somebody's own stream
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    _end(exit_code())


def exit_code(arguments: Sequence[str] | None = None) -> int:
    """Run the command with ``arguments`` (those of the process by default)."""
    return command.exit_code(lambda: _run(arguments), "contract", arguments)


def _run(arguments: Sequence[str] | None) -> object:
    try:
        return cli.main(arguments, prog_name="contract", standalone_mode=False)
    except ModuleNotFoundError as error:
        message = f"{error}; contract needs its extra: pip install 'fake-dify[contract]'"
        raise command.CommandError(message) from None


def _end(code: int) -> NoReturn:
    """Exit at once, without waiting for requests in flight."""
    with suppress(OSError):
        sys.stdout.flush()
    if threading.active_count() > 1:
        os._exit(code)
    sys.exit(code)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="fake-dify")
def cli() -> None:
    """Check whether a host keeps the contract of the workflow API, and show what it breaks."""


for _command in (run, record, diff, drift, har, recordings, list_):
    cli.add_command(_command)

command.with_debug(cli)
