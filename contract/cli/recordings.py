"""``contract record``, ``recordings`` and ``har``: make, look after and exchange recordings."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from contract.cli.options import (
    FILE,
    FOLDER,
    option,
    redaction_options,
    redaction_rules,
    run_options,
    warn_of_suspicions,
)
from dify_wire.command import CommandGroup
from dify_wire.strict import counted
from dify_wire.text_file import SpecError

if TYPE_CHECKING:
    from contract.record import BackgroundWriter, Recorder
    from contract.report.builder import Report
    from dify_wire.recording.folder import RecordingWriter
    from dify_wire.recording.har_import import Imported, LeftOut


@click.command()
@option("--to", type=FOLDER, required=True, help="The folder of recordings.")
@option("--append", is_flag=True, help="Add to the recordings that are in the folder.")
@redaction_options
@run_options
@click.pass_context
def record(context: click.Context, /, **options: Any) -> None:
    """Check a host as run does, and record every exchange, without secrets.

    Exit codes are those of run; the recordings are written whatever the results. Exit code 2: an
    exchange could not be written.
    """
    from contract.cli.session import Session
    from contract.record import BackgroundWriter, Recorder, keys_of, open_folder
    from dify_wire.recording.folder import RecordingWriter
    from dify_wire.redaction.exchange import RecordingRedactor

    folder = options["to"]
    rules = redaction_rules(options["redact"])
    session = Session.prepare(options)
    names = open_folder(folder, options["append"])
    keys, secrets = keys_of(session.capabilities), session.capabilities.secrets
    redactor = RecordingRedactor(keys, secrets, rules, options["keep_user"])
    with RecordingWriter(folder, redactor) as writer:
        if writer.leftovers:
            files = counted(len(writer.leftovers), "unfinished file")
            click.echo(f"removed what a killed recorder left: {files}", err=True)
        recordings = BackgroundWriter(writer)
        try:
            with session.connected() as transport:
                url = options["base_url"]
                recorder = Recorder(transport, url, keys, recordings.write, names)
                report = session.run(recorder)
        finally:
            recordings.finish()
    _show_recorded(folder, recordings, recorder, report)
    warn_of_suspicions(folder, writer)
    context.exit(2 if recordings.lost else report.exit_code)


def _show_recorded(
    folder: Path, recordings: BackgroundWriter, recorder: Recorder, report: Report
) -> None:
    """What was recorded, and what was not, with the reason."""
    from contract.result import Status

    images = f"{counted(recordings.images, 'image')} among them"
    click.echo(f"recorded: {counted(recordings.exchanges, 'exchange')} in {folder}, {images}")
    if recorder.without_response:
        click.echo(f"left out: {counted(recorder.without_response, 'request')} without a response")
    if recorder.while_clock_moved:
        requests = counted(recorder.while_clock_moved, "request")
        click.echo(f"left out: {requests} while the host's clock was moved")
    left_out = [*report.of(Status.NOT_RUN), *report.of(Status.SKIPPED)]
    for reason, count in Counter(result.reason for result in left_out).items():
        click.echo(f"left out: the requests of {counted(count, 'check')}: {reason}")
    for loss in recordings.lost[:10]:
        click.echo(f"Error: {loss}", err=True)
    if recordings.lost:
        exchanges = counted(len(recordings.lost), "exchange")
        click.echo(f"Error: {exchanges} lost; make room and record again", err=True)


@click.group(cls=CommandGroup)
def recordings() -> None:
    """Look after folders of recordings."""


@recordings.command(name="fix")
@click.argument("folder", metavar="DIR", type=FILE)
@click.option("--check", is_flag=True, help="Show what would be done, and write nothing.")
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
        raise _not_written(folder, error) from None
    for path, changes in fixed.changes.items():
        for change in changes:
            click.echo(f"{path}: {change}")
    for failed in fixed.failed:
        click.echo(f"Error: {failed}", err=True)
    verb = "would be fixed" if check else "fixed"
    click.echo(
        f"{counted(len(fixed.changes), 'recording')} {verb}, {len(fixed.failed)} cannot be read"
    )
    context.exit(2 if fixed.failed else 1 if check and fixed.changes else 0)


@recordings.command(name="check")
@click.argument("paths", metavar="DIR|FILE...", type=FILE, nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object a line.")
@click.pass_context
def check(context: click.Context, /, paths: tuple[Path, ...], as_json: bool) -> None:
    """Show what in recordings looks personal or secret, and which option takes it out.

    Folders of recordings, or single files of them, as a pre-commit hook names them; other files are
    skipped. Exit code 0: nothing; 1: something; 2: a recording cannot be read.
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
                line = f"{path}: {one}"
                if as_json:
                    place = {"file": str(path), "place": one.place}
                    values = {**place, "looks_like": one.like, "option": one.option}
                    line = json.dumps(values, ensure_ascii=False)
                click.echo(line)
        except SpecError as error:
            failed += 1
            click.echo(f"Error: {error}", err=True)
    looks = "looks" if found == 1 else "look"
    counts = f"{counted(found, 'place')} {looks} personal or secret, {failed} cannot be read"
    click.echo(f"{counted(files, 'recording')}, {counts}", err=as_json)
    context.exit(2 if failed else 1 if found else 0)


