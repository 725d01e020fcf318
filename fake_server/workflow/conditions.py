"""The comparisons of an if-else node: an operator of the export, the value at hand and the text to
compare it with.

A comparison that the host cannot make raises ``ValueError`` with the host's text, which becomes the
node's error.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

Comparison = Callable[[Any, str], bool]


def _contains(actual: Any, expected: str) -> bool:
    if not actual:
        return False
    if not isinstance(actual, str | list):
        raise ValueError("Invalid actual value type: string or array")
    return expected in actual


def _on_text(holds: Comparison, when_empty: bool = False) -> Comparison:
    def compare(actual: Any, expected: str) -> bool:
        if actual is None or (actual == "" and not when_empty):
            return False
        if not isinstance(actual, str):
            raise ValueError("Invalid actual value type: string")
        return holds(actual, expected)

    return compare


def _on_numbers(order: Callable[[Any, Any], bool]) -> Comparison:
    def compare(actual: Any, expected: str) -> bool:
        if actual is None:
            return False
        if not isinstance(actual, int | float):
            raise ValueError("Invalid actual value type: number")
        return order(actual, type(actual)(expected))

    return compare


OPERATORS: dict[str, Comparison] = {
    "contains": _contains,
    "not contains": lambda actual, expected: not _contains(actual, expected),
    "start with": _on_text(str.startswith),
    "end with": _on_text(str.endswith),
    "is": _on_text(operator.eq, when_empty=True),
    "is not": _on_text(operator.ne, when_empty=True),
    "empty": lambda actual, _: not actual,
    "not empty": lambda actual, _: bool(actual),
    "=": _on_numbers(operator.eq),
    "≠": _on_numbers(operator.ne),
    ">": _on_numbers(operator.gt),
    "<": _on_numbers(operator.lt),
    "≥": _on_numbers(operator.ge),
    "≤": _on_numbers(operator.le),
    "null": lambda actual, _: actual is None,
    "not null": lambda actual, _: actual is not None,
}
