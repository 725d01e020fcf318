"""``contract diff``, ``contract drift`` and ``contract upgrade``."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from contract.cli.options import (
    FILE,
    FOLDER,
    base_url_option,
    budget,
    comparison_options,
    key_options,
    option,
    report_options,
)
from dify_wire.option_values import base_url, completed_by, host_versions

if TYPE_CHECKING:
    from contract.cli.session import ReportFiles
    from contract.diff.comparison import Comparison, DiffOptions, Side
    from contract.diff.drift import History
    from contract.diff.pairing import Host


@click.command()
@click.argument("a")
@click.argument("b")
@key_options("-a")
@key_options("-b")
@comparison_options
@click.pass_context
def diff(context: click.Context, /, **options: Any) -> None:
    """Compare A with B, each a URL or a folder of recordings: both responses to the same requests.

    Exit code 0: no drift, 1: drift, 2: they could not be compared.
    """
    from contract.cli.session import ReportFiles

    files = ReportFiles.of(options)
    a, b = _side(options["a"], options, "_a"), _side(options["b"], options, "_b")
    context.exit(_compare(a, b, options, files).exit_code)


@click.command()
@option(
    "--recordings",
    type=FOLDER,
    required=True,
    help="The folder of recordings to compare the host with.",
)
@base_url_option
@option("--history", type=FOLDER, required=True, help="The folder that keeps one result a day.")
@key_options("")
@comparison_options
@click.pass_context
def drift(context: click.Context, /, **options: Any) -> None:
    """Compare a host with its recordings, keep the result, and say since when each difference has
    been there.

    Exit code 0: no drift, 1: drift, 2: they could not be compared, and nothing was kept.
    """
    context.exit(run_drift(options, datetime.datetime.now(datetime.UTC).date()))


def run_drift(options: dict[str, Any], today: datetime.date) -> int:
    """What the command does, on the day ``today``; the exit code."""
    from contract.cli.session import ReportFiles
    from contract.diff.drift import History

    files = ReportFiles.of(options)
    history = History(options["history"], today)
    recorded = _side(str(options["recordings"]), options, "")
    live = _host(options["base_url"], options, "")
    return _compare(recorded, live, options, files, history).exit_code


def _side(where: str, options: Mapping[str, Any], name: str) -> Side:
    """The host or folder at ``where``. Raises ``click.UsageError`` and ``RecordingError``."""
    from contract.diff.pairing import Folder
    from dify_wire.recording.folder import read_folder

    if "://" in where:
        return _host(where, options, name)
    return Folder(Path(where), read_folder(Path(where)))


def _host(url: str, options: Mapping[str, Any], name: str) -> Host:
    """``name`` is that of the host's options: ``_a``, ``_b`` or empty."""
    from contract.diff.pairing import Host
    from dify_wire.app_kind import MAIN

    api_key = options[f"api_key{name}"]
    if api_key is None:
        raise click.UsageError(f"--api-key{name.replace('_', '-')} is missing: {url} needs a key")
    max_runs = budget(options["max_runs"], options["free_runs"])
    keys = {**options[f"apps{name}"], MAIN: api_key}
    url = base_url(None, None, url) or ""
    return Host(url, keys, options[f"secret_key{name}"], max_runs, options["timeout"])


def _diff_options(options: Mapping[str, Any]) -> DiffOptions:
    from contract.diff.comparison import DiffOptions
    from contract.diff.difference import RuleError, parse_ignored

    try:
        ignored = [parse_ignored(rule) for rule in options["ignore"]]
    except RuleError as error:
        raise click.UsageError(f"--ignore: {error}") from None
    timing, strict = options["timing"], options["strict_timing"]
    return DiffOptions(ignored, timing, strict, options["allow_not_compared"])


def _compare(
    a: Side, b: Side, options: Mapping[str, Any], files: ReportFiles, history: History | None = None
) -> Comparison:
    """Compare, and write every report. Raises ``click.ClickException`` for a host that cannot be
    compared, after the reports.
    """
    from contract.checks import CHECKS
    from contract.diff.comparison import compare, names_of, not_begun
    from contract.diff.drift import DriftDelta
    from contract.diff.pairing import Folder
    from contract.preflight import CouldNotRunError
    from contract.report.files import comparison_html, comparison_json, to_text
    from contract.report.terminal import TerminalComparison

    diff_options = _diff_options(options)
    with_recordings = isinstance(a, Folder) or isinstance(b, Folder)
    checks = [] if with_recordings else list(CHECKS.values())
    terminal = TerminalComparison()
    terminal.begin((str(a), str(b)), names_of(a, b))
    cause = ""
    try:
        with terminal.progress() as on_pair:
            comparison = compare(a, b, diff_options, checks, on_pair)
    except CouldNotRunError as error:
        comparison = not_begun(a, b, str(error))
        cause = comparison.cause
    delta = history.delta(comparison) if history and not cause else DriftDelta({}, [])
    text = to_text(comparison_json(comparison))
    written = files.write(
        json=lambda: text, html=lambda: comparison_html(comparison, delta.since, delta.gone)
    )
    if cause:
        terminal.wrote(written)
        raise click.ClickException(cause)
    if history and comparison.requests:
        written.append(str(history.keep(text)))
    terminal.end(comparison, delta.since, delta.gone)
    terminal.wrote(written)
    return comparison


@click.command()
@click.argument("a", metavar="FROM", shell_complete=completed_by(host_versions))
@click.argument("b", metavar="TO", shell_complete=completed_by(host_versions))
@option("--app-file", type=FILE, help="An exported app: only what a client of it can meet.")
@report_options
@option(
    "--fail-on",
    type=click.Choice(["breaks", "changes", "adds", "writes"]),
    help="Exit code 1 for a change of this severity, or a worse one.",
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
    worst = min((one.severity for one in found.changes), default=None)
    if limit is None or worst is None:
        return 0
    return 1 if worst <= Severity[limit.upper()] else 0
