"""``docs/commands.md``: every command with its help, as it is printed on 80 columns."""

from __future__ import annotations

from collections.abc import Iterator

import click

from contract.cli import cli as contract_cli
from fake_server.cli import cli as fake_server_cli
from tests.pages.markdown import generated, introduction


def commands_page() -> str:
    """The whole page."""
    sections = [*_sections("fake-server", fake_server_cli), *_sections("contract", contract_cli)]
    return generated("\n".join([introduction("commands"), *sections]))


def _sections(
    name: str, command: click.Command, above: click.Context | None = None
) -> Iterator[str]:
    """The help of ``command`` and of those below it."""
    context = command.make_context(
        name.rpartition(" ")[2],
        [],
        above,
        resilient_parsing=True,
        terminal_width=80,
        max_content_width=80,
    )
    level = 2 if above is None else 3
    yield f"{'#' * level} {name}\n\n```text\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for below, one in command.commands.items():
            if not one.hidden:
                yield from _sections(f"{name} {below}", one, context)
