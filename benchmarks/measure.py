"""What all benchmarks share: figures, comparisons that a busy machine cannot tilt, and the table.

A part is a module of this package with a function ``figures(size) -> list[Figure]``; ``python -m
benchmarks`` finds it by that.
"""

from __future__ import annotations

import enum
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeVar

T = TypeVar("T")

Sample = Mapping[str, float]
"""What one slice measured: values by measure, whose name ends with the unit."""

Spread = tuple[float, float]
"""The lower and the upper quartile."""

FAKE = "the fake"
FLOOR = "F"


class SkippedError(Exception):
    """Something that cannot be measured here; says why."""


class Size(enum.Enum):
    """How long a benchmark takes: a few seconds that only prove that it runs, two minutes, or as
    long as it needs.
    """

    SMOKE = "smoke"
    QUICK = "quick"
    FULL = "full"

    def of(self, smoke: T, quick: T, full: T) -> T:
        """The one of three values that belongs to this size."""
        return {Size.SMOKE: smoke, Size.QUICK: quick, Size.FULL: full}[self]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of one subject under one workload; None with a note where there is none.

    ``ratio`` is to the first subject of the workload: the median of the ratios of all rounds.
    """

    workload: str
    subject: str
    measure: str = ""
    value: float | None = None
    spread: Spread | None = None
    ratio: float | None = None
    ratio_spread: Spread | None = None
    note: str = ""


def beside(
    workload: str, subjects: Mapping[str, Callable[[], Sample] | str], rounds: int
) -> list[Figure]:
    """Measure the subjects in adjacent slices, A B B A, so that what else the machine does meets
    all alike. A subject that is a text cannot be measured, and the text says why.
    """
    slices = {name: one for name, one in subjects.items() if not isinstance(one, str)}
    samples: dict[str, list[Sample]] = {name: [] for name in slices}
    for number in range(rounds):
        for name in list(slices)[:: -1 if number % 2 else 1]:
            samples[name].append(slices[name]())
    first = next(iter(samples.values()), [])
    return [
        figure
        for name, one in subjects.items()
        for figure in (
            [Figure(workload, name, note=one)]
            if isinstance(one, str)
            else _figures(workload, name, samples[name], first)
        )
    ]


def _figures(
    workload: str, subject: str, samples: Sequence[Sample], first: Sequence[Sample]
) -> Iterator[Figure]:
    for measure in samples[0]:
        values = [sample[measure] for sample in samples]
        ratios = [
            value / base[measure]
            for value, base in zip(values, first, strict=True)
            if samples is not first and base.get(measure, 0) > 0 < value
        ]
        yield Figure(
            workload,
            subject,
            measure,
            statistics.median(values),
            _quartiles(values),
            statistics.median(ratios) if ratios else None,
            _quartiles(ratios),
        )


def _quartiles(values: Sequence[float]) -> Spread | None:
    if len(values) < 3:
        return None
    lower, _, upper = statistics.quantiles(values, n=4, method="inclusive")
    return lower, upper


def percentile(values: Sequence[float], percent: int) -> float:
    """The value below which so many percent lie."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def table(figures: Sequence[Figure]) -> str:
    """``figures`` for a terminal: a block for each workload, a row for each subject."""
    blocks = groupby(figures, key=lambda figure: figure.workload)
    return "\n\n".join(_block(workload, list(block)) for workload, block in blocks)


def _block(workload: str, figures: Sequence[Figure]) -> str:
    measures = list(dict.fromkeys(figure.measure for figure in figures if figure.measure))
    rows = {figure.subject: [""] * len(measures) for figure in figures}
    notes = {figure.subject: figure.note for figure in figures if figure.value is None}
    for figure in figures:
        if figure.value is not None:
            rows[figure.subject][measures.index(figure.measure)] = _cell(figure)
    lines = [[workload, *measures], *([f"  {name}", *cells] for name, cells in rows.items())]
    widths = [max(len(line[column]) for line in lines) for column in range(len(measures) + 1)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        if line[0].strip() not in notes
        else f"{line[0]:<{widths[0]}}  {notes[line[0].strip()]}"
        for line in lines
    )


def _cell(figure: Figure) -> str:
    assert figure.value is not None
    text = f"{figure.value:,.{0 if figure.value >= 100 else 1 if figure.value >= 10 else 2}f}"
    if figure.ratio is None:
        return text
    spread = (
        "" if figure.ratio_spread is None else " ({:.2f} to {:.2f})".format(*figure.ratio_spread)
    )
    return f"{text} = {figure.ratio:.2f} ×{spread}"
