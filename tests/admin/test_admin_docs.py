"""What docs/admin.md says of the admin API is whole."""

from __future__ import annotations

import re

from fake_server.admin import ROUTES
from fake_server.journal.entry import KEPT_BYTES
from fake_server.journal.exchanges import BYTES, ENTRIES
from tests.admin.calling import admin, host, run
from tests.serving import ROOT

PAGE = (ROOT / "docs/admin.md").read_text("utf-8")


def test_every_call_has_a_section() -> None:
    headings = set(re.findall(r"^### (.+)$", PAGE, re.MULTILINE))
    assert headings == {f"{method} {path}" for path, by in ROUTES.items() for method in by}


def test_every_metric_is_named() -> None:
    app = host()
    run(app)
    text = admin(app, "GET", "/metrics").body.decode()
    for name in re.findall(r"^# TYPE (\w+)", text, re.MULTILINE):
        assert f"`{name}" in PAGE, name


def test_the_bounds_of_the_journal_are_those_of_the_page() -> None:
    assert f"The newest {ENTRIES:,} requests, at most {BYTES >> 20} MB" in PAGE
    assert f"the first {KEPT_BYTES >> 10} KiB" in PAGE
