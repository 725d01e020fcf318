"""The report for a person at a terminal: one line a check, failures explained, and how many checks
ended how.

Colours and a progress bar come on a terminal only, and not with NO_COLOR; what a host sent is never
taken for markup.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from contract.report.builder import Report, Row, ShownExchange, Status, counted, level_names
from contract.runner import Outcome, Result

_MARKS = {
    Status.PASSED: ("✓", "+", "green"),
    Status.FAILED: ("✗", "x", "bold red"),
    Status.ERROR: ("!", "!", "bold red"),
    Status.NOT_RUN: ("?", "?", "yellow"),
    Status.FOLLOWS: ("↳", ">", "yellow"),
    Status.DIFFERS: ("≠", "~", "magenta"),
    Status.SKIPPED: ("–", "-", "dim"),
}
_INDENT = "      "


class TerminalReport:
    """Writes to ``file`` (standard output where none is given)."""

    def __init__(self, file: IO[str] | None = None) -> None:
        self._console = Console(
            file=file, highlight=False, markup=False, emoji=False, soft_wrap=True
        )
        self._plain = "utf" not in (self._console.encoding or "").lower()
        self._explained: set[int] = set()

    def begin(self, host: str, checks: int, images: int, generated: bool = False) -> None:
        """Say what is going to happen, and what it will cost."""
        free = ", and generated runs besides (--free-runs)" if generated else ""
        self._say(
            f"{host}: {counted(checks, 'check')}, will cost at most {counted(images, 'image')}{free}"
        )

    @contextmanager
    def progress(self, checks: int) -> Iterator[_Listener]:
        """A progress bar while the checks are judged; silent where there is no terminal."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        shown = self._console.is_terminal and not self._console.is_dumb_terminal
        with Progress(*columns, console=self._console, transient=True, disable=not shown) as bar:
            yield _Listener(bar, checks)

    def end(self, report: Report) -> None:
        """The whole report."""
        for area, rows in report.areas.items():
            self._say(f"\n{area}", "bold")
            for row in rows:
                self._line(row)
        self._explain("Failures", report.failures, report)
        self._explain("Version differences", report.of(Status.DIFFERS), report)
        self._summary(report)

    def wrote(self, paths: list[str]) -> None:
        for path in paths:
            self._say(f"written: {path}")

    def _line(self, row: Row) -> None:
        unicode, ascii_, style = _MARKS[row.status]
        line = Text(f"  {ascii_ if self._plain else unicode} ", style)
        line.append(row.name, "dim" if row.status is Status.SKIPPED else "")
        if row.status in (Status.SKIPPED, Status.NOT_RUN):
            line.append(f"  {row.status}: {_one_line(row.reason)}", "dim")
        elif row.status is Status.FOLLOWS:
            line.append(f"  follows from {row.follows}", "dim")
        elif row.status is not Status.PASSED:
            line.append(f"  {row.status} ({row.level})", style)
        self._console.print(line)

    def _explain(self, heading: str, rows: list[Row], report: Report) -> None:
        if not rows:
            return
        self._say(f"\n{heading}", "bold")
        not_run = [row for row in rows if row.status is Status.NOT_RUN]
        for row in rows:
            if row.status is not Status.NOT_RUN:
                self._failure(row, report.consequences(row))
        self._not_run(not_run)

    def _failure(self, row: Row, consequences: list[Row]) -> None:
        unicode, ascii_, style = _MARKS[row.status]
        self._say(f"\n  {ascii_ if self._plain else unicode} {row.name}", style)
        self._fact("claim", row.claim)
        if row.expected:
            self._fact("expected", row.expected)
            self._fact("got", row.got)
            self._fact("why", row.why)
        else:
            self._fact("why", row.reason)
        self._fact("written", f"{row.source} ({row.level})")
        self._fact("passed", row.seen)
        self._follow(consequences)
        if row.exchange is not None:
            self._exchange(row.exchange)

    def _follow(self, rows: list[Row]) -> None:
        """What follows from a failure: each that failed too in a line, and the names of what could
        not be run.
        """
        failed = [row for row in rows if row.expected]
        for row in failed:
            self._fact(
                "follows",
                f"{row.name}: expected {_one_line(row.expected)}, got {_one_line(row.got)}",
            )
        not_run = [row.name for row in rows if not row.expected]
        if not_run:
            self._fact("follows", f"{counted(len(not_run), 'check')} not run: {', '.join(not_run)}")

    def _not_run(self, rows: list[Row]) -> None:
        """What was not run, by its reason: many share one."""
        reasons: dict[str, list[str]] = {}
        for row in rows:
            reasons.setdefault(row.reason, []).append(row.name)
        for reason, names in reasons.items():
            self._say(f"\n  ? {counted(len(names), 'check')} not run: {reason}", "yellow")
            self._say(f"{_INDENT}{', '.join(names)}", "dim")

    def _fact(self, name: str, text: str) -> None:
        if text:
            line = Text(f"{_INDENT}{name:<9}", "dim")
            line.append(text.replace("\n", f"\n{_INDENT}{'':9}"))
            self._console.print(line)

    def _exchange(self, exchange: ShownExchange) -> None:
        """Request and answer in full where they are shown first, by their number after that."""
        if exchange.number in self._explained:
            self._fact("exchange", f"#{exchange.number}, shown above: {exchange.title}")
            return
        self._explained.add(exchange.number)
        self._fact("exchange", f"#{exchange.number} {exchange.title}")
        for mark, text in (("> ", exchange.request), ("< ", exchange.answer)):
            self._say(
                "\n".join(f"{_INDENT}{mark}{line}".rstrip() for line in text.split("\n")), "dim"
            )

    def _summary(self, report: Report) -> None:
        statuses = [
            status
            for status in Status
            if report.counted(status) or status in (Status.PASSED, Status.FAILED)
        ]
        self._say("")
        self._say(" " * 12 + "".join(f"{status.value:>16}" for status in statuses), "dim")
        for level in level_names():
            counts = (report.counted(status, level) for status in statuses)
            self._say(f"  {level:<10}" + "".join(f"{count or '-':>16}" for count in counts))
        self._say(
            "  all       " + "".join(f"{report.counted(status):>16}" for status in statuses), "bold"
        )
        took = f"It took {report.seconds:.1f} s."
        self._say(
            f"\n{report.headline} {report.cost}. {took}",
            "bold green" if report.holds else "bold red",
        )

    def _say(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style))


class _Listener:
    """Hears of each result and moves the bar."""

    def __init__(self, bar: Progress, checks: int) -> None:
        self._bar = bar
        self._task = bar.add_task("judging", total=checks)
        self._failed = 0

    def __call__(self, result: Result) -> None:
        self._failed += result.outcome in (Outcome.FAILED, Outcome.ERROR)
        told = f"judging, {self._failed} failed" if self._failed else "judging"
        self._bar.update(self._task, advance=1, description=told)


def _one_line(text: str) -> str:
    return " ".join(text.split())
