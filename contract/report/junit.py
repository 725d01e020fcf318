"""The report for a CI server, as JUnit XML: areas are suites, checks are cases.

A version's difference that fails nothing is a skipped case with its explanation, as JUnit knows no
third way, and so is what follows from a failure, which names it; what was not run, and a check that
stumbled, are errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from contract.report.builder import Report, Row, Status

_TAGS = {
    Status.FAILED: "failure",
    Status.ERROR: "error",
    Status.NOT_RUN: "error",
    Status.FOLLOWS: "skipped",
    Status.DIFFERS: "skipped",
    Status.SKIPPED: "skipped",
}


def junit(report: Report) -> str:
    """The account as JUnit XML."""
    root = ET.Element(
        "testsuites", {"name": "contract", **_counts(report.rows), "time": f"{report.seconds:.3f}"}
    )
    for area, rows in report.areas.items():
        suite = ET.SubElement(
            root, "testsuite", {"name": area, **_counts(rows), "time": _seconds(rows)}
        )
        suite.set("timestamp", report.began.isoformat(timespec="seconds"))
        suite.set("hostname", report.host)
        for row in rows:
            _case(suite, row, report.consequences(row))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def write_junit(report: Report, path: Path) -> None:
    path.write_text(junit(report), encoding="utf-8")


def explanation(row: Row, consequences: Sequence[Row] = ()) -> str:
    """A verdict in plain text: expected, got, why, where it is written, what follows from it, and
    the exchange.
    """
    facts = [
        ("claim", row.claim),
        ("expected", row.expected),
        ("got", row.got),
        ("why", row.why if row.expected else row.reason),
        ("written", f"{row.source} ({row.level})"),
        ("passed", row.seen),
        *(("follows", f"{one.name}: {one.reason}") for one in consequences),
    ]
    told = "\n".join(f"{name + ':':<10}{text}" for name, text in facts if text)
    if row.exchange is None:
        return told
    return f"{told}\n\n{row.exchange.title}\n\n{row.exchange.request}\n\n{row.exchange.answer}"


def _case(suite: ET.Element, row: Row, consequences: Sequence[Row]) -> None:
    case = ET.SubElement(
        suite,
        "testcase",
        {"classname": f"contract.{row.area}", "name": row.name, "time": f"{row.seconds:.3f}"},
    )
    tag = _TAGS.get(row.status)
    if tag is None:
        return
    before = {
        Status.DIFFERS: "version difference: ",
        Status.FOLLOWS: f"follows from {row.follows}: ",
    }
    reason = before.get(row.status, "") + row.reason
    told = ET.SubElement(case, tag, {"message": reason})
    if tag != "skipped":
        told.set("type", row.status.value)
    if row.status is not Status.SKIPPED:
        told.text = explanation(row, consequences)


def _counts(rows: Sequence[Row]) -> dict[str, str]:
    tags = [_TAGS.get(row.status) for row in rows]
    counted = {"failures": "failure", "errors": "error", "skipped": "skipped"}
    return {
        "tests": str(len(rows)),
        **{name: str(tags.count(tag)) for name, tag in counted.items()},
    }


def _seconds(rows: Sequence[Row]) -> str:
    return f"{sum(row.seconds for row in rows):.3f}"
