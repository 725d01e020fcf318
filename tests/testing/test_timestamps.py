"""Times as people write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from fake_server.clock import Timestamp, iso, unix_seconds

NOON = 1714564800.0


@pytest.mark.parametrize(
    "at",
    [
        NOON,
        int(NOON),
        "2024-05-01T12:00:00Z",
        " 2024-05-01 12:00 ",
        "2024-05-01T14:00:00+02:00",
        datetime(2024, 5, 1, 12),
        datetime(2024, 5, 1, 14, tzinfo=timezone(timedelta(hours=2))),
    ],
)
def test_one_time_in_many_ways(at: Timestamp) -> None:
    assert unix_seconds(at) == NOON


@pytest.mark.parametrize(
    "at", ["", "noon", "2024-13-01", "0001-01-01", -1.0, 1e12, float("nan"), datetime.min]
)
def test_invalid_times(at: Timestamp) -> None:
    with pytest.raises(ValueError, match=r"is not .*; write it as 2024-05-01T12:00:00Z$"):
        unix_seconds(at)


def test_there_and_back() -> None:
    assert iso(NOON) == "2024-05-01T12:00:00+00:00"
    assert unix_seconds(iso(NOON + 0.25)) == NOON + 0.25
    assert unix_seconds(datetime.fromtimestamp(NOON, UTC)) == NOON
