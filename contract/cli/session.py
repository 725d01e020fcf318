"""A run of the suite as a command: say what it costs, run the checks, write every report."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from contract.admin import AdminClock
from contract.app_inputs import given_inputs
from contract.check import Check
from contract.checks import CHECKS
from contract.cli.options import budget
from contract.client import HttpTransport
from contract.preflight import PREFLIGHT, CouldNotRunError, preflight, reach_clock
from contract.report.builder import Report, ReportBuilder
from contract.report.files import report_html, report_json, report_junit, to_text
from contract.report.terminal import TerminalReport
from contract.result import NotRun, Result, Status
from contract.runner import (
    UnknownCheckError,
    complete,
    cost,
    missing_extra,
    run_each,
    select,
    with_causes,
)
from contract.target import Capabilities, Target, Transport
from dify_wire.command import CommandError


@dataclass(frozen=True, slots=True)
class ReportFiles:
    """The files to write, by their format: junit, json or html."""

    paths: Mapping[str, Path]

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> ReportFiles:
        """Those of ``options``, tried before a run so that nothing is paid for in vain."""
        given = {name: options.get(name) for name in ("junit", "json", "html")}
        files = cls({name: path for name, path in given.items() if path is not None})
        files._try()
        return files

    def _try(self) -> None:
        if len({path.resolve() for path in self.paths.values()}) < len(self.paths):
            raise click.UsageError("two reports cannot be written to one file")
        for path in self.paths.values():
            new = not path.exists()
            try:
                path.open("ab").close()
                if new:
                    path.unlink()
            except OSError as error:
                raise click.UsageError(_not_written(path, error)) from None

    def write(self, **texts: Callable[[], str]) -> list[str]:
        """Write each file with the text of its format; returns the names."""
        for name, path in self.paths.items():
            try:
                path.write_text(texts[name](), encoding="utf-8")
            except OSError as error:
                raise click.ClickException(_not_written(path, error)) from None
        return [str(path) for path in self.paths.values()]


def _not_written(path: Path, error: OSError) -> str:
    return f"{path} cannot be written: {error.strerror or error}"


def capabilities_from(options: Mapping[str, Any]) -> Capabilities:
    """Raises ``click.UsageError`` for a token without the address that it is for."""
    url, token = options["admin_url"], options["admin_token"]
    if url is None and token is not None:
        message = "--admin-token is for an admin API; name its address with --admin-url"
        raise click.UsageError(message)
    clock = AdminClock(url, token) if url is not None else None
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
        host_version=options["host_version"],
        inputs=given_inputs(options["inputs"], options["app_file"]),
    )


@dataclass(frozen=True, slots=True)
class Session:
    """Which checks of which host are to run, and how."""

    options: Mapping[str, Any]
    checks: Sequence[Check]
    files: ReportFiles
    capabilities: Capabilities

    @classmethod
    def prepare(cls, options: Mapping[str, Any]) -> Session:
        """Find whatever is wrong with ``options`` before anything is sent."""
        try:
            checks = select(CHECKS, options["only"], options["skip"])
        except UnknownCheckError as error:
            raise click.UsageError(str(error)) from None
        if not checks:
            raise click.UsageError("--only and --skip leave no check to run")
        if (message := missing_extra(checks)) is not None:
            raise CommandError(message)
        return cls(options, checks, ReportFiles.of(options), capabilities_from(options))

    @contextmanager
    def connected(self) -> Iterator[HttpTransport]:
        """A transport to the host; at the end the host's clock is as it was."""
        transport = HttpTransport(self.options["base_url"], self.options["timeout"])
        try:
            yield transport
        finally:
            try:
                if self.capabilities.clock is not None:
                    self.capabilities.clock.close()
            except NotRun as error:
                click.echo(f"Error: {error.reason}", err=True)
            transport.close()

    def run(self, transport: Transport) -> Report:
        """Run the checks and write the reports, also after Ctrl-C.

        Raises ``click.ClickException`` for a host that cannot be checked, after the reports.
        """
        base_url, terminal = self.options["base_url"], TerminalReport()
        planned = cost(self.checks, self.capabilities)
        terminal.begin(base_url, len(self.checks), planned, self.capabilities.free_runs)
        if self.options["confirm"] and not click.confirm("Start?"):
            raise click.ClickException("not started")
        target = Target(transport, self.capabilities)
        report = self._run(target, terminal, planned)
        # Written first: a closed pipe must not lose what the host has been paid for.
        written = self.files.write(
            junit=lambda: report_junit(report),
            json=lambda: to_text(report_json(report)),
            html=lambda: report_html(report),
        )
        if report.results[0].check is PREFLIGHT:
            terminal.wrote(written)
            raise click.ClickException(f"{base_url}: {report.cause}")
        terminal.end(report)
        terminal.wrote(written)
        return report

    def _run(self, target: Target, terminal: TerminalReport, planned: int) -> Report:
        began, started = datetime.datetime.now(datetime.UTC), time.monotonic()
        strict, fail_fast = self.options["strict_observed"], self.options["fail_fast"]
        found: list[Result] = []
        cause = reason = ""
        checked = True
        try:
            preflight(target)
            reach_clock(target)
            with (
                terminal.progress(len(self.checks)) as on_result,
                closing(run_each(target, self.checks)) as results,
            ):
                for result in results:
                    found.append(result)
                    on_result(result)
                    if fail_fast and result.fails(strict):
                        reason = "an earlier check failed (--fail-fast)"
                        break
        except CouldNotRunError as error:
            cause, checked = str(error), error.exchange is None
            found = [Result(PREFLIGHT, Status.NOT_RUN, reason=str(error), exchange=error.exchange)]
        except KeyboardInterrupt:
            reason = "interrupted"
        if not cause:
            found = complete(found, self.checks, target, reason)
        builder = ReportBuilder.of(target)
        basis = target.basis
        return Report(
            host=self.options["base_url"],
            host_version=builder.text(basis.stated[:40]),
            compared_with=basis.version,
            basis=builder.text(basis.sentence),
            began=began,
            seconds=time.monotonic() - started,
            planned=planned,
            # A host that is not Dify made no images, whatever it took for a run.
            images=target.accepted_runs if checked else 0,
            unanswered=target.runs_without_response,
            strict=strict,
            interrupted=reason == "interrupted",
            results=builder.results(with_causes(found), strict),
            cause=builder.text(cause or target.gone or ""),
        )
