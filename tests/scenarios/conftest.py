"""The two servers that scenarios are asked of."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.scenarios.bench import Bench


@pytest.fixture(scope="module")
def instant() -> Iterator[Bench]:
    """It waits for nothing."""
    with Bench() as bench:
        yield bench


@pytest.fixture(scope="module")
def frozen() -> Iterator[Bench]:
    """Its clock stands still: whatever takes time does not come before the clock is moved."""
    with Bench(speed=1.0) as bench:
        yield bench
