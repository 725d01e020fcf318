"""A report as ``contract run`` writes it."""

from __future__ import annotations

import datetime
from pathlib import Path

from contract.check import Capability, Level
from contract.report.builder import Report
from contract.report.files import report_json, to_text
from contract.result import Result, Status
from tests.contract import samples


def report_file(path: Path, *more: Result) -> Path:
    """Write one with a check that failed, one that was skipped, two that passed, and ``more``."""
    results = (
        Result(
            samples.check(samples.answer_is_200),
            Status.FAILED,
            0.0456,
            "expected status 200, got 500 (it is there to answer)",
            "status 200",
            "500",
            "it is there to answer",
        ),
        Result(
            samples.check(samples.secret_is_good, Level.HOST, Capability.SECRET),
            Status.SKIPPED,
            reason="needs the secret",
        ),
        Result(samples.check(samples.answer_is_json), Status.PASSED, 0.0123),
        Result(samples.check(samples.host_is_of_today, Level.VERSION), Status.PASSED, 0.0),
        *more,
    )
    began = datetime.datetime(2026, 11, 22, 18, 0, tzinfo=datetime.UTC)
    report = Report(
        "http://127.0.0.1:6060", "0.6.4", began, 1.5, 4, 3, 0, False, False, results, "", "0.6.4"
    )
    path.write_text(to_text(report_json(report)), "utf-8")
    return path
