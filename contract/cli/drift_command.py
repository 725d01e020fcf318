"""``contract drift``: what a nightly job calls."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import click

from contract.cli.comparing import compared, comparing_options, host, lending, reports, side
from contract.cli.options import base_url, option

_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command()
@option(
    "--recordings",
    type=_FOLDER,
    required=True,
    help="The folder of recordings that the host is held against.",
)
@option(
    "--base-url",
    required=True,
    callback=base_url,
    help="The host's address, such as http://127.0.0.1:6060.",
)
@option("--history", type=_FOLDER, required=True, help="The folder that keeps one result a day.")
@lending("")
@comparing_options
@click.pass_context
def drift(context: click.Context, /, **options: Any) -> None:
    """Compare a host with its recordings, keep the result, and tell since when each difference has
    been there.

    Exit code 0: no drift, 1: drift, 2: they could not be compared, and nothing was kept.
    """
    context.exit(tonight(options, datetime.datetime.now(datetime.UTC).date()))


def tonight(options: dict[str, Any], today: datetime.date) -> int:
    """What the command does, on the day ``today``; the exit code."""
    from contract.drift.history import check_writable, keep, news, read_history
    from contract.report.diff_html import write_html
    from contract.report.diff_json import write_json
    from contract.report.diff_terminal import DiffTerminal

    files = reports(options)
    check_writable(options["history"])
    nights = read_history(options["history"])
    recorded = side(str(options["recordings"]), options, "")
    comparison = compared(recorded, host(options["base_url"], options, ""), options, files)
    terminal = DiffTerminal()
    told = news(comparison, nights, today)
    written = files.write_with(
        comparison,
        json=write_json,
        html=lambda one, path: write_html(one, path, told.since, told.gone),
    )
    if comparison.requests:
        written.append(str(keep(comparison, options["history"], today)))
    terminal.end(comparison, told.since)
    terminal.gone(told.gone)
    terminal.wrote(written)
    return comparison.exit_code
