"""``contract recordings``: look after folders of recordings."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from contract.cli.options import FILE
from dify_wire.spec_error import SpecError

_WOULD_CHANGE = 1
_SUSPICIOUS = 1
_UNREADABLE = 2


@click.group()
def recordings() -> None:
    """Look after folders of recordings."""


@recordings.command(name="fix")
@click.argument("folder", metavar="DIR", type=FILE)
@click.option("--check", is_flag=True, help="Say what would be done, and write nothing.")
@click.pass_context
def fix(context: click.Context, /, folder: Path, check: bool) -> None:
    """Make the recordings in DIR consistent after edits by hand.

    Content-Length, sizes of chunks, and names and sizes of side files follow the bodies. Exit code
    0: all is consistent now; 1 with --check: something would be fixed; 2: a recording cannot be
    read.
    """
    from dify_wire.recording.fixing import fix_folder

    try:
        fixed = fix_folder(folder, check)
    except OSError as error:
        raise click.ClickException(
            f"{folder} cannot be written: {error.strerror or error}"
        ) from None
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


@recordings.command(name="check")
@click.argument("paths", metavar="DIR|FILE...", type=FILE, nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object a line.")
@click.pass_context
def check(context: click.Context, /, paths: tuple[Path, ...], as_json: bool) -> None:
    """Say what in recordings looks personal or secret, with the option that takes it out.

    Folders of recordings, or single files of them, as a pre-commit hook names them; other files are
    passed over. Exit code 0: nothing; 1: something; 2: a recording cannot be read.
    """
    from dify_wire.recording.folder import read_recording
    from dify_wire.redaction.suspicion import suspicions

    found = failed = files = 0
    for path in _recording_files(paths):
        files += 1
        try:
            if isinstance(path, SpecError):
                raise path
            for one in suspicions(read_recording(path)):
                found += 1
                said = {
                    "file": str(path),
                    "place": one.place,
                    "looks_like": one.like,
                    "option": one.option,
                }
                click.echo(json.dumps(said, ensure_ascii=False) if as_json else f"{path}: {one}")
        except SpecError as error:
            failed += 1
            click.echo(f"Error: {error}", err=True)
    click.echo(
        f"{files} recordings, {found} places look personal or secret, {failed} cannot be read",
        err=as_json,
    )
    context.exit(_UNREADABLE if failed else _SUSPICIOUS if found else 0)


def _recording_files(paths: Iterable[Path]) -> Iterator[Path | SpecError]:
    """The files of recordings that are meant, or why a folder cannot be read."""
    from dify_wire.recording.folder import is_recording_file, recording_files

    for path in paths:
        if path.is_file() and not is_recording_file(path):
            continue
        try:
            yield from [path] if path.is_file() else recording_files(path)
        except SpecError as error:
            yield error
