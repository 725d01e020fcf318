"""The table of ``docs/settings.md``, made of the options of ``fake-server serve``."""

from __future__ import annotations

from collections.abc import Mapping

import click

from fake_server.cli.servers import serve
from tests.pages.markdown import code, table

_PAGES: Mapping[str, str] = {
    "apps": "[apps](apps.md)",
    "workflow": "[apps](apps.md)",
    "admin_token": "[admin API](admin.md)",
    "admin_origins": "[admin API](admin.md#access)",
    "clock": "[time](#rules)",
    "host_version": "[host versions](versions.md)",
    "overlays": "[a profile of another version](profiles.md)",
    "scenarios": "[scenarios](scenarios.md)",
    "replay": "[replay](recordings.md#replay)",
    "config": "[an example](#in-a-file)",
}
"""Where more is said of a setting, by its name in ``Settings``."""


def settings_part() -> str:
    """A row for each setting."""
    options = [one for one in serve.params if isinstance(one, click.Option) and one.envvar]
    assert _PAGES.keys() <= {one.name for one in options}
    return table(("flag", "environment", "default", "meaning"), map(_row, options))


def _row(option: click.Option) -> tuple[str, str, str, str]:
    meaning = option.help or ""
    if isinstance(option.type, click.Choice):
        meaning += f" One of {', '.join(map(code, option.type.choices))}."
    if page := _PAGES.get(str(option.name)):
        meaning += f" See {page}."
    return code(option.opts[0]), code(option.envvar), _default(option), meaning


def _default(option: click.Option) -> str:
    """What the help shows, and what stands in the help alone where that is a sentence."""
    default = option.show_default if isinstance(option.show_default, str) else option.default
    values = default if isinstance(default, tuple | list) else (default,)
    return ", ".join(code(one) for one in values if isinstance(one, str | int | float) and one)
