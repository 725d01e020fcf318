"""Reports for a person at a terminal.

Colours and a progress bar appear only on a terminal, and not with NO_COLOR; what a host sent is
never taken for markup.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from contract.check import Level
from contract.diff.difference import Group
from contract.report.builder import Report, group_by
from contract.result import Result, ShownExchange, Status
from dify_wire.strict import counted

if TYPE_CHECKING:
    from contract.diff.comparison import Comparison

_MARKS = {
    Status.PASSED: ("✓", "+", "green"),
    Status.FAILED: ("✗", "x", "bold red"),
    Status.NOT_RUN: ("?", "?", "yellow"),
    Status.FOLLOWS: ("↳", ">", "yellow"),
    Status.DIFFERS: ("≠", "~", "magenta"),
    Status.SKIPPED: ("–", "-", "dim"),
}
_INDENT = "      "
_MAX_NAMES = 12


class Terminal:
    """Writes to ``file`` (standard output by default)."""

    name_width = 9

    def __init__(self, file: IO[str] | None = None) -> None:
        self._console = Console(
            file=file, highlight=False, markup=False, emoji=False, soft_wrap=True
        )
        self._ascii = "utf" not in (self._console.encoding or "").lower()

    def wrote(self, paths: Sequence[str]) -> None:
        for path in paths:
            self._write(f"written: {path}")

    @contextmanager
    def _progress(self, text: str, total: int | None) -> Iterator[Callable[[str], None]]:
        columns = [TextColumn("{task.description}"), BarColumn()]
        columns.append(TextColumn("{task.completed}" + ("/{task.total}" if total else "")))
        columns.append(TimeElapsedColumn())
        shown = self._console.is_terminal and not self._console.is_dumb_terminal
        with Progress(*columns, console=self._console, transient=True, disable=not shown) as bar:
            task = bar.add_task(text, total=total)
            yield lambda text: bar.update(task, advance=1, description=text)

    def _mark(self, status: Status) -> tuple[str, str]:
        mark, plain, style = _MARKS[status]
        return (plain if self._ascii else mark), style

    def _fact(self, name: str, text: str) -> None:
        if text:
            line = Text(f"{_INDENT}{name:<{self.name_width}}", "dim")
            line.append(text.replace("\n", f"\n{_INDENT}{'':{self.name_width}}"))
            self._console.print(line)

    def _write(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style))


class TerminalReport(Terminal):
    """A run of the suite: one line a check, failures explained, and the counts."""

    def __init__(self, file: IO[str] | None = None) -> None:
        super().__init__(file)
        self._explained: set[int] = set()

    def begin(self, host: str, checks: int, images: int, generated: bool = False) -> None:
        """Say what is going to happen, and what it will cost."""
        free = ", and generated runs besides (--free-runs)" if generated else ""
        cost = f"will cost at most {counted(images, 'image')}{free}"
        self._write(f"{host}: {counted(checks, 'check')}, {cost}")

    @contextmanager
    def progress(self, checks: int) -> Iterator[Callable[[Result], None]]:
        failed = 0
        with self._progress("checking", checks) as advance:

            def on_result(result: Result) -> None:
                nonlocal failed
                failed += result.status is Status.FAILED
                advance(f"checking, {failed} failed" if failed else "checking")

            yield on_result

    def end(self, report: Report) -> None:
        for area, results in report.areas.items():
            self._write(f"\n{area}", "bold")
            for result in results:
                self._line(result)
        not_run = report.of(Status.NOT_RUN)
        self._explain("Failures", report.of(Status.FAILED), not_run, report)
        self._explain("Differences", report.of(Status.DIFFERS), [], report)
        self._summary(report)

    def _line(self, result: Result) -> None:
        mark, style = self._mark(result.status)
        line = Text(f"  {mark} ", style)
        line.append(result.name, "dim" if result.status is Status.SKIPPED else "")
        match result.status:
            case Status.SKIPPED | Status.NOT_RUN:
                line.append(f"  {result.status}: {_one_line(result.reason)}", "dim")
            case Status.FOLLOWS:
                line.append(f"  follows from {result.follows}", "dim")
            case Status.FAILED | Status.DIFFERS:
                line.append(f"  {result.status} ({result.level_name})", style)
        self._console.print(line)

    def _explain(
        self, heading: str, results: Sequence[Result], not_run: Sequence[Result], report: Report
    ) -> None:
        if results or not_run:
            self._write(f"\n{heading}", "bold")
        for result in results:
            self._failure(result, report.consequences(result))
        for reason, rows in group_by(not_run, lambda result: result.reason).items():
            self._write(f"\n  ? {counted(len(rows), 'check')} not run: {reason}", "yellow")
            self._write(f"{_INDENT}{', '.join(row.name for row in rows)}", "dim")

    def _failure(self, result: Result, consequences: Sequence[Result]) -> None:
        mark, style = self._mark(result.status)
        self._write(f"\n  {mark} {result.name}", style)
        self._fact("claim", result.check.claim)
        self._fact("expected", result.expected)
        self._fact("got", result.got)
        self._fact("why", result.why if result.expected else result.reason)
        self._fact("written", f"{result.check.source} ({result.level_name})")
        self._fact("passed", result.verified)
        for one in consequences:
            if one.expected:
                expected, got = _one_line(one.expected), _one_line(one.got)
                self._fact("follows", f"{one.name}: expected {expected}, got {got}")
        not_run = [one.name for one in consequences if not one.expected]
        if not_run:
            self._fact("follows", f"{counted(len(not_run), 'check')} not run: {', '.join(not_run)}")
        if result.shown is not None:
            self._exchange(result.shown)

    def _exchange(self, exchange: ShownExchange) -> None:
        """Request and response in full the first time, after that by their number."""
        if exchange.number in self._explained:
            self._fact("exchange", f"#{exchange.number}, shown above: {exchange.title}")
            return
        self._explained.add(exchange.number)
        self._fact("exchange", f"#{exchange.number} {exchange.title}")
        for mark, text in (("> ", exchange.request), ("< ", exchange.response)):
            lines = (f"{_INDENT}{mark}{line}".rstrip() for line in text.split("\n"))
            self._write("\n".join(lines), "dim")

    def _summary(self, report: Report) -> None:
        always = (Status.PASSED, Status.FAILED)
        statuses = [one for one in Status if report.count(one) or one in always]
        self._write("\n" + " " * 12 + "".join(f"{one.value:>16}" for one in statuses), "dim")
        for level in (*(level.name.lower() for level in Level), None):
            counts = (report.count(status, level) for status in statuses)
            cells = "".join(f"{count or '-':>16}" for count in counts)
            self._write(f"  {level or 'all':<10}{cells}", "" if level else "bold")
        if report.basis:
            self._write(f"\n{report.basis[0].upper()}{report.basis[1:]}.")
        end = f"{report.headline} {report.cost}. It took {report.seconds:.1f} s."
        self._write(end, "bold green" if report.passed else "bold red")


class TerminalComparison(Terminal):
    """A comparison: one entry a difference, what it is on each side, and where it was."""

    name_width = 10

    def begin(self, sides: Sequence[str], names: Sequence[str]) -> None:
        for name, side in zip(names, sides, strict=True):
            self._write(side if name == side else f"{name:<9}  {side}")

    @contextmanager
    def progress(self) -> Iterator[Callable[[], None]]:
        with self._progress("comparing", None) as advance:
            yield lambda: advance("comparing")

    def end(
        self,
        comparison: Comparison,
        since: Mapping[tuple[str, ...], str] | None = None,
        gone: Sequence[str] = (),
    ) -> None:
        """``since`` says for a difference's identity how long it has been there; ``gone`` names
        differences of the last comparison that are no more.
        """
        names, mark = comparison.names, self._mark
        self._groups("Drift", comparison.drift, mark(Status.FAILED), since or {}, names)
        self._groups("Notes", comparison.notes, mark(Status.DIFFERS), {}, names)
        self._not_compared(comparison.not_compared)
        count = f"{counted(comparison.requests, 'request')} compared in {comparison.seconds:.1f} s."
        style = "bold red" if comparison.exit_code else "bold green"
        self._write(f"\n{comparison.headline} {count}", style)
        if gone:
            self._write("\nGone since the last time", "bold")
        for line in gone:
            self._write(f"  {line}", "green")

    def _groups(
        self,
        heading: str,
        groups: Sequence[Group],
        mark: tuple[str, str],
        since: Mapping[tuple[str, ...], str],
        names: Sequence[str],
    ) -> None:
        if groups:
            self._write(f"\n{heading}", "bold")
        for group in groups:
            line = Text(f"\n  {mark[0]} {group.kind}", mark[1])
            line.append(f"  {group.place}", "default")
            line.append(f"  {since[group.identity]}" if group.identity in since else "", "dim")
            self._console.print(line)
            self._fact(names[0], group.a)
            self._fact(names[1], group.b)
            self._fact("at", "\n".join(group.places) if len(group.places) > 1 else "")
            others = counted(group.forms - 1, "other pair")
            self._fact("", f"and {others} of values" if group.forms > 1 else "")
            more = ", …" if group.count > len(group.examples) else ""
            examples = f"{', '.join(group.examples)}{more}"
            self._fact("in", f"{counted(group.count, 'request')}: {examples}")

    def _not_compared(self, reasons: Mapping[str, Sequence[str]]) -> None:
        if reasons:
            self._write("\nNot compared", "bold")
        for reason, names in reasons.items():
            self._write(f"\n  ? {counted(len(names), 'request')}: {reason}", "yellow")
            more = f", … {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
            self._write(f"{_INDENT}{', '.join(names[:_MAX_NAMES])}{more}", "dim")


def _one_line(text: str) -> str:
    return " ".join(text.split())
