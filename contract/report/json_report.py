"""The report for programs. ``format`` changes when a field changes its meaning or goes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from contract.report.builder import Account, Row, ShownExchange, Status, level_names

FORMAT = 2


def as_json(account: Account) -> dict[str, Any]:
    """The account as JSON values; checks name the exchange behind them by its number."""
    return {
        "format": FORMAT,
        "host": account.host,
        "host_version": account.host_version,
        "began": account.began.isoformat(timespec="seconds"),
        "seconds": round(account.seconds, 3),
        "holds": account.holds,
        "exit_code": account.exit_code,
        "cause": account.cause,
        "strict_observed": account.strict_observed,
        "pictures": {
            "planned": account.planned,
            "cost": account.images,
            "unanswered": account.unanswered,
        },
        "counts": {
            status.value: {
                "all": account.counted(status),
                **{level: account.counted(status, level) for level in level_names()},
            }
            for status in Status
        },
        "checks": [_check(row) for row in account.rows],
        "exchanges": [_exchange(exchange) for exchange in account.exchanges],
    }


def write_json(account: Account, path: Path) -> None:
    path.write_text(
        json.dumps(as_json(account), ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
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
