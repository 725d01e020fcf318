"""``contract upgrade``: what changes for a client between two versions of Dify."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from contract.cli.options import FILE, option, report_options


@click.command()
@click.argument("a", metavar="FROM")
@click.argument("b", metavar="TO")
@option("--app-file", type=FILE, help="An exported app: only what a client of it can meet.")
@report_options
@option(
    "--fail-on",
    type=click.Choice(["breaks", "changes", "adds", "writes"]),
    help="Exit code 1 for a change of this weight, or a heavier one.",
)
@click.pass_context
def upgrade(context: click.Context, /, **options: Any) -> None:
    """Show what a client sees when its host moves from version FROM to version TO, worst first.

    Both sides come from recordings of real hosts; no host is needed. A prefix such as 1.10 means
    the newest recorded version. Exit code 0: it was compared, 1: see --fail-on, 2: it could not be.
    """
    context.exit(run_upgrade(options))


def run_upgrade(options: Mapping[str, Any]) -> int:
    """What the command does; the exit code."""
    from contract.cli.session import ReportFiles
    from contract.report.files import to_text
    from contract.report.upgrade import TerminalUpgrade, upgrade_html, upgrade_json
    from contract.upgrade.app import read_app
    from contract.upgrade.changes import Severity
    from contract.upgrade.changes import upgrade as compared
    from dify_wire.profile import recorded_version

    files = ReportFiles.of(options)
    a, b = recorded_version(options["a"]), recorded_version(options["b"])
    if a == b:
        raise click.UsageError(f"both versions are {a}; name two")
    path: Path | None = options["app_file"]
    found = compared(a, b, None if path is None else read_app(path))
    terminal = TerminalUpgrade()
    terminal.show(found)
    terminal.wrote(
        files.write(json=lambda: to_text(upgrade_json(found)), html=lambda: upgrade_html(found))
    )
    limit = options["fail_on"]
    heaviest = min((one.severity for one in found.changes), default=None)
    if limit is None or heaviest is None:
        return 0
    return 1 if heaviest <= Severity[limit.upper()] else 0
