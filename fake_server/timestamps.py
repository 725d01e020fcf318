"""Times as people write them, in unix seconds."""

from __future__ import annotations

from datetime import UTC, datetime

Timestamp = float | str | datetime
"""Unix seconds, ISO 8601, or a ``datetime``; UTC unless it has an offset."""

LATEST = 253_370_764_799.0
"""The latest time that a clock can be set to, the end of the year 9998.

Dates end with the year 9999, and a clock runs on: the Date header and the end of a run are later.
"""


def unix_seconds(at: Timestamp) -> float:
    """The unix seconds of a time such as ``2024-05-01T12:00:00Z``.

    Raises ``ValueError`` where it is invalid, before 1970 or after ``LATEST``.
    """
    try:
        time = datetime.fromisoformat(at.strip()) if isinstance(at, str) else at
        if isinstance(time, datetime):
            time = (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
        seconds = float(time)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            f"{at!r} is not a valid time ({error}); write it as 2024-05-01T12:00:00Z"
        ) from None
    if not 0 <= seconds <= LATEST:
        raise ValueError(
            f"{at!r} is not in the years 1970 to 9998; write it as 2024-05-01T12:00:00Z"
        )
    return seconds


def iso(at: float) -> str:
    """Unix seconds as ISO 8601, in UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat()
