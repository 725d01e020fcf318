"""A comparison for programs. ``format`` changes when a field changes its meaning or goes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from contract.diff.comparison import Comparison
from contract.diff.difference import Group

FORMAT = 1


def as_json(comparison: Comparison) -> dict[str, Any]:
    """The comparison as JSON values."""
    return {
        "format": FORMAT,
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


def write_json(comparison: Comparison, path: Path) -> None:
    path.write_text(
        json.dumps(as_json(comparison), ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
    )


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
