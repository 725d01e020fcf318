"""The rhythm of a stream, in short: ``make rhythm`` is the same at the host's own speed."""

from __future__ import annotations

import pytest

from tests.rhythm import Arrival, arrivals, came_together

pytestmark = pytest.mark.server

_SPEED = 25
_STALL_S = 0.7
"""How long a busy machine may keep a frame waiting, on the wall, before it counts as late."""


def _is_due(arrival: Arrival) -> bool:
    """Not before its time but for what the recorded host itself needed to begin, and not long
    after.
    """
    return -0.2 <= arrival.late_s <= _STALL_S * _SPEED


def test_frames_come_one_by_one_and_when_they_are_due() -> None:
    """At 25 times the host's speed the recorded 35 s take 1.4 s, pings included."""
    found = arrivals(_SPEED, "--seed", "6")
    assert [arrival.what for arrival in found if not _is_due(arrival)] == []
    assert came_together(found) == []
    before_first_ping, after_last_ping = found[:4], found[7:]
    assert (
        before_first_ping[-1].here_s < found[4].here_s < found[6].here_s < after_last_ping[0].here_s
    )
