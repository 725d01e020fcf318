"""The report for programs. ``format`` changes when a field changes its meaning or goes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from contract.report.builder import Report, Row, ShownExchange, Status, level_names

FORMAT = 2


def as_json(report: Report) -> dict[str, Any]:
    """The account as JSON values; checks name the exchange behind them by its number."""
    return {
        "format": FORMAT,
        "host": report.host,
        "host_version": report.host_version,
        "began": report.began.isoformat(timespec="seconds"),
        "seconds": round(report.seconds, 3),
        "holds": report.holds,
        "exit_code": report.exit_code,
        "cause": report.cause,
        "strict_observed": report.strict_observed,
        "pictures": {
            "planned": report.planned,
            "cost": report.images,
            "unanswered": report.unanswered,
        },
        "counts": {
            status.value: {
                "all": report.counted(status),
                **{level: report.counted(status, level) for level in level_names()},
            }
            for status in Status
        },
        "checks": [_check(row) for row in report.rows],
        "exchanges": [_exchange(exchange) for exchange in report.exchanges],
    }


def write_json(report: Report, path: Path) -> None:
    path.write_text(
        json.dumps(as_json(report), ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
    )


def _check(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "area": row.area,
        "claim": row.claim,
        "level": row.level,
        "source": row.source,
        "needs": list(row.needs),
        "status": row.status.value,
        "fails": row.fails,
        "seconds": round(row.seconds, 4),
        "reason": row.reason,
        "expected": row.expected,
        "got": row.got,
        "why": row.why,
        "seen": row.seen,
        "follows_from": row.follows or None,
        "exchange": row.exchange.number if row.exchange else None,
    }


def _exchange(exchange: ShownExchange) -> dict[str, Any]:
    return {
        "number": exchange.number,
        "title": exchange.title,
        "request": exchange.request,
        "answer": exchange.answer,
    }
