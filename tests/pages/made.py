"""Every generated file of the docs, by the generator that makes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fake_server.scenarios.rules import SCHEMA
from tests.pages.admin import admin_part
from tests.pages.checks import checks_page
from tests.pages.commands import commands_page
from tests.pages.errors import errors_page
from tests.pages.events import events_page
from tests.pages.limits import limits_page
from tests.pages.markdown import with_part
from tests.pages.recordings import recordings_part
from tests.pages.scenarios.pages import scenarios_page, schema_text
from tests.pages.scenarios.typed import TYPED, typed_module
from tests.pages.settings import settings_part
from tests.pages.upgrades import pages as upgrade_pages
from tests.pages.versions import versions_page
from tests.serving import ROOT

Files = Mapping[str, str]
"""Texts by the path of their file in the repository."""


def _part_of(path: str, part: Callable[[], str]) -> Callable[[], Files]:
    return lambda: {path: with_part(ROOT / path, part())}


def _page(path: str, text: Callable[[], str]) -> Callable[[], Files]:
    return lambda: {path: text()}


def _scenarios() -> Files:
    return {
        "docs/scenarios.md": scenarios_page(),
        str(SCHEMA.relative_to(ROOT)): schema_text(),
        str(TYPED.relative_to(ROOT)): typed_module(),
    }


def _upgrades() -> Files:
    return {f"docs/upgrades/{name}": text for name, text in upgrade_pages().items()}


MAKERS: Mapping[str, Callable[[], Files]] = {
    "settings": _part_of("docs/settings.md", settings_part),
    "commands": _page("docs/commands.md", commands_page),
    "scenarios": _scenarios,
    "checks": _page("docs/checks.md", checks_page),
    "errors": _page("docs/errors.md", errors_page),
    "events": _page("docs/events.md", events_page),
    "versions": _page("docs/versions.md", versions_page),
    "recordings": _part_of("docs/recordings.md", recordings_part),
    "admin": _part_of("docs/admin.md", admin_part),
    "limits": _page("docs/limits.md", limits_page),
    "upgrades": _upgrades,
}
"""How the files of each generator are made; to add a page, add a line."""


def made(name: str) -> Files:
    """The files of the generator ``name``, as they should be."""
    return MAKERS[name]()
