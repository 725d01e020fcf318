"""The command ``contract``: run the checks against a host, or list them.

Each setting is a flag, else ``CONTRACT_<NAME>`` from the environment. Exit codes: 0 where all held, 1 where the
contract is broken, 2 where it could not be run, 130 after Ctrl-C (with the report so far).
"""

from __future__ import annotations

import datetime
import json
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

import click

from contract.check import Check
from contract.plan import UnknownCheckError, cost, select
from contract.preflight import CouldNotRunError, knock
from contract.report.account import Account, Accountant, accountant, area_of
from contract.runner import Outcome, Result, run_checks
from contract.target import DEFAULT_MAX_RUNS, DEFAULT_TIMEOUT_S, Lent, Target
from contract.verdicts import verdicts

if TYPE_CHECKING:
    from contract.report.terminal import TerminalReport

_PREFIX = "CONTRACT_"
_FILE = click.Path(path_type=Path)
_KINDS = ("chat", "unpublished", "disabled", "deleted")
_INTERRUPTED = 130
_COULD_NOT_RUN = 2
_Command = Callable[..., Any]


def main() -> None:
    """Run the command line; it ends with an exit code, never with a traceback."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError):  # somebody's own stream
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    _end(exit_code())


def exit_code(arguments: Sequence[str] | None = None) -> int:
    """Carry out ``arguments`` (those of the process where none are given) and say how it went."""
    try:
        code = cli.main(arguments, prog_name="contract", standalone_mode=False)
    except click.ClickException as error:
        error.show()
    except (click.Abort, KeyboardInterrupt):
        return _INTERRUPTED
    except SystemExit:  # click's way to say that whoever read our output has gone
        return _COULD_NOT_RUN
    except ModuleNotFoundError as error:
        click.echo(f"Error: {error}; contract needs its extra: pip install 'fake-dify[contract]'", err=True)
    except Exception as error:
        click.echo(f"Error: contract stumbled: {type(error).__name__}: {error}", err=True)
    else:
        return code if isinstance(code, int) else 0
    return _COULD_NOT_RUN


def _end(code: int) -> NoReturn:
    """Leave at once: a request that is still under way is not waited for."""
    with suppress(OSError):
        sys.stdout.flush()
    if threading.active_count() > 1:
        os._exit(code)
    sys.exit(code)


def _option(*names: str, **attributes: Any) -> Callable[[_Command], _Command]:
    """An option that the environment can set too, as ``CONTRACT_<NAME>``."""
    variable = _PREFIX + names[0].removeprefix("--").replace("-", "_").upper()
    return click.option(*names, envvar=variable, show_envvar=True, **attributes)


def _base_url(_: click.Context, __: click.Parameter, url: str) -> str:
    """The address without a path's last slash, and without the ``/v1`` that Dify's console shows with it."""
    try:
        parts = urlsplit(url)
        whole = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
    except ValueError as error:
        raise click.BadParameter(f"no address of a host: {error}") from None
    if "@" in parts.netloc:
        raise click.BadParameter("a name and a password have no place in it; the host is asked with the API key alone")
    if not whole or parts.query or parts.fragment or not url.isascii() or not url.isprintable():
        raise click.BadParameter(f"{url!r} is no address of a host, such as http://127.0.0.1:6060")
    return url.rstrip("/").removesuffix("/v1")


def _key(_: click.Context, parameter: click.Parameter, key: str | None) -> str | None:
    if key is not None and not (key == key.strip() != "" and key.isascii() and key.isprintable()):
        message = "is empty, or has characters that no header can carry, such as a blank at its end"
        raise click.BadParameter(message, param=parameter)
    return key


def _app_keys(_: click.Context, __: click.Parameter, apps: Sequence[str]) -> dict[str, str]:
    keys = {}
    for app in apps:
        key, equals, kind = app.rpartition("=")
        if not (equals and key) or kind not in _KINDS:
            raise click.BadParameter(f"expected KEY=KIND with a KIND of {', '.join(_KINDS)}")
        keys[kind] = key
    return keys


def _seconds(_: click.Context, __: click.Parameter, seconds: float) -> float:
    if not (math.isfinite(seconds) and 0 < seconds <= threading.TIMEOUT_MAX):
        raise click.BadParameter(f"{seconds} is no number of seconds to wait")
    return seconds


@dataclass(frozen=True, slots=True)
class _Reports:
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
                raise click.UsageError(f"{path} cannot be written: {error.strerror or error}") from None

    def write(self, account: Account) -> list[str]:
        """Write them all; returns their names."""
        from contract.report.html import write_html
        from contract.report.json_report import write_json
        from contract.report.junit import write_junit

        wanted = ((self.junit, write_junit), (self.json, write_json), (self.html, write_html))
        written = []
        for path, write in wanted:
            if path is not None:
                try:
                    write(account, path)
                except OSError as error:
                    raise click.ClickException(f"{path} cannot be written: {error.strerror or error}") from None
                written.append(str(path))
        return written


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="fake-dify")
def cli() -> None:
    """Does a host keep the contract of the workflow API? And if not, which promise does it break?"""


@cli.command()
@_option("--base-url", required=True, callback=_base_url, help="The host's address, such as http://127.0.0.1:6060.")
@_option("--api-key", required=True, callback=_key, help="The key of a workflow app.")
@_option("--secret-key", callback=_key, help="The host's SECRET_KEY, to judge what is signed with it.")
@_option(
    "--app",
    "app_keys",
    multiple=True,
    metavar="KEY=KIND",
    callback=_app_keys,
    help=f"The key of another app, {', '.join(_KINDS)}; repeatable.",
)
@_option("--only", multiple=True, metavar="NAME", help="Judge these checks alone; a name or a glob; repeatable.")
@_option("--skip", multiple=True, metavar="NAME", help="Leave these checks out; a name or a glob; repeatable.")
@_option("--all-models", is_flag=True, help="Ask for a picture of every model.")
@_option("--strict-observed", is_flag=True, help="Fail for differences between recorded versions too.")
@_option("--free-runs", is_flag=True, help="Runs cost nothing: generate valid requests, without a budget.")
@_option(
    "--max-runs",
    type=click.IntRange(min=0),
    help=f"Never have more pictures made than this.  [default: {DEFAULT_MAX_RUNS}; none with --free-runs]",
)
@_option("--fail-fast", is_flag=True, help="Stop at the first failure.")
@_option(
    "--timeout",
    type=float,
    default=DEFAULT_TIMEOUT_S,
    show_default=True,
    callback=_seconds,
    help="Seconds for a request with its whole answer.",
)
@_option("--seed", type=int, default=0, show_default=True, help="Of generated requests.")
@_option("--junit", type=_FILE, help="Write a report as JUnit XML.")
@_option("--json", "json_", type=_FILE, help="Write a report as JSON.")
@_option("--html", type=_FILE, help="Write a report as one HTML page.")
@_option("--host-version", help="The Dify version to name in the reports.  [default: what the host says]")
@click.option(
    "--confirm", is_flag=True, envvar="CONTRACT_CONFIRM", help="Say what it will cost and ask before the first request."
)
@click.pass_context
def run(context: click.Context, /, **options: Any) -> None:
    """Judge a host. Exit code 0: all held, 1: the contract is broken, 2: it could not be run."""
    from contract.http import HttpTransport

    checks = _selected(options["only"], options["skip"])
    reports = _Reports(options["junit"], options["json_"], options["html"])
    reports.try_out()
    transport = HttpTransport(options["base_url"], options["timeout"])
    try:
        account = _judged(_Run(options["base_url"], checks, Target(transport, _lent(options)), options), reports)
    finally:
        transport.close()
    context.exit(account.exit_code)


def _selected(only: Sequence[str], skip: Sequence[str]) -> list[Check]:
    try:
        checks = select(_checks(), only, skip)
    except UnknownCheckError as error:
        raise click.UsageError(str(error)) from None
    if not checks:
        raise click.UsageError("--only and --skip leave no check to judge")
    return checks


def _checks() -> Mapping[str, Check]:
    import contract.checks
    from contract.check import CHECKS

    assert contract.checks
    return CHECKS


def _lent(options: Mapping[str, Any]) -> Lent:
    max_runs = options["max_runs"]
    if max_runs is None and not options["free_runs"]:
        max_runs = DEFAULT_MAX_RUNS
    return Lent(
        api_key=options["api_key"],
        secret=options["secret_key"],
        app_keys=options["app_keys"],
        all_models=options["all_models"],
        free_runs=options["free_runs"],
        max_runs=max_runs,
        seed=options["seed"],
    )


@dataclass(frozen=True, slots=True)
class _Run:
    """A run that is about to be: which checks, of which host, how."""

    base_url: str
    checks: Sequence[Check]
    target: Target
    options: Mapping[str, Any]

    @property
    def planned(self) -> int:
        return cost(self.checks, self.target.lent)

    @property
    def accountant(self) -> Accountant:
        return accountant(self.target)

    def account(self, results: Sequence[Result], began: datetime.datetime, seconds: float, cut: bool) -> Account:
        strict = bool(self.options["strict_observed"])
        rows, exchanges = self.accountant.rows(results, strict)
        return Account(
            host=self.base_url,
            host_version=self.accountant.text(self.options["host_version"] or self._said_version()),
            began=began,
            seconds=seconds,
            planned=self.planned,
            pictures=self.target.accepted_runs,
            strict_observed=strict,
            interrupted=cut,
            rows=rows,
            exchanges=exchanges,
        )

    def _said_version(self) -> str:
        said = (exchange.header("x-version") for exchange in self.target.exchanges)
        return next((version for version in said if version), "")[:40]


def _judged(run: _Run, reports: _Reports) -> Account:
    """Say what it costs, ask the host, judge, and write every report."""
    from contract.report.terminal import TerminalReport

    terminal = TerminalReport()
    terminal.begin(run.base_url, len(run.checks), run.planned, run.target.lent.free_runs)
    if run.options["confirm"] and not click.confirm("Start?"):
        raise click.ClickException("not started")
    began, clock, cut = datetime.datetime.now(datetime.UTC), time.monotonic(), False
    try:
        results = _results(run, terminal)
    except KeyboardInterrupt as interrupt:
        cut = True
        results = getattr(interrupt, "results", None) or _none_judged(run.checks)
    account = run.account(results, began, time.monotonic() - clock, cut)
    written = reports.write(account)  # first: a closed pipe must not lose what the host has paid for
    terminal.end(account)
    terminal.wrote(written)
    return account


def _results(run: _Run, terminal: TerminalReport) -> list[Result]:
    options = run.options
    try:
        knock(run.target)
    except CouldNotRunError as error:
        raise click.ClickException(run.accountant.text(f"{run.base_url}: {error}")) from None
    with terminal.progress(len(run.checks)) as on_result:
        return run_checks(run.target, run.checks, on_result, options["fail_fast"], options["strict_observed"])


def _none_judged(checks: Sequence[Check]) -> list[Result]:
    return [Result(check, Outcome.NOT_RUN, reason="interrupted") for check in checks]


@cli.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def list_(as_json: bool) -> None:
    """Name every check, its claim, and where it is written."""
    checks = _checks()
    if as_json:
        click.echo(json.dumps([_listed(check) for check in checks.values()], ensure_ascii=False, indent=1))
        return
    area = ""
    for check in checks.values():
        if area_of(check) != area:
            area = area_of(check)
            click.echo(f"\n{area}")
        click.echo(f"  {check.name}\n      {check.claim}\n      {check.level.name.lower()}: {check.source}")


def _listed(check: Check) -> dict[str, Any]:
    return {
        "name": check.name,
        "area": area_of(check),
        "claim": check.claim,
        "level": check.level.name.lower(),
        "source": check.source,
        "needs": [need.name.lower() for need in check.needs],
        "seen": str(verdicts().get(check.name, "")),
    }
