"""``contract record``: judge a host and keep what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from contract.cli import session
from contract.cli.options import (
    judging_options,
    option,
    redaction_options,
    redaction_rules,
    warn_of_suspicions,
)
from contract.report.builder import Report, Status, counted
from contract.target import Target

_LOST = 2


@click.command()
@option(
    "--to",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="The folder of recordings.",
)
@option("--append", is_flag=True, help="Add to the recordings that are in the folder.")
@redaction_options
@judging_options
@click.pass_context
def record(context: click.Context, /, **options: Any) -> None:
    """Judge a host as run does, and record every exchange, without secrets.

    Exit codes are those of run; the recordings are written whatever the verdict. What could not be
    written is 2.
    """
    from contract.client import HttpTransport
    from contract.record import FolderKeeper, Recorder, keys_of, open_folder, redactor
    from dify_wire.recording.folder import RecordingWriter

    checks = session.selected(options["only"], options["skip"])
    rules = redaction_rules(options["redact"])
    reports = session.Reports(options["junit"], options["json_"], options["html"])
    reports.try_out()
    capabilities = session.capabilities_from(options)
    names = open_folder(options["to"], options["append"])
    with RecordingWriter(
        options["to"], redactor(capabilities, rules, options["keep_user"])
    ) as writer:
        _tell_leftovers(writer.leftovers)
        transport = HttpTransport(options["base_url"], options["timeout"])
        keeper = FolderKeeper(writer)
        recorder = Recorder(transport, options["base_url"], keys_of(capabilities), names).into(
            keeper.keep
        )
        try:
            target = Target(recorder, capabilities)
            report = session.judged(
                session.Session(options["base_url"], checks, target, options), reports
            )
        finally:
            session.give_back(capabilities)
            transport.close()
            keeper.finish()
            keeper.kept.without_answer = recorder.without_answer
            keeper.kept.at_another_time = recorder.at_another_time
    _tell(options["to"], keeper.kept, report)
    warn_of_suspicions(options["to"], writer)
    context.exit(_LOST if keeper.kept.lost else report.exit_code)


def _tell_leftovers(leftovers: Sequence[str]) -> None:
    if leftovers:
        click.echo(
            f"removed what a killed recorder left: {counted(len(leftovers), 'unfinished file')}",
            err=True,
        )


def _tell(folder: Path, kept: Any, report: Report) -> None:
    """What was recorded, and what was not, with the reason."""
    click.echo(
        f"recorded: {counted(kept.exchanges, 'exchange')} in {folder}, {counted(kept.pictures, 'image')} among them"
    )
    if kept.without_answer:
        click.echo(f"left out: {counted(kept.without_answer, 'request')} without an answer")
    if kept.at_another_time:
        click.echo(
            f"left out: {counted(kept.at_another_time, 'request')} while the host's clock was moved"
        )
    for reason, count in _left_out(report).items():
        click.echo(f"left out: what {counted(count, 'check')} would have asked: {reason}")
    for loss in kept.lost[:10]:
        click.echo(f"Error: {loss}", err=True)
    if kept.lost:
        click.echo(
            f"Error: {counted(len(kept.lost), 'exchange')} lost; make room and record again",
            err=True,
        )


def _left_out(report: Report) -> dict[str, int]:
    reasons: dict[str, int] = {}
    for row in report.rows:
        if row.status in (Status.NOT_RUN, Status.SKIPPED):
            reasons[row.reason] = reasons.get(row.reason, 0) + 1
    return reasons
