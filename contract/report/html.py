"""Reports as one HTML page each: no scripts, nothing fetched, light and dark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined

from contract.check import Level
from contract.diff.comparison import Comparison
from contract.report.builder import Report, group_by
from contract.result import Result, Status


def report_html(report: Report) -> str:
    """A run of the suite."""
    failed, differing = report.of(Status.FAILED), report.of(Status.DIFFERS)
    not_run = group_by(report.of(Status.NOT_RUN), lambda result: result.reason)
    with_exchange = ([one for one in results if one.shown] for results in not_run.values())
    first_not_run = [results[0] for results in with_exchange if results]
    return _render(
        "page.html",
        report=report,
        Status=Status,
        statuses=[one for one in reversed(Status) if report.count(one) or one is Status.PASSED],
        levels=[level.name.lower() for level in Level],
        failed=failed,
        not_run=not_run,
        first_shown=_first_shown([*failed, *first_not_run, *differing]),
        skipped=group_by(report.of(Status.SKIPPED), lambda result: result.reason),
    )


def comparison_html(
    comparison: Comparison,
    since: Mapping[tuple[str, ...], str] | None = None,
    gone: Sequence[str] = (),
) -> str:
    """A comparison; ``since`` says for a difference's identity how long it has been there."""
    return _render("diff.html", comparison=comparison, since=since or {}, gone=gone)


def _render(name: str, **values: object) -> str:
    environment = Environment(
        loader=PackageLoader("contract.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name).render(**values)


def _first_shown(results: Sequence[Result]) -> dict[int, str]:
    """For each exchange the check with which it is shown; later ones point there."""
    first: dict[int, str] = {}
    for result in results:
        if result.shown is not None:
            first.setdefault(result.shown.number, result.name)
    return first
