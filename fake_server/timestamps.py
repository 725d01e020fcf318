"""Moments as people write them, in unix seconds."""

from __future__ import annotations

from datetime import UTC, datetime

Moment = float | str | datetime
"""Unix seconds, ISO 8601, or a ``datetime``; UTC unless it has an offset."""

LATEST = 253_370_764_799.0
"""The latest moment that a clock can be set to, the end of the year 9998: a year is left for what
happens afterwards.

Dates end with the year 9999, and a clock runs on: the Date header and the end of a run lie later
than its moment.
"""


def unix_seconds(at: Moment) -> float:
    """The unix seconds of a moment such as ``2024-05-01T12:00:00Z``.

    Raises ``ValueError`` for a text that is none, and for one before 1970 or after ``LATEST``.
    """
    try:
        seconds = _seconds(datetime.fromisoformat(at.strip()) if isinstance(at, str) else at)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            f"{at!r} is no moment ({error}); write it as 2024-05-01T12:00:00Z"
        ) from None
    if not 0 <= seconds <= LATEST:
        raise ValueError(
            f"{at!r} is no moment of the years 1970 to 9998; write it as 2024-05-01T12:00:00Z"
        )
    return seconds


def _seconds(at: float | datetime) -> float:
    if isinstance(at, datetime):
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    return float(at)


def iso(at: float) -> str:
    """Unix seconds as ISO 8601, in UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat()
