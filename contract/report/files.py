"""Reports as files: JSON, JUnit XML, and one HTML page each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from jinja2 import Environment, PackageLoader, StrictUndefined

from contract.check import Level
from contract.diff.difference import DIFF_FORMAT, Group
from contract.report.builder import Report, group_by
from contract.result import Result, Status

if TYPE_CHECKING:
    from contract.diff.comparison import Comparison

FORMAT = 3
"""Changes when a field changes its meaning or goes."""

# JSON
# -------------------------------------------------------------------------------------------------


def to_text(values: dict[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False, indent=1) + "\n"


def report_json(report: Report) -> dict[str, Any]:
    """A run of the suite; checks name the exchange behind them by its number."""
    levels = [level.name.lower() for level in Level]
    return {
        "format": FORMAT,
        "host": report.host,
        "host_version": report.host_version,
        "compared_with": report.compared_with,
        "basis": report.basis,
        "began": report.began.isoformat(timespec="seconds"),
        "seconds": round(report.seconds, 3),
        "passed": report.passed,
        "exit_code": report.exit_code,
        "cause": report.cause,
        "strict_observed": report.strict,
        "images": {
            "planned": report.planned,
            "cost": report.images,
            "unanswered": report.unanswered,
        },
        "counts": {
            status.value: {
                "all": report.count(status),
                **{level: report.count(status, level) for level in levels},
            }
            for status in Status
        },
        "checks": [_result(result) for result in report.results],
        "exchanges": [
            {
                "number": exchange.number,
                "title": exchange.title,
                "request": exchange.request,
                "response": exchange.response,
            }
            for exchange in report.exchanges
        ],
    }


def _result(result: Result) -> dict[str, Any]:
    check = result.check
    return {
        "name": check.name,
        "area": check.area,
        "claim": check.claim,
        "level": result.level_name,
        "source": check.source,
        "needs": [need.name.lower() for need in check.needs],
        "status": result.status.value,
        "fails": result.fails(),
        "seconds": round(result.seconds, 4),
        "reason": result.reason,
        "expected": result.expected,
        "got": result.got,
        "why": result.why,
        "seen": result.verified,
        "follows_from": result.follows or None,
        "exchange": result.shown.number if result.shown else None,
    }


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    return {
        "format": DIFF_FORMAT,
        "a": comparison.a,
        "b": comparison.b,
        "names": list(comparison.names),
        "began": comparison.began.isoformat(timespec="seconds"),
        "seconds": round(comparison.seconds, 3),
        "drift": bool(comparison.drift),
        "exit_code": comparison.exit_code,
        "cause": comparison.cause,
        "requests": {"compared": comparison.requests, "differing": list(comparison.differing)},
        "differences": [_group(group) for group in comparison.drift],
        "notes": [_group(group) for group in comparison.notes],
        "not_compared": [
            {"reason": reason, "requests": names}
            for reason, names in comparison.not_compared.items()
        ],
    }


def _group(group: Group) -> dict[str, Any]:
    return {
        "kind": group.kind,
        "place": group.place,
        "places": list(group.places or (group.place,)),
        "a": group.a,
        "b": group.b,
        "forms": group.forms,
        "requests": group.count,
        "examples": list(group.examples),
    }


# JUnit XML: areas are suites, checks are cases
# -------------------------------------------------------------------------------------------------

_TAGS = {
    Status.FAILED: "failure",
    Status.NOT_RUN: "error",
    Status.FOLLOWS: "skipped",
    Status.DIFFERS: "skipped",
    Status.SKIPPED: "skipped",
}
"""JUnit has only "skipped" for a difference and for what follows from another failure."""


def report_junit(report: Report) -> str:
    root = ET.Element("testsuites", {"name": "contract", **_counts(report.results)})
    root.set("time", f"{report.seconds:.3f}")
    for area, results in report.areas.items():
        suite = ET.SubElement(root, "testsuite", {"name": area, **_counts(results)})
        suite.set("time", f"{sum(result.seconds for result in results):.3f}")
        suite.set("timestamp", report.began.isoformat(timespec="seconds"))
        suite.set("hostname", report.host)
        for result in results:
            _case(suite, result, report.consequences(result))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def summary(result: Result) -> str:
    """The reason of ``result`` with what makes it more than its status says."""
    if result.status is Status.DIFFERS:
        return f"{result.level_name} difference: {result.reason}"
    if result.status is Status.FOLLOWS:
        return f"follows from {result.follows}: {result.reason}"
    return result.reason


def explanation(result: Result, consequences: Sequence[Result] = ()) -> str:
    """A result in plain text, with what follows from it and the exchange behind it."""
    facts = [
        ("claim", result.check.claim),
        ("expected", result.expected),
        ("got", result.got),
        ("why", result.why if result.expected else result.reason),
        ("written", f"{result.check.source} ({result.level_name})"),
        ("passed", result.verified),
        *(("follows", f"{one.name}: {one.reason}") for one in consequences),
    ]
    text = "\n".join(f"{name + ':':<10}{fact}" for name, fact in facts if fact)
    shown = result.shown
    if shown is None:
        return text
    return f"{text}\n\n{shown.title}\n\n{shown.request}\n\n{shown.response}"


def _case(suite: ET.Element, result: Result, consequences: Sequence[Result]) -> None:
    attributes = {"classname": f"contract.{result.check.area}", "name": result.name}
    case = ET.SubElement(suite, "testcase", {**attributes, "time": f"{result.seconds:.3f}"})
    tag = _TAGS.get(result.status)
    if tag is None:
        return
    element = ET.SubElement(case, tag, {"message": summary(result)})
    if tag != "skipped":
        element.set("type", result.status.value)
    if result.status is not Status.SKIPPED:
        element.text = explanation(result, consequences)


def _counts(results: Sequence[Result]) -> dict[str, str]:
    tags = [_TAGS.get(result.status) for result in results]
    attributes = {"failures": "failure", "errors": "error", "skipped": "skipped"}
    counts = {name: str(tags.count(tag)) for name, tag in attributes.items()}
    return {"tests": str(len(results)), **counts}


# HTML: no scripts, nothing fetched, light and dark
# -------------------------------------------------------------------------------------------------


def report_html(report: Report) -> str:
    """A run of the suite."""
    failed, differing = report.of(Status.FAILED), report.of(Status.DIFFERS)
    not_run = group_by(report.of(Status.NOT_RUN), lambda result: result.reason)
    with_exchange = ([one for one in results if one.shown] for results in not_run.values())
    first_not_run = [results[0] for results in with_exchange if results]
    return render(
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
    return render("diff.html", comparison=comparison, since=since or {}, gone=gone)


def render(name: str, **values: object) -> str:
    """A template of this folder, filled."""
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
