"""The stores that each test of the suite is run with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stores.replicas import redis_server


@pytest.fixture(
    params=[
        "memory",
        "sqlite",
        pytest.param("redis", marks=(pytest.mark.redis, pytest.mark.server)),
    ]
)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a new store."""
    if request.param == "memory":
        yield "memory"
    elif request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'fake.db'}"
    else:
        with redis_server(tmp_path) as url:
            yield url
