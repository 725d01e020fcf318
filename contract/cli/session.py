"""Judging a host as a command: say what it costs, ask, judge, write every report."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from contract.check import Check
from contract.cli.options import budget
from contract.consequences import with_causes
from contract.plan import UnknownCheckError, cost, select
from contract.preflight import PREFLIGHT, CouldNotRunError, preflight, reach_clock
from contract.report.builder import Report, ReportBuilder, report_builder
from contract.result import NotRun
from contract.runner import Outcome, Result, run_checks
from contract.target import Capabilities, Target

if TYPE_CHECKING:
    from contract.admin import AdminClock
    from contract.report.terminal import TerminalReport

_Told = TypeVar("_Told")


@dataclass(frozen=True, slots=True)
class Reports:
    """The files to write, each tried before the run so that nothing is paid for in vain."""

    junit: Path | None
    json: Path | None
    html: Path | None

    def try_out(self) -> None:
        given = [path for path in (self.junit, self.json, self.html) if path is not None]
        if len({path.resolve() for path in given}) < len(given):
            raise click.UsageError("two reports cannot be written to one file")
        for path in given:
            new = not path.exists()
            try:
                path.open("ab").close()
                if new:
                    path.unlink()
            except OSError as error:
                raise click.UsageError(
                    f"{path} cannot be written: {error.strerror or error}"
                ) from None

    def write(self, report: Report) -> list[str]:
        """Write them all; returns their names."""
        from contract.report.html import write_html
        from contract.report.json_report import write_json
        from contract.report.junit import write_junit

        written = self.write_with(report, json=write_json, html=write_html)
        return [*_written(report, self.junit, write_junit), *written]

    def write_with(
        self,
        told: _Told,
        *,
        json: Callable[[_Told, Path], None],
        html: Callable[[_Told, Path], None],
    ) -> list[str]:
        """Write what ``told`` holds by those functions; returns the names."""
        return [*_written(told, self.json, json), *_written(told, self.html, html)]


def _written(told: _Told, path: Path | None, write: Callable[[_Told, Path], None]) -> list[str]:
    if path is None:
        return []
    try:
        write(told, path)
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror or error}") from None
    return [str(path)]


def selected(only: Sequence[str], skip: Sequence[str]) -> list[Check]:
    try:
        checks = select(all_checks(), only, skip)
    except UnknownCheckError as error:
        raise click.UsageError(str(error)) from None
    if not checks:
        raise click.UsageError("--only and --skip leave no check to judge")
    return checks


def all_checks() -> Mapping[str, Check]:
    import contract.checks
    from contract.check import CHECKS

    assert contract.checks
    return CHECKS


def capabilities_from(options: Mapping[str, Any]) -> Capabilities:
    """What ``options`` lend. Raises ``click.UsageError`` for a token without an address that it is
    for.
    """
    clock = _clock(options["admin_url"], options["admin_token"])
    return Capabilities(
        api_key=options["api_key"],
        secret=options["secret_key"],
        app_keys=options["app_keys"],
        all_models=options["all_models"],
        free_runs=options["free_runs"],
        max_runs=budget(options["max_runs"], options["free_runs"] or clock is not None),
        seed=options["seed"],
        clock=clock,
        files_url=options["files_url"],
    )


def _clock(url: str | None, token: str | None) -> AdminClock | None:
    if url is None:
        if token is not None:
            raise click.UsageError(
                "--admin-token is for an admin API; name its address with --admin-url"
            )
        return None
    from contract.admin import AdminClock

    return AdminClock(url, token)


def give_back(capabilities: Capabilities) -> None:
    """Leave the host's clock as it was, whatever became of the run; where that fails, somebody has
    to know.
    """
    if capabilities.clock is None:
        return
    try:
        capabilities.clock.close()
    except NotRun as trouble:
        click.echo(f"Error: {trouble.reason}", err=True)


@dataclass(frozen=True, slots=True)
class Session:
    """A run that is about to be: which checks, of which host, how."""

    base_url: str
    checks: Sequence[Check]
    target: Target
    options: Mapping[str, Any]

    @property
    def planned(self) -> int:
        return cost(self.checks, self.target.capabilities)

    @property
    def report_builder(self) -> ReportBuilder:
        return report_builder(self.target)

    def report(
        self,
        results: Sequence[Result],
        began: datetime.datetime,
        seconds: float,
        cut: bool = False,
        cause: str = "",
    ) -> Report:
        """What came of it; ``cause`` says why the host could not be judged at all, or not to the
        end.
        """
        strict = bool(self.options["strict_observed"])
        rows, exchanges = self.report_builder.rows(with_causes(results), strict)
        return Report(
            host=self.base_url,
            host_version=self.report_builder.text(
                self.options["host_version"] or self._said_version()
            ),
            began=began,
            seconds=seconds,
            planned=self.planned,
            images=self.target.accepted_runs,
            unanswered=self.target.runs_without_answer,
            strict_observed=strict,
            interrupted=cut,
            rows=rows,
            exchanges=exchanges,
            cause=self.report_builder.text(cause),
        )

    def _said_version(self) -> str:
        said = (exchange.header("x-version") for exchange in self.target.exchanges)
        return next((version for version in said if version), "")[:40]


def judged(run: Session, reports: Reports) -> Report:
    """Say what it costs, ask the host, judge, and write every report.

    Raises ``click.ClickException`` for a host that cannot be judged; the reports are written then
    too.
    """
    from contract.report.terminal import TerminalReport

    terminal = TerminalReport()
    terminal.begin(run.base_url, len(run.checks), run.planned, run.target.capabilities.free_runs)
    if run.options["confirm"] and not click.confirm("Start?"):
        raise click.ClickException("not started")
    began, clock, cut = datetime.datetime.now(datetime.UTC), time.monotonic(), False
    try:
        results = _results(run, terminal)
    except CouldNotRunError as error:
        result = Result(PREFLIGHT, Outcome.ERROR, reason=str(error), exchange=error.exchange)
        report = run.report([result], began, time.monotonic() - clock, cause=str(error))
        if error.exchange is not None:  # whatever took a run for granted there was no Dify
            report = replace(report, images=0)
        terminal.wrote(reports.write(report))
        raise click.ClickException(f"{run.base_url}: {report.cause}") from None
    except KeyboardInterrupt as interrupt:
        cut = True
        results = getattr(interrupt, "results", None) or _none_judged(run.checks)
    report = run.report(results, began, time.monotonic() - clock, cut, run.target.gone or "")
    written = reports.write(report)  # first: a closed pipe must not lose what the host has paid for
    terminal.end(report)
    terminal.wrote(written)
    return report


def _results(run: Session, terminal: TerminalReport) -> list[Result]:
    options = run.options
    preflight(run.target)
    reach_clock(run.target)
    with terminal.progress(len(run.checks)) as on_result:
        return run_checks(
            run.target, run.checks, on_result, options["fail_fast"], options["strict_observed"]
        )


def _none_judged(checks: Sequence[Check]) -> list[Result]:
    return [Result(check, Outcome.NOT_RUN, reason="interrupted") for check in checks]
