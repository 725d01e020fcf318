"""docs/testing.md is whole; its examples are run by tests/docs."""

from __future__ import annotations

from fake_server.testing import FakeHost
from tests.serving import ROOT

PAGE = (ROOT / "docs/testing.md").read_text("utf-8")


def test_every_part_of_a_host_is_on_the_page() -> None:
    names = [name for name in vars(FakeHost) if not name.startswith("_")]
    assert [name for name in [*names, "url", "api_key", "clock"] if name not in PAGE] == []
