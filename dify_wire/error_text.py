"""The texts of a host's error responses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple


class ErrorText(NamedTuple):
    """An error response of a version; keys and strings of ``body`` may hold ``{placeholders}``."""

    status: int
    body: Mapping[str, Any]

    def filled(self, **values: object) -> dict[str, Any]:
        """The body with its placeholders filled; braces around other names stay as they are."""
        return _filled(self.body, values)  # type: ignore[no-any-return]


def _filled(value: Any, values: Mapping[str, object]) -> Any:
    if isinstance(value, str):
        if "{" not in value:
            return value
        return re.sub(r"\{(\w+)\}", lambda hole: str(values.get(hole[1], hole[0])), value)
    if isinstance(value, Mapping):
        return {_filled(key, values): _filled(entry, values) for key, entry in value.items()}
    return value
