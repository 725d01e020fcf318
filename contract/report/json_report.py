"""Reports as JSON. A ``FORMAT`` changes when a field changes its meaning or goes."""

from __future__ import annotations

import json
from typing import Any

from contract.check import Level
from contract.diff.comparison import Comparison
from contract.diff.difference import Group
from contract.report.builder import Report
from contract.result import Result, Status

FORMAT = 3
DIFF_FORMAT = 1


def to_text(values: dict[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False, indent=1) + "\n"


def report_json(report: Report) -> dict[str, Any]:
    """A run of the suite; checks name the exchange behind them by its number."""
    levels = [level.name.lower() for level in Level]
    return {
        "format": FORMAT,
        "host": report.host,
        "host_version": report.host_version,
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
