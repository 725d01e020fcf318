"""A small sample of ``make fuzz``: every kind of request, always the same ones."""

from __future__ import annotations

import pytest

from tests.fuzz.campaign import run

pytestmark = pytest.mark.server


def test_sample_of_requests_has_no_finding() -> None:
    """Every kind of request is among them, and the server's log has nothing but requests."""
    report = run(requests=200, seed=1)

    assert not report.findings, "\n".join(map(str, report.findings))
    assert report.session.sent.total() >= 200
    assert len(report.session.sent) == 15
    assert report.log.lines > 150
