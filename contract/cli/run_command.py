"""``contract run``: judge a host."""

from __future__ import annotations

from typing import Any

import click

from contract.cli import session
from contract.cli.options import judging_options
from contract.target import Target


@click.command()
@judging_options
@click.pass_context
def run(context: click.Context, /, **options: Any) -> None:
    """Judge a host. Exit code 0: every check passed, 1: the contract is broken, 2: it could not be
    run.
    """
    from contract.client import HttpTransport

    checks = session.selected(options["only"], options["skip"])
    reports = session.Reports(options["junit"], options["json_"], options["html"])
    reports.try_out()
    capabilities = session.capabilities_from(options)
    transport = HttpTransport(options["base_url"], options["timeout"])
    try:
        target = Target(transport, capabilities)
        report = session.judged(
            session.Session(options["base_url"], checks, target, options), reports
        )
    finally:
        session.give_back(capabilities)
        transport.close()
    context.exit(report.exit_code)
