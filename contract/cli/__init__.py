"""The command ``contract``: check a host, record it, compare two of them, list the checks.

Each setting is a flag, else ``CONTRACT_<NAME>`` from the environment. Exit codes: 0 if every check
passed, 1 if a check failed or two hosts differ, 2 if the host could not be checked, 130 after
Ctrl-C (with the report so far).
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NoReturn

import click

from contract.cli.compare import diff, drift, upgrade
from contract.cli.options import run_options
from contract.cli.recordings import har, record, recordings
from dify_wire import command


def main() -> None:
    """Run the command line; it ends with an exit code, never with a traceback."""
    command.take_any_output()
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
    with suppress(OSError, AttributeError):  # None: it was closed before the start
        sys.stdout.flush()
    if threading.active_count() > 1:
        os._exit(code)
    sys.exit(code)


@click.group(cls=command.CommandGroup, context_settings={"max_content_width": 100})
@click.version_option(package_name="fake-dify")
def cli() -> None:
    """Check whether a host keeps the contract of the workflow API, and show what it breaks."""


@cli.command()
@run_options
@click.pass_context
def run(context: click.Context, /, **options: Any) -> None:
    """Check a host.

    Exit code 0: every check passed, 1: a check failed or was not run, 2: the host could not be
    checked.
    """
    from contract.cli.session import Session

    session = Session.prepare(options)
    with session.connected() as transport:
        report = session.run(transport)
    context.exit(report.exit_code)


@cli.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def list_(as_json: bool) -> None:
    """Name every check, its claim, and where it is written."""
    from contract.check import verdicts
    from contract.checks import CHECKS

    checks = sorted(CHECKS.values(), key=lambda check: check.area)
    if as_json:
        listed = [
            {
                "name": check.name,
                "area": check.area,
                "claim": check.claim,
                "level": check.level.name.lower(),
                "source": check.source,
                "needs": [need.name.lower() for need in check.needs],
                "seen": str(verdicts().get(check.name, "")),
            }
            for check in checks
        ]
        click.echo(json.dumps(listed, ensure_ascii=False, indent=1))
        return
    area = ""
    for check in checks:
        if check.area != area:
            area = check.area
            click.echo(f"\n{area}")
        click.echo(f"  {check.name}\n      {check.claim}")
        click.echo(f"      {check.level.name.lower()}: {check.source}")


for _command in (record, diff, drift, upgrade, har, recordings):
    cli.add_command(_command)

command.with_common_options(cli)
