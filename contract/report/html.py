"""The report as one page that a person likes to read: no scripts, nothing fetched, light and
dark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from contract.report.builder import Report, Row, Status, level_names


def template(name: str) -> Template:
    """A page of this package, in which everything is escaped."""
    environment = Environment(
        loader=PackageLoader("contract.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def html(report: Report) -> str:
    """The account as an HTML page. Everything in it is escaped, whoever wrote it."""
    judged = [row for row in report.failures if row.status is not Status.NOT_RUN]
    not_run = _by_reason(report.of(Status.NOT_RUN))
    return template("page.html").render(
        report=report,
        Status=Status,
        statuses=[
            status
            for status in reversed(Status)
            if report.counted(status) or status is Status.PASSED
        ],
        levels=level_names(),
        judged=judged,
        not_run=not_run,
        first_shown=_first_shown([*judged, *_with_exchange(not_run), *report.of(Status.DIFFERS)]),
        lacking=_by_reason(report.of(Status.SKIPPED)),
    )


def write_html(report: Report, path: Path) -> None:
    path.write_text(html(report), encoding="utf-8")


def _first_shown(rows: Sequence[Row]) -> dict[int, str]:
    """For each exchange the name of the check with which it is shown; later ones point there."""
    shown: dict[int, str] = {}
    for row in rows:
        if row.exchange is not None:
            shown.setdefault(row.exchange.number, row.name)
    return shown


def _with_exchange(reasons: Mapping[str, Sequence[Row]]) -> list[Row]:
    """Of each reason the first check that has an exchange to show for it."""
    firsts = (
        next((row for row in rows if row.exchange is not None), None) for rows in reasons.values()
    )
    return [row for row in firsts if row is not None]


def _by_reason(rows: Sequence[Row]) -> dict[str, list[Row]]:
    reasons: dict[str, list[Row]] = {}
    for row in rows:
        reasons.setdefault(row.reason, []).append(row)
    return reasons
