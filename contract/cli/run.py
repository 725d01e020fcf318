"""``contract run``, ``contract record`` and ``contract list``."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from contract.cli.options import (
    option,
    redaction_options,
    redaction_rules,
    run_options,
    warn_of_suspicions,
)

if TYPE_CHECKING:
    from contract.record import BackgroundWriter, Recorder
    from contract.report.builder import Report


@click.command()
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


@click.command()
@option(
    "--to",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="The folder of recordings.",
)
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
    from contract.record import BackgroundWriter, Recorder, keys_of, open_folder, redactor
    from contract.report.builder import counted
    from dify_wire.recording.folder import RecordingWriter

    folder = options["to"]
    rules = redaction_rules(options["redact"])
    session = Session.prepare(options)
    names = open_folder(folder, options["append"])
    own_redactor = redactor(session.capabilities, rules, options["keep_user"])
    with RecordingWriter(folder, own_redactor) as writer:
        if writer.leftovers:
            files = counted(len(writer.leftovers), "unfinished file")
            click.echo(f"removed what a killed recorder left: {files}", err=True)
        recordings = BackgroundWriter(writer)
        try:
            with session.connected() as transport:
                keys = keys_of(session.capabilities)
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
    from contract.report.builder import counted
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


@click.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def list_(as_json: bool) -> None:
    """Name every check, its claim, and where it is written."""
    from contract.cli import session
    from contract.verified import verdicts

    checks = session.all_checks().values()
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
