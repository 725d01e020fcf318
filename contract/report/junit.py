"""A run of the suite as JUnit XML, for CI servers: areas are suites, checks are cases.

JUnit knows no other way than skipped for a difference between versions that fails nothing, and for
what follows from another failure; checks that were not run are errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from contract.report.builder import Report
from contract.result import Result, Status

_TAGS = {
    Status.FAILED: "failure",
    Status.NOT_RUN: "error",
    Status.FOLLOWS: "skipped",
    Status.DIFFERS: "skipped",
    Status.SKIPPED: "skipped",
}


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
        return f"version difference: {result.reason}"
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
