"""``contract har``: recordings as an HTTP Archive for other tools, and archives of browsers as recordings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from contract.cli.options import FILE, redaction_options, redaction_rules


@click.group()
def har() -> None:
    """Exchange recordings with other tools as HTTP Archives (HAR 1.2)."""


@har.command(name="export")
@click.argument("folder", type=FILE)
@click.argument("file", type=FILE)
def export(folder: Path, file: Path) -> None:
    """Write the recordings in FOLDER to the archive FILE."""
    from dify_wire.recording.folder import read_folder
    from dify_wire.recording.har_export import to_har

    recordings = read_folder(folder)
    text = json.dumps(to_har(recordings), ensure_ascii=False, indent=1)
    try:
        file.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"{file} cannot be written: {error.strerror or error}") from None
    click.echo(f"{len(recordings)} exchanges in {file}")


@har.command(name="import")
@click.argument("file", type=FILE)
@click.argument("folder", type=FILE)
@redaction_options
@click.option("--keep-secrets", is_flag=True, help="Take nothing out: the archive holds no secret.")
def import_(file: Path, folder: Path, redact: Sequence[str], keep_user: bool, keep_secrets: bool) -> None:
    """Write the exchanges of the archive FILE to FOLDER as recordings, without keys, signatures, cookies and users."""
    from dify_wire.recording.folder import RecordingWriter
    from dify_wire.recording.har_import import read_har
    from dify_wire.recording.redact import RecordingRedactor

    rules = redaction_rules(redact)
    found = read_har(file)
    redactor = None if keep_secrets else RecordingRedactor(rules=rules, keep_user=keep_user)
    with RecordingWriter(folder, redactor) as writer:
        for recording in found.recordings:
            try:
                writer.write(recording)
            except OSError as error:
                raise click.ClickException(f"{folder} cannot be written: {error.strerror or error}") from None
    for left_out in found.left_out:
        click.echo(f"left out: {left_out}", err=True)
    click.echo(f"{len(found.recordings)} exchanges in {folder}")
