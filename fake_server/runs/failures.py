"""What a node is to do when it fails: try again, go on with default values or by a branch of its
own (Dify from 0.14 on) [C: http_retry_stream, http_default_stream, http_failbranch_block].
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

FAIL_BRANCH = "fail-branch"
SUCCESS_BRANCH = "success-branch"
"""The handles of a node whose failure has a branch of its own."""

_DEFAULT_VALUE = "default-value"
_MOST_RETRIES = 100
_LONGEST_INTERVAL_S = 3600.0


def retries(data: Mapping[str, Any]) -> tuple[int, float]:
    """How often a node is tried again, and the seconds before each try."""
    config = data.get("retry_config")
    if not isinstance(config, Mapping) or config.get("retry_enabled") is not True:
        return 0, 0.0
    given = (config.get("max_retries"), config.get("retry_interval"))
    most, interval_ms = (value if isinstance(value, int | float) else 0 for value in given)
    seconds = min(max(interval_ms / 1000, 0.0), _LONGEST_INTERVAL_S)
    return int(min(max(most, 0), _MOST_RETRIES)), seconds


def failure_outputs(
    data: Mapping[str, Any], error: str, error_type: str
) -> Mapping[str, Any] | None:
    """The outputs of a node that failed and has an error strategy; None where it has none."""
    strategy = data.get("error_strategy")
    if strategy not in (_DEFAULT_VALUE, FAIL_BRANCH):
        return None
    values = _default_values(data) if strategy == _DEFAULT_VALUE else {}
    return {**values, "error_message": error, "error_type": error_type}


def _default_values(data: Mapping[str, Any]) -> dict[str, Any]:
    entries = data.get("default_value")
    return {
        str(entry.get("key")): _typed(entry.get("value"), str(entry.get("type")))
        for entry in (entries if isinstance(entries, list) else ())
        if isinstance(entry, Mapping)
    }


def _typed(value: Any, kind: str) -> Any:
    """A default value as its type wants it: the editor keeps objects and numbers as text."""
    if not isinstance(value, str) or kind in ("string", "secret"):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
