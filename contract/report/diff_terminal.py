"""A comparison for a person at a terminal: one line a difference, what it is here and what there,
and where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from contract.diff.comparison import Comparison
from contract.diff.difference import Group
from contract.report.builder import counted

_INDENT = "      "
_MOST_NAMES = 12


class DiffTerminal:
    """Writes to ``file`` (standard output where none is given)."""

    def __init__(self, file: IO[str] | None = None) -> None:
        self._console = Console(
            file=file, highlight=False, markup=False, emoji=False, soft_wrap=True
        )
        plain = "utf" not in (self._console.encoding or "").lower()
        self._mark, self._note, self._unknown = ("x", "~", "?") if plain else ("✗", "≠", "?")

    def begin(self, sides: Sequence[str], names: Sequence[str]) -> None:
        """Say which two are going to be compared."""
        for name, side in zip(names, sides, strict=True):
            self._say(side if name == side else f"{name:<9}  {side}")

    @contextmanager
    def progress(self) -> Iterator[Callable[[], None]]:
        """How many requests have been compared; silent where there is no terminal."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}"),
            TimeElapsedColumn(),
        )
        shown = self._console.is_terminal and not self._console.is_dumb_terminal
        with Progress(*columns, console=self._console, transient=True, disable=not shown) as bar:
            task = bar.add_task("comparing", total=None)
            yield lambda: bar.advance(task)

    def end(
        self, comparison: Comparison, since: Mapping[tuple[str, ...], str] | None = None
    ) -> None:
        """The whole report. ``since`` tells of a difference's identity since when it has been
        there.
        """
        names = comparison.names
        self._groups("Drift", comparison.drift, Text(self._mark, "bold red"), since or {}, names)
        self._groups("Notes", comparison.notes, Text(self._note, "magenta"), {}, names)
        self._not_compared(comparison.not_compared)
        told = f"{counted(comparison.requests, 'request')} compared in {comparison.seconds:.1f} s."
        self._say(
            f"\n{comparison.headline} {told}", "bold red" if comparison.exit_code else "bold green"
        )

    def gone(self, groups: Sequence[str]) -> None:
        """Differences of the night before that are no more."""
        if groups:
            self._say("\nGone since the last time", "bold")
            for told in groups:
                self._say(f"  {told}", "green")

    def wrote(self, paths: Sequence[str]) -> None:
        for path in paths:
            self._say(f"written: {path}")

    def _groups(
        self,
        heading: str,
        groups: Sequence[Group],
        mark: Text,
        since: Mapping[tuple[str, ...], str],
        names: Sequence[str],
    ) -> None:
        if groups:
            self._say(f"\n{heading}", "bold")
        for group in groups:
            line = Text(f"\n  {mark.plain} {group.kind}", mark.style)
            line.append(f"  {group.place}", "default")
            line.append(f"  {since[group.identity]}" if group.identity in since else "", "dim")
            self._console.print(line)
            self._fact(names[0], group.a)
            self._fact(names[1], group.b)
            if len(group.places) > 1:
                self._fact("at", "\n".join(group.places))
            if group.forms > 1:
                self._fact("", f"and {counted(group.forms - 1, 'other pair')} of values")
            more = ", …" if group.count > len(group.examples) else ""
            self._fact(
                "in", f"{counted(group.count, 'request')}: {', '.join(group.examples)}{more}"
            )

    def _not_compared(self, reasons: Mapping[str, Sequence[str]]) -> None:
        if reasons:
            self._say("\nNot compared", "bold")
        for reason, names in reasons.items():
            self._say(f"\n  {self._unknown} {counted(len(names), 'request')}: {reason}", "yellow")
            more = f", … {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
            self._say(f"{_INDENT}{', '.join(names[:_MOST_NAMES])}{more}", "dim")

    def _fact(self, name: str, text: str) -> None:
        line = Text(f"{_INDENT}{name:<9} ", "dim")
        line.append(text.replace("\n", f"\n{_INDENT}{'':10}"))
        self._console.print(line)

    def _say(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style))
