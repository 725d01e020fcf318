"""``docs/limits.md`` says what the code has."""

from __future__ import annotations

import pytest

from fake_server.host_spec import Limits
from tests.pages.limits import HOST, PARTS, docstring


@pytest.mark.parametrize("name", [name for names in PARTS.values() for name in names])
def test_every_constant_says_what_happens_at_it(name: str) -> None:
    assert len(docstring(name)) > 30, (
        f"{name} needs a docstring that says what happens at the bound"
    )


def test_every_limit_of_the_host_is_listed() -> None:
    assert set(HOST) == set(Limits._fields)
