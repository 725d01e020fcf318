"""The dated verdicts: whole, and true of the recorded host as often as it is judged again."""

from __future__ import annotations

import datetime

import pytest

from contract.check import EVERY_EXCHANGE, FAKE_ONLY, verdicts
from contract.checks import CHECKS
from contract.offline import load_exchanges
from contract.result import Status
from tests.contract import verdicts as writing

pytestmark = pytest.mark.server


def test_every_check_has_a_verdict_and_every_verdict_a_check() -> None:
    """`python -m tests.contract.verdicts` writes what is missing."""
    assert set(verdicts()) == set(CHECKS)


def test_verdicts_name_exchanges_that_are_recorded() -> None:
    recorded = {one.name: one for one in load_exchanges(writing.RECORDING)}
    for name, seen in verdicts().items():
        assert seen.host_version == writing.VERSION
        assert isinstance(seen.day, datetime.date)
        if seen.recording not in (FAKE_ONLY, EVERY_EXCHANGE):
            assert set(seen.recording.split(", ")) <= set(recorded), name


@pytest.fixture(scope="module")
def offline() -> dict[str, Status]:
    return {one.result.check.name: one.result.status for one in writing.offline()}


def test_recorded_host_meets_no_false_alarm(offline: dict[str, Status]) -> None:
    alarms = {
        name: outcome
        for name, outcome in offline.items()
        if outcome not in (Status.PASSED, Status.SKIPPED)
    }
    assert alarms == {}


def test_what_was_seen_in_a_recording_is_seen_again(offline: dict[str, Status]) -> None:
    seen = {name for name, one in verdicts().items() if one.recording != FAKE_ONLY}
    assert {name for name in seen if offline[name] is not Status.PASSED} == set()
    assert len(seen) > len(CHECKS) // 2
