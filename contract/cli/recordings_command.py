"""``contract recordings``: look after folders of recordings."""

from __future__ import annotations

from pathlib import Path

import click

from contract.cli.options import FILE

_WOULD_CHANGE = 1


@click.group()
def recordings() -> None:
    """Look after folders of recordings."""


@recordings.command(name="fix")
@click.argument("folder", metavar="DIR", type=FILE)
@click.option("--check", is_flag=True, help="Say what would be done, and write nothing.")
@click.pass_context
def fix(context: click.Context, /, folder: Path, check: bool) -> None:
    """Make the recordings in DIR consistent after edits by hand.

    Content-Length, sizes of chunks, and names and sizes of side files follow the bodies. Exit code 0: all is
    consistent now; 1 with --check: something would be fixed; 2: a recording cannot be read.
    """
    from dify_wire.recording.fixing import fix_folder

    try:
        fixed = fix_folder(folder, check)
    except OSError as error:
        raise click.ClickException(f"{folder} cannot be written: {error.strerror or error}") from None
    for path, changes in fixed.changes.items():
        for change in changes:
            click.echo(f"{path}: {change}")
    for failed in fixed.failed:
        click.echo(f"Error: {failed}", err=True)
    verb = "would be fixed" if check else "fixed"
    click.echo(f"{len(fixed.changes)} recordings {verb}, {len(fixed.failed)} cannot be read")
    if fixed.failed:
        context.exit(2)
    context.exit(_WOULD_CHANGE if check and fixed.changes else 0)