def _recording_files(paths: Iterable[Path]) -> Iterator[Path | SpecError]:
    """The files of recordings, or why a folder cannot be read."""
    from dify_wire.recording.folder import is_recording_file, recording_files

    for path in paths:
        if path.is_file() and not is_recording_file(path):
            continue
        try:
            yield from [path] if path.is_file() else recording_files(path)
        except SpecError as error:
            yield error


@click.group(cls=CommandGroup)
def har() -> None:
    """Exchange recordings with other tools as HTTP Archives (HAR 1.2)."""


@har.command(name="export")
@click.argument("folder", type=FILE)
@click.argument("file", type=FILE)
def export(folder: Path, file: Path) -> None:
    """Write the recordings in FOLDER to the archive FILE."""
    from dify_wire.recording.folder import read_folder
    from dify_wire.recording.har_file import to_har

    found = read_folder(folder)
    text = json.dumps(to_har(found), ensure_ascii=False, indent=1)
    try:
        file.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise _not_written(file, error) from None
    click.echo(f"{counted(len(found), 'exchange')} in {file}")


@har.command(name="import")
@click.argument("file", type=FILE)
@click.argument("folder", type=FILE)
@redaction_options
@click.option("--keep-secrets", is_flag=True, help="Take nothing out: the archive has no secrets.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Write folder, number of exchanges, and what was left out and why, as JSON.",
)
def import_(file: Path, folder: Path, as_json: bool, **options: Any) -> None:
    """Write the exchanges of the archive FILE to FOLDER as recordings, without keys, signatures,
    cookies and users.

    FILE is a HAR, or a zip of one with its attached bodies. Entries are taken one by one; those
    that cannot be taken are named with the reason. The exit code is 2 if none can be taken.
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
        entries = [asdict(one) for one in left_out]
        click.echo(json.dumps({"folder": str(folder), "exchanges": taken, "left_out": entries}))
    else:
        for one in left_out:
            click.echo(f"left out: {one}", err=True)
        others = f", {len(left_out)} left out" if left_out else ""
        click.echo(f"{counted(taken, 'exchange')} in {folder}{others}")
    if left_out and not taken:
        raise click.ClickException(f"{file}: none of its entries can be taken")


def _write(writer: RecordingWriter, found: Imported) -> tuple[int, list[LeftOut]]:
    """How many exchanges of ``found`` were written, and what had to be left out."""
    from dify_wire.recording.har_import import LeftOut
    from dify_wire.text_file import RecordingError

    written, left_out = 0, list[LeftOut]()
    for number, recording in zip(found.numbers, found.recordings, strict=True):
        reasons: list[str] = []
        writer.left_out = reasons.append
        try:
            writer.write(recording)
            written += 1
        except OSError as error:
            raise _not_written(writer.folder, error) from None
        except RecordingError as error:
            reasons.append(error.message)
        left_out += [LeftOut(number, f"log.entries[{number}]", reason) for reason in reasons]
    return written, left_out


def _not_written(path: Path, error: OSError) -> click.ClickException:
    return click.ClickException(f"{path} cannot be written: {error.strerror or error}")
