"""``contract diff``: where two hosts differ, each asked or recorded."""

from __future__ import annotations

from typing import Any

import click

from contract.cli.comparing import compared, comparing_options, lending, reports, side


@click.command()
@click.argument("a")
@click.argument("b")
@lending("-a")
@lending("-b")
@comparing_options
@click.pass_context
def diff(context: click.Context, /, **options: Any) -> None:
    """Compare A with B, each a URL or a folder of recordings: the same requests, both answers.

    Exit code 0: no drift, 1: drift, 2: they could not be compared.
    """
    from contract.report.diff_html import write_html
    from contract.report.diff_json import write_json
    from contract.report.diff_terminal import DiffTerminal

    files = reports(options)
    a, b = side(options["a"], options, "_a"), side(options["b"], options, "_b")
    comparison = compared(a, b, options, files)
    terminal = DiffTerminal()
    written = files.write_with(comparison, json=write_json, html=write_html)
    terminal.end(comparison)
    terminal.wrote(written)
    context.exit(comparison.exit_code)
