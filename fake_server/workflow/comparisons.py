"""The comparisons of conditions, by their names in an export (FACTS 12.9).

``compare`` raises ``ValueError`` or ``TypeError`` with the host's text for a value that it cannot
compare.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

Comparison = Callable[[Any, Any], bool]


def _contains(actual: Any, expected: str) -> bool:
    if not actual:
        return False
    if not isinstance(actual, str | list):
        raise ValueError("Invalid actual value type: string or array")
    return expected in actual


def _on_string(holds: Comparison, when_empty: bool = False) -> Comparison:
    def compare(actual: Any, expected: Any) -> bool:
        if actual is None or (actual == "" and not when_empty):
            return False
        if when_empty and isinstance(actual, bool):
            return holds(actual, str(expected).lower() in ("true", "1"))
        if not isinstance(actual, str):
            raise ValueError("Invalid actual value type: string")
        return holds(actual, expected)

    return compare


def _on_number(holds: Callable[[Any, Any], bool]) -> Comparison:
    def compare(actual: Any, expected: Any) -> bool:
        if actual is None:
            return False
        if not isinstance(actual, int | float):
            raise ValueError("Invalid actual value type: number")
        return holds(actual, type(actual)(expected))

    return compare


def _is_in(actual: Any, expected: Any) -> bool:
    if not isinstance(expected, list):
        raise ValueError("Invalid expected value type: array")
    return actual in expected


OPERATORS: dict[str, Comparison] = {
    "contains": _contains,
    "not contains": lambda actual, expected: not _contains(actual, expected),
    "start with": _on_string(str.startswith),
    "end with": _on_string(str.endswith),
    "is": _on_string(operator.eq, when_empty=True),
    "is not": _on_string(operator.ne, when_empty=True),
    "empty": lambda actual, _: not actual,
    "not empty": lambda actual, _: bool(actual),
    "=": _on_number(operator.eq),
    "≠": _on_number(operator.ne),
    ">": _on_number(operator.gt),
    "<": _on_number(operator.lt),
    "≥": _on_number(operator.ge),
    "≤": _on_number(operator.le),
    "null": lambda actual, _: actual is None,
    "not null": lambda actual, _: actual is not None,
    "in": lambda actual, expected: bool(actual) and _is_in(actual, expected),
    "not in": lambda actual, expected: not actual or not _is_in(actual, expected),
    "all of": lambda actual, expected: bool(actual) and all(one in actual for one in expected),
    "exists": lambda actual, _: actual is not None,
    "not exists": lambda actual, _: actual is None,
}
"""The comparisons of an if-else node by their names in an export."""
