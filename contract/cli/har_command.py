"""``contract har``: recordings as an HTTP Archive for other tools, and archives of browsers as
recordings.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from contract.cli.options import FILE, redaction_options, redaction_rules, warn_of_suspicions

if TYPE_CHECKING:
    from dify_wire.recording.folder import RecordingWriter
    from dify_wire.recording.har_import import Imported, LeftOut


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
@click.option(
    "--json", "as_json", is_flag=True, help="Say as JSON what was taken and what was left out."
)
def import_(file: Path, folder: Path, as_json: bool, **options: Any) -> None:
    """Write the exchanges of the archive FILE to FOLDER as recordings, without keys, signatures,
    cookies and users.

    FILE is a HAR, or a zip of one with its attached bodies. Entries are taken one by one; those
    that cannot be taken are named with the reason. The exit code is 2 where none can be.
    """
    from dify_wire.recording.folder import RecordingWriter
    from dify_wire.recording.har_import import read_har
    from dify_wire.redaction.exchange import RecordingRedactor

    rules = redaction_rules(options["redact"])
    found = read_har(file)
    redactor = RecordingRedactor(rules=rules, keep_user=options["keep_user"])
    with RecordingWriter(folder, None if options["keep_secrets"] else redactor) as writer:
        taken, not_written = _write(writer, found)
    warn_of_suspicions(folder, writer)
    left_out = [*found.left_out, *not_written]
    if as_json:
        click.echo(
            json.dumps(
                {"folder": str(folder), "exchanges": taken, "left_out": list(map(asdict, left_out))}
            )
        )
    else:
        for one in left_out:
            click.echo(f"left out: {one}", err=True)
        click.echo(
            f"{taken} exchanges in {folder}" + (f", {len(left_out)} left out" if left_out else "")
        )
    if left_out and not taken:
        raise click.ClickException(f"{file}: none of its entries can be taken")


def _write(writer: RecordingWriter, found: Imported) -> tuple[int, list[LeftOut]]:
    """Write what was found: how many exchanges that were, and what had to be left out."""
    from dify_wire.recording.har_import import LeftOut
    from dify_wire.spec_error import RecordingError

    written, left_out = 0, list[LeftOut]()
    for number, recording in zip(found.numbers, found.recordings, strict=True):
        bodies: list[str] = []
        writer.left_out = bodies.append
        try:
            writer.write(recording)
            written += 1
        except OSError as error:
            message = f"{writer.folder} cannot be written: {error.strerror or error}"
            raise click.ClickException(message) from None
        except RecordingError as error:
            bodies.append(error.message)
        left_out += [LeftOut(number, f"log.entries[{number}]", why) for why in bodies]
    return written, left_out
